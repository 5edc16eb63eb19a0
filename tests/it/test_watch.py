"""What perfd_watch() of sql/invalidate.sql makes the database say, heard by a session of the test's own."""
import io
import re
import subprocess

import psycopg2
import pytest

from lib.perfd import ROOT

with open(f"{ROOT}/sql/invalidate.sql", encoding="utf-8") as text:
    INSTALL = text.read()
EVERYTHING = "*"


def read_tags(payload):
    """By the rule of the file's head, independently of perfd's parser."""
    assert 0 < len(payload.encode()) <= 7900
    return [re.sub(r"\\(.)", r"\1", tag) for tag in re.findall(r"(?:\\.|[^,\\])+", payload)]


class Session:
    """Does something, and hears what others hear of it."""

    def __init__(self, pg, database):
        self.connection = pg.connect(database)
        self.ears = pg.connect(database)
        self.ears.cursor().execute("LISTEN perfd")
        self.payloads = []

    def close(self):
        self.connection.close()
        self.ears.close()

    def run(self, sql, params=None):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall() if cursor.description else None

    def told(self, sql, params=None):
        self.run(sql, params)
        return self.hear()

    def hear(self):
        self.ears.cursor().execute("SELECT 1")  # what was committed before comes before the answer
        self.payloads = [notice.payload for notice in self.ears.notifies]
        self.ears.notifies.clear()
        for payload in self.payloads:
            assert len(read_tags(payload)) == len(set(read_tags(payload))), payload
        return {tag for payload in self.payloads for tag in read_tags(payload)}


@pytest.fixture(scope="module")
def database(pg):
    return pg.create_database("watch", INSTALL)


@pytest.fixture
def db(pg, database):
    database.run("DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app;")
    session = Session(pg, database.name)
    session.run("SET search_path = app, public")
    yield session
    session.close()


@pytest.fixture
def users(db):
    db.run("CREATE TABLE users (id int PRIMARY KEY, name text)")
    assert db.told("SELECT perfd_watch('users', 'users', 'user:{id}')") == {EVERYTHING}
    return db


def test_each_statement_tells_of_its_rows(users):
    assert users.told("INSERT INTO users VALUES (1, 'a'), (2, 'b')") == {"users", "user:1", "user:2"}
    assert users.told("UPDATE users SET name = 'c' WHERE id = 2") == {"users", "user:2"}
    assert users.told("DELETE FROM users WHERE id = 1") == {"users", "user:1"}
    assert users.told("INSERT INTO users VALUES (2, 'd'), (3, 'e') ON CONFLICT (id) DO UPDATE SET name = 'f'") == \
        {"users", "user:2", "user:3"}
    assert users.told("MERGE INTO users USING (VALUES (3), (4)) AS n(id) ON n.id = users.id WHEN MATCHED THEN DELETE "
                      "WHEN NOT MATCHED THEN INSERT VALUES (n.id, 'g')") == {"users", "user:3", "user:4"}


def test_a_changed_key_tells_of_both(users):
    users.told("INSERT INTO users VALUES (1, 'a')")
    assert users.told("UPDATE users SET id = 7") == {"users", "user:1", "user:7"}


def test_truncate_tells_of_everything(users):
    users.told("INSERT INTO users VALUES (1, 'a')")
    assert users.told("TRUNCATE users") == {"users", EVERYTHING}


def test_no_rows_are_nothing_to_tell(users):
    assert users.told("UPDATE users SET name = 'x'; DELETE FROM users; INSERT INTO users SELECT 1 WHERE false") == set()


def test_what_is_rolled_back_is_not_told(users):
    users.run("BEGIN; INSERT INTO users VALUES (1, 'a')")
    assert users.hear() == set()
    users.run("ROLLBACK")
    assert users.hear() == set()


def test_a_transaction_tells_once_of_what_it_did_often(users):
    users.run("BEGIN; INSERT INTO users VALUES (1, 'a')")
    for name in "bcdef":
        users.run("UPDATE users SET name = %s", name)
    users.run("COMMIT")
    assert users.hear() == {"users", "user:1"}
    assert len(users.payloads) == 1


def test_copy_tells(users):
    with users.connection.cursor() as cursor:
        cursor.copy_expert("COPY users FROM STDIN", io.StringIO("5\ta\n6\tb\n"))
    assert users.hear() == {"users", "user:5", "user:6"}


def test_a_table_without_keyed_tags_tells_its_own(db):
    db.run("CREATE TABLE words (word text); SELECT perfd_watch('words', 'words', 'lists')")
    db.hear()
    assert db.told("INSERT INTO words SELECT g FROM generate_series(1, 20000) g") == {"words", "lists"}
    assert db.told("TRUNCATE words") == {"words", "lists"}


def test_keyed_tags_alone(db):
    db.run("CREATE TABLE words (word text); SELECT perfd_watch('words', 'word:{word}')")
    db.hear()
    assert db.told("INSERT INTO words VALUES ('a')") == {"word:a"}
    assert db.told("TRUNCATE words") == {EVERYTHING}


NASTY = ["a,b", "{b}", "back\\slash", "\\,", "it's", '"quoted"', "100%", "%1$s", " blank ", "", "naïve ☃", "*", "$1", "\n"]


def test_keys_hold_whatever_a_text_may(db):
    db.run("CREATE TABLE texts (key text PRIMARY KEY, v int); SELECT perfd_watch('texts', 'texts', 't:{key}')")
    db.hear()
    for key in NASTY:
        assert db.told("INSERT INTO texts VALUES (%s, 1)", (key,)) == {"texts", f"t:{key}"}
    assert db.told("UPDATE texts SET v = 2") == {"texts"} | {f"t:{key}" for key in NASTY}


def test_a_null_is_an_empty_text(db):
    db.run("CREATE TABLE pairs (a int, b text); SELECT perfd_watch('pairs', '{a}/{b}', 'b:{b}')")
    db.hear()
    assert db.told("INSERT INTO pairs VALUES (NULL, 'x'), (1, NULL), (NULL, NULL)") == {"/x", "b:x", "1/", "b:", "/"}


def test_values_are_written_as_perfd_reads_parameters(db):
    db.run("""CREATE TYPE mood AS ENUM ('glad', 'sad');
              CREATE TABLE kinds (yes bool, day date, at timestamptz, raw bytea, f float8, m mood, u uuid);
              SELECT perfd_watch('kinds', 'y:{yes}', 'd:{day}', 'a:{at}', 'r:{raw}', 'f:{f}', 'm:{m}', 'u:{u}')""")
    db.hear()
    db.run("SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET bytea_output = 'escape'; SET extra_float_digits = 0")
    assert db.told("INSERT INTO kinds VALUES (true, '2024-05-06', '2024-05-06 12:00+00', '\\x00ff', 0.1, 'sad', "
                   "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11')") == \
        {"y:t", "d:2024-05-06", "a:2024-05-06 12:00:00+00", "r:\\x00ff", "f:0.1", "m:sad",
         "u:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}


def test_names_that_need_quotes(db):
    db.run("""CREATE TABLE "Odd ""Table"", 100%" ("The, Key 5%" int, "select" text);
              SELECT perfd_watch('"Odd ""Table"", 100%"', 'odd', 'k:{The, Key 5%}', 's:{select}')""")
    db.hear()
    assert db.told("""INSERT INTO "Odd ""Table"", 100%" VALUES (1, 'x')""") == {"odd", "k:1", "s:x"}


def test_tables_of_other_schemas_and_other_paths(db):
    db.run("""CREATE TABLE one (id int); SET search_path = pg_catalog;
              SELECT public.perfd_watch('app.one', 'one', 'one:{id}')""")
    db.hear()
    assert db.told("INSERT INTO app.one VALUES (1)") == {"one", "one:1"}
    db.run("SELECT public.perfd_unwatch('app.one')")
    assert db.told("INSERT INTO app.one VALUES (2)") == set()


@pytest.fixture
def parted(db):
    db.run("""CREATE TABLE parted (id int, v int) PARTITION BY RANGE (id);
              CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (100);
              CREATE TABLE high PARTITION OF parted FOR VALUES FROM (100) TO (1000) PARTITION BY RANGE (id);
              CREATE TABLE high_a PARTITION OF high FOR VALUES FROM (100) TO (1000);
              SELECT perfd_watch('parted', 'parted', 'p:{id}')""")
    db.hear()
    return db


def test_a_partitioned_table(parted):
    assert parted.told("INSERT INTO parted VALUES (1), (200)") == {"parted", "p:1", "p:200"}
    assert parted.told("INSERT INTO low VALUES (2)") == {"parted", "p:2"}
    assert parted.told("UPDATE high_a SET v = 1") == {"parted", "p:200"}
    assert parted.told("UPDATE high SET v = 1") == {"parted", "p:200"}
    assert parted.told("UPDATE parted SET id = 300 WHERE id = 1") == {"parted", "p:1", "p:300"}
    assert parted.told("TRUNCATE parted") == {"parted", EVERYTHING}


def test_a_new_partition(parted):
    parted.run("CREATE TABLE more PARTITION OF parted FOR VALUES FROM (1000) TO (2000)")
    assert parted.told("INSERT INTO parted VALUES (1500)") == {"parted", "p:1500"}
    parted.told("SELECT perfd_watch('parted', 'parted', 'p:{id}')")
    assert parted.told("INSERT INTO more VALUES (1600)") == {"parted", "p:1600"}
    parted.run("ALTER TABLE parted DETACH PARTITION more")
    assert parted.told("INSERT INTO more VALUES (1700)") == {"parted", "p:1700"}


def test_inherited_tables(db):
    db.run("""CREATE TABLE base (id int); CREATE TABLE derived (extra int) INHERITS (base);
              SELECT perfd_watch('base', 'base', 'b:{id}')""")
    db.hear()
    assert db.told("INSERT INTO derived VALUES (1, 1)") == {"base", "b:1"}
    assert db.told("UPDATE base SET id = 2") == {"base", "b:1", "b:2"}


def test_a_cascade_tells_of_the_other_table(users):
    users.run("""CREATE TABLE posts (id int, user_id int REFERENCES users ON DELETE CASCADE);
                 SELECT perfd_watch('posts', 'posts', 'posts:{user_id}');
                 INSERT INTO users VALUES (1, 'a'); INSERT INTO posts VALUES (10, 1)""")
    users.hear()
    assert users.told("DELETE FROM users") == {"users", "user:1", "posts", "posts:1"}


# --- more than fits

def test_many_rows_take_several_messages(users):
    expected = {"users"} | {f"user:{i}" for i in range(1, 10001)}
    assert users.told("INSERT INTO users SELECT g, 'x' FROM generate_series(1, 10000) g") == expected
    assert 10 < len(users.payloads) < 20, len(users.payloads)


def test_more_rows_tell_of_everything(users):
    assert users.told("INSERT INTO users SELECT g, 'x' FROM generate_series(1, 100000) g") == {"users", EVERYTHING}
    assert len(users.payloads) == 1
    assert users.told("UPDATE users SET name = 'y'") == {"users", EVERYTHING}
    assert users.told("DELETE FROM users") == {"users", EVERYTHING}


@pytest.mark.parametrize("length", [7889, 7890, 7897, 7898, 7899, 8000, 100000])
def test_a_long_key_never_fails_the_statement(db, length):
    db.run("CREATE TABLE texts (key text); SELECT perfd_watch('texts', 'texts', 't:{key}')")
    db.hear()
    told = db.told("INSERT INTO texts VALUES (repeat('x', %s)), ('short')", (length,))
    assert told >= ({"texts", EVERYTHING} if length > 7898 else {"texts", "t:short", "t:" + "x" * length})
    assert db.run("SELECT count(*) FROM texts") == [(2,)]


def test_a_key_is_long_by_its_bytes(db):
    db.run("CREATE TABLE texts (key text); SELECT perfd_watch('texts', 'texts', 't:{key}')")
    db.hear()
    assert db.told("INSERT INTO texts VALUES (repeat('☃', 2632))") == {"texts", "t:" + "☃" * 2632}
    assert db.told("INSERT INTO texts VALUES (repeat('☃', 2633))") == {"texts", EVERYTHING}
    assert db.told("INSERT INTO texts VALUES (repeat(',', 4000))") == {"texts", EVERYTHING}


# --- whatever happens, the statement goes on

def test_a_column_that_is_gone_drops_everything(users):
    users.run("INSERT INTO users VALUES (1, 'a'); ALTER TABLE users RENAME COLUMN id TO number")
    users.hear()
    assert users.told("UPDATE users SET name = 'b'") == {EVERYTHING}
    assert "perfd_watch()" in users.connection.notices[-1]
    assert users.run("SELECT name FROM users") == [("b",)]


def test_a_writer_without_any_other_right(users):
    users.run("""DROP ROLE IF EXISTS watch_writer; CREATE ROLE watch_writer;
                 GRANT USAGE ON SCHEMA app TO watch_writer; GRANT INSERT ON users TO watch_writer;
                 REVOKE EXECUTE ON FUNCTION public.perfd_notify() FROM public""")
    try:
        assert users.told("SET ROLE watch_writer; INSERT INTO users VALUES (1, 'a')") == {"users", "user:1"}
    finally:
        users.run("RESET ROLE; DROP OWNED BY watch_writer; DROP ROLE watch_writer;"
                  "GRANT EXECUTE ON FUNCTION public.perfd_notify() TO public")


def test_a_replayed_change_tells_too(users):
    assert users.told("SET session_replication_role = replica; INSERT INTO users VALUES (1, 'a')") == {"users", "user:1"}


def test_a_time_out_still_ends_the_statement(users):
    users.run("SET statement_timeout = 300")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        users.run("INSERT INTO users SELECT g, 'x' FROM generate_series(1, 10000000) g")
    assert users.hear() == set()


# --- installing

def test_watching_again_replaces_the_tags(users):
    users.told("SELECT perfd_watch('users', 'people')")
    assert users.told("INSERT INTO users VALUES (1, 'a')") == {"people"}


def test_unwatching(users):
    users.run("SELECT perfd_unwatch('users'); SELECT perfd_unwatch('users')")
    assert users.told("INSERT INTO users VALUES (1, 'a'); TRUNCATE users") == set()
    assert users.run("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'perfd%%'") == [(0,)]


def test_installing_again_changes_nothing(users):
    users.run("SET search_path = public; " + INSTALL)
    assert users.told("INSERT INTO app.users VALUES (1, 'a')") == {"users", "user:1"}


def test_a_dump_keeps_the_watch(users, pg, database):
    dump = subprocess.run(["pg_dump", "-h", pg.folder, "-U", pg.user, "-d", database.name], check=True,
                          capture_output=True, text=True).stdout
    copy = pg.create_database("watch_copy", "DROP EXTENSION pg_stat_statements")
    subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", pg.folder, "-U", pg.user, "-d", copy.name], input=dump,
                   text=True, check=True, stdout=subprocess.DEVNULL)
    session = Session(pg, copy.name)
    try:
        assert session.told("INSERT INTO app.users VALUES (1, 'a')") == {"users", "user:1"}
    finally:
        session.close()


@pytest.mark.parametrize("tags, words", [
    ("'a,b'", "comma"), ("'a b'", "white space"), ("''", "1 to 200"), ("NULL", "NULL"), ("repeat('x', 201)", "200"),
    ("'user:{nope}'", "nope"), ("'user:{'", "{column}"), ("'user:}'", "{column}"), ("'user:{}'", "{column}"),
    ("'{a{id}}'", "{column}")])
def test_a_wrong_tag_is_refused_and_changes_nothing(users, tags, words):
    with pytest.raises(psycopg2.Error, match=re.escape(words)):
        users.run(f"SELECT perfd_watch('users', 'users', {tags})")
    assert users.told("INSERT INTO users VALUES (1, 'a')") == {"users", "user:1"}


def test_what_has_no_rows_of_its_own_is_refused(users):
    users.run("CREATE VIEW seen AS SELECT * FROM users")
    with pytest.raises(psycopg2.Error, match="seen"):
        users.run("SELECT perfd_watch('seen', 'seen')")
    with pytest.raises(psycopg2.Error, match="absent"):
        users.run("SELECT perfd_watch('absent', 'absent')")
