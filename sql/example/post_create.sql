INSERT INTO posts (user_id, title, body)
VALUES (:user_id, :title, :body)
RETURNING id, user_id, title, body, created_at;
