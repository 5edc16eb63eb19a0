SELECT id, email, name, bio, created_at, updated_at
FROM users
ORDER BY id
LIMIT :limit OFFSET :offset;
