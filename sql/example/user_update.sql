-- What the body leaves out stays.
UPDATE users
SET email = coalesce(:email, email), name = coalesce(:name, name), bio = coalesce(:bio, bio), updated_at = now()
WHERE id = :id
RETURNING id, email, name, bio, created_at, updated_at;
