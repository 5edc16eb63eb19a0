-- What the routes' queries look rows up by; run it after the data is in.
ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email); -- the index on users(email)
CREATE INDEX posts_user_id_idx ON posts (user_id);
CREATE INDEX posts_created_at_idx ON posts (created_at DESC);
CREATE INDEX posts_user_id_created_at_idx ON posts (user_id, created_at DESC);
ALTER TABLE posts ADD CONSTRAINT posts_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE;
