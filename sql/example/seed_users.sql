-- Users :from to :to of :users. They joined from 2016 to 2020, in the order of their ids.
SELECT setseed(:from / 1e9);
INSERT INTO users (id, email, name, bio, created_at, updated_at)
SELECT id, 'user' || id || (ARRAY['@example.com', '@example.net', '@mail.example.org'])[1 + id % 3], first || ' ' || last,
       CASE WHEN random() < 0.3 THEN (SELECT sentences[1 + id % 80] FROM seed_pages WHERE page = id % 400) END,
       joined, joined + random() * random() * interval '4 years'
FROM (SELECT id, n.first[1 + floor(random() * array_length(n.first, 1))::int] AS first,
             n.last[1 + floor(random() * array_length(n.last, 1))::int] AS last,
             timestamptz '2016-01-01 UTC' + (id - random()) / :users * interval '4 years' AS joined
      FROM generate_series(:from::bigint, :to::bigint) AS id, seed_names AS n) AS u;
