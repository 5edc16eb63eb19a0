-- The posts go with the user (ON DELETE CASCADE). The row that is returned tells a missing user, 404, from a deleted one.
DELETE FROM users
WHERE id = :id
RETURNING id;
