-- The first users, each with all their posts: one JOIN, nested by the columns' names.
SELECT u.id, u.name, p.id AS "posts[].id", p.title AS "posts[].title", p.created_at AS "posts[].created_at"
FROM (SELECT id, name FROM users ORDER BY id LIMIT :limit) AS u
LEFT JOIN posts AS p ON p.user_id = u.id
ORDER BY u.id, p.created_at DESC, p.id DESC;
