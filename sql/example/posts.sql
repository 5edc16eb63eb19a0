-- The newest posts, or the newest before a moment.
SELECT p.id, p.user_id, u.name AS author, p.title, p.body, p.created_at
FROM posts AS p
JOIN users AS u ON u.id = p.user_id
WHERE :before::timestamptz IS NULL OR p.created_at < :before
ORDER BY p.created_at DESC
LIMIT :limit;
