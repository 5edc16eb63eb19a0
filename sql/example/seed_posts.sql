-- Posts :from to :to of :posts, of :users users, from 2020 to 2025 in the order of their ids.
-- Posts per user are log-normal (sigma 1.8: mean 10, median 2, some users thousands): a post's author is drawn by rank,
-- 1 - Phi(z) of z ~ N(1.8, 1), and ranks are scattered over the ids. Lengths are log-normal too, 50 to 4,000 characters.
SELECT setseed(:from / 1e9 * -1);
INSERT INTO posts (id, user_id, title, body, created_at)
SELECT d.id, 1 + (d.rank * 48271 + 12345) % :users,
       left(rtrim(p.sentences[1 + d.first % 80], '.'), 120),
       left(array_to_string(p.sentences[d.first : d.first + d.count - 1], ' '), 4000),
       timestamptz '2020-01-01 UTC' + (d.id - random()) / :posts * interval '5 years'
FROM (SELECT id, floor(random() * 400)::int AS page,
             least(:users - 1, floor(:users / (1 + exp(1.5976 * z + 0.07056 * z * z * z))))::bigint AS rank,
             count, 1 + floor(random() * (81 - count))::int AS first
      FROM (SELECT id, 1.8 + sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) AS z,
                   least(75, greatest(2, exp(1.9 + 0.9 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))))::int AS count
            FROM generate_series(:from::bigint, :to::bigint) AS id) AS drawn) AS d
JOIN seed_pages AS p USING (page);
