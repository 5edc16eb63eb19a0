SELECT id, email, name, bio, created_at, updated_at
FROM users
WHERE id = :id;
