"""The example API: the repository's own perfd.conf and queries on a small load of its data."""
import os
import subprocess

from .perfd import ROOT

USERS, POSTS = 300, 3000


SEED = ["\\i seed_words.sql", f"\\set to {USERS}", "\\i seed_users.sql", f"\\set to {POSTS}", "\\i seed_posts.sql"]
# As many rows, as unevenly spread, in a tenth of the time: for who looks at none of their words.
PLAIN = [f"""INSERT INTO users (id, email, name, created_at)
SELECT id, 'user' || id || '@example.com', 'User ' || id, timestamptz '2016-01-01 UTC' + id * interval '1 hour'
FROM generate_series(1, {USERS}) id;
INSERT INTO posts (id, user_id, title, body, created_at)
SELECT id, 1 + floor(pow(random(), 3) * {USERS}), 'Post ' || id, repeat('words ', 50),
       timestamptz '2020-01-01 UTC' + id * interval '1 hour'
FROM generate_series(1, {POSTS}) id;"""]


def create(pg, name, seed=None):
    """A database of that name with it."""
    database = pg.create_database(name)
    script = "\n".join([f"\\set users {USERS}", f"\\set posts {POSTS}", "\\set from 1", "\\i schema.sql", *(seed or SEED),
                        "\\i indexes.sql", "\\i ../invalidate.sql", "\\i watch.sql",
                        "SELECT setval(pg_get_serial_sequence('users', 'id'), max(id)) FROM users;",
                        "SELECT setval(pg_get_serial_sequence('posts', 'id'), max(id)) FROM posts;"])
    subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", pg.folder, "-U", pg.user, "-d", name],
                   input=script, text=True, check=True, cwd=f"{ROOT}/sql/example", stdout=subprocess.DEVNULL)
    return database


def serve(make_perfd, db, redis):
    """Not started yet."""
    perfd = make_perfd("", workers=len(os.sched_getaffinity(0)))
    perfd.conf_file = f"{ROOT}/perfd.conf"
    perfd.env = {"PERFD_PORT": str(perfd.port), "PERFD_ADMIN_PORT": str(perfd.admin), "PERFD_RUN_DIR": perfd.run_dir,
                 "PERFD_DATABASE_URL": db.url, "PERFD_REDIS_URL": redis.url}
    return perfd
