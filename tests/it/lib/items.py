"""Items that have a version, a cached route by their id, and a cache for few of them."""

SCHEMA = """
CREATE TABLE items (id bigint PRIMARY KEY, version int NOT NULL DEFAULT 0);
INSERT INTO items SELECT g FROM generate_series(1, 1000) g;
"""
ROUTE = """
route GET /items/{id} { query "SELECT version FROM items WHERE id = :id"; result value; cache ttl=300s tags=item:{id}; }
"""
# So few entries that the whole index is counted with each of the keeper's turns.
CACHE = "size 4MB; entries 200; tti 0;"


def get(api, target, times=1):
    for _ in range(times):
        assert api.get(target).status == 200


def change(db, item):
    """Behind perfd's back; the version that it has now."""
    db.run(f"UPDATE items SET version = version + 1 WHERE id = {item}")
    return db.value(f"SELECT version FROM items WHERE id = {item}")
