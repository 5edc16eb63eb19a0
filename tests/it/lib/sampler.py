"""How many statements run at a time, as PostgreSQL itself sees it. They hold a shared advisory lock while they do: pg_locks
is of one moment, while the rows of pg_stat_activity are read one after the other."""
import threading
import time


SCHEMA = """
CREATE FUNCTION held(key int, s float8) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(key);
    PERFORM pg_sleep(s);
    RETURN s;
END $$;
"""


def query_of(keys):
    return ("SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() "
            f"AND locktype = 'advisory' AND granted AND objid IN ({', '.join(map(str, keys))})")


def running(db, *keys):
    """Now."""
    return int(db.value(query_of(keys)))


class Sampler:
    """`with Sampler(db, 1, 2) as seen:` looks every millisecond or so, at statements of these keys, until the block ends."""

    def __init__(self, db, *keys):
        self.query = query_of(keys)
        self.db = db
        self.most = 0
        self.counts = {}  # how often so many were seen
        self.failed = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def looks(self):
        return sum(self.counts.values())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(10)
        assert self.failed is None, self.failed

    def _run(self):
        try:
            connection = self.db.server.connect(self.db.name)
            try:
                with connection.cursor() as cursor:
                    while not self._stop.is_set():
                        cursor.execute(self.query)
                        count = cursor.fetchone()[0]
                        self.counts[count] = self.counts.get(count, 0) + 1
                        self.most = max(self.most, count)
                        time.sleep(0.001)
            finally:
                connection.close()
        except Exception as error:  # pylint: disable=broad-except
            self.failed = error
