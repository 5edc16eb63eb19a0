INSERT INTO users (email, name, bio)
VALUES (:email, :name, :bio)
RETURNING id, email, name, bio, created_at, updated_at;
