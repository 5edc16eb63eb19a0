-- A user's newest posts.
SELECT id, title, body, created_at
FROM posts
WHERE user_id = :id
ORDER BY created_at DESC, id DESC
LIMIT :limit;
