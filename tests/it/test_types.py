"""Generated rows of every type that has a form of its own, against PostgreSQL's own JSON of them."""
import base64
import csv
import decimal
import io
import json
import os
import random

import pytest

from lib.perfd import SANITIZED

ROWS = int(os.environ.get("TYPES_ROWS", "1000" if SANITIZED else "4000"))
SEED = int(os.environ.get("TYPES_SEED", "1"))
LETTERS = ('ab"\\/{},:; \t\n\r\x01\x1f\x7f', "äßéñ", "日本語", "😀🧵", "\u2028\ufeff")


def text(r):
    return "".join(r.choice(r.choice(LETTERS)) for _ in range(r.choice((0, 1, 3, 15, 16, 17, 70))))


def word(r):
    return r.choice(("", "NULL", "null", "true", "1", "{}", '"', "\\", "a,b", text(r)))


def floating(r):
    return r.choice(("NaN", "Infinity", "-Infinity", "0", "-0", "1e300", "1e-300", repr(r.uniform(-1e6, 1e6)),
                     repr(r.random() * 10 ** r.randint(-30, 30))))


def small_floating(r):
    return r.choice(("NaN", "Infinity", "-Infinity", "0", "-0", f"{r.uniform(-1e6, 1e6):.6g}"))


def number(r):
    digits = "".join(r.choice("0123456789") for _ in range(r.randint(1, 40)))
    return r.choice(("NaN", "Infinity", "-Infinity", digits, "-" + digits, f"{digits}.{digits}", f"0.{digits}",
                     f"{r.randint(-9, 9)}e{r.randint(-20, 20)}"))


def moment(r):
    year = r.choice((1, 99, 1582, 1970, 2000, 2024, 9999, 20000, 294275))
    fraction = r.choice(("", ".5", ".123456", ".000001"))
    return r.choice(("infinity", "-infinity", f"{year:04}-{r.randint(1, 12):02}-{r.randint(1, 28):02} "
                     f"{r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}{fraction}"
                     + r.choice(("", " BC") if year < 4000 else ("",))))


def zoned(r):
    at = moment(r)
    return at if "inf" in at else at.replace(" BC", "") + r.choice(("+00", "+05:30", "-11", "+14")) + " BC" * (" BC" in at)


def json_value(r, depth=0):
    kind = r.randint(0, 7 if depth < 3 else 5)
    if kind == 6:
        return [json_value(r, depth + 1) for _ in range(r.randint(0, 4))]
    if kind == 7:
        return {text(r): json_value(r, depth + 1) for _ in range(r.randint(0, 4))}
    return (None, True, False, r.randint(-2**63, 2**63), r.uniform(-1e9, 1e9), text(r))[kind]


def json_text(r):
    return json.dumps(json_value(r), ensure_ascii=r.choice((False, True)), indent=r.choice((None, 1)))


def integer(bits):
    return lambda r: str(r.choice((0, -1, 2**(bits - 1) - 1, -2**(bits - 1), r.randint(-2**(bits - 1), 2**(bits - 1) - 1))))


def address(r):
    return r.choice((f"{r.randint(0, 255)}.0.{r.randint(0, 255)}.1", f"10.0.0.0/{r.randint(8, 32)}", f"fe80::{r.randint(1, 9999):x}"))


SCALARS = {
    "bool": lambda r: r.choice("tf"),
    "bytea": lambda r: "\\x" + r.randbytes(r.choice((0, 1, 2, 3, 4, 50))).hex(),
    "int2": integer(16), "int4": integer(32), "int8": integer(64), "oid": lambda r: str(r.randint(0, 2**32 - 1)),
    "float4": small_floating, "float8": floating, "numeric": number, "json": json_text, "jsonb": json_text,
    "text": word, "varchar": word, "bpchar": word, "name": lambda r: text(r)[:15],
    "uuid": lambda r: r.randbytes(16).hex(), "inet": address,
    "cidr": lambda r: f"{r.randint(0, 255)}.{r.randint(0, 255)}.0.0/16", "macaddr": lambda r: r.randbytes(6).hex(),
    "date": lambda r: moment(r).split(" ")[0], "time": lambda r: f"{r.randint(0, 23)}:{r.randint(0, 59)}:5.{r.randint(0, 999)}",
    "timetz": lambda r: f"{r.randint(0, 23)}:{r.randint(0, 59)}:00+0{r.randint(0, 9)}",
    "interval": lambda r: f"{r.randint(-9, 9)} years {r.randint(-40, 40)} days {r.uniform(-9e4, 9e4):.6f} seconds",
    "timestamp": moment, "timestamptz": zoned,
    "int4range": lambda r: f"[{r.randint(-9, 0)},{r.randint(1, 9)})", "point": lambda r: f"({r.randint(0, 9)},-1.5)",
    "bit varying": lambda r: bin(r.randint(0, 999))[2:], "xml": lambda r: f"<a>{r.randint(0, 9)}</a>",
    "mood": lambda r: r.choice(("happy", "so \"so\"", "")), "pair": lambda r: f'({r.randint(0, 9)},"a ""b""")',
    "positive": lambda r: str(r.randint(1, 9)),
}
WITHOUT_ARRAY = {"int4range", "point", "bit varying", "xml", "mood", "pair", "positive"}


def literal(elements):
    quoted = ('"' + e.replace("\\", "\\\\").replace('"', '\\"') + '"' for e in elements)
    return "{" + ",".join(r if r != '"\0"' else "NULL" for r in quoted) + "}"


def array(scalar):
    def value(r):
        if r.random() < 0.2:
            return "{" + ",".join(literal([scalar(r), scalar(r)]) for _ in range(r.randint(1, 3))) + "}"
        elements = [r.choice((scalar(r), scalar(r), "\0")) for _ in range(r.choice((0, 1, 2, 5)))]
        return literal(elements)
    return value


COLUMNS = [(name, f"c{i}", make) for i, (name, make) in enumerate(SCALARS.items())]
COLUMNS += [(f"{name}[]", f"a{i}", array(make)) for i, (name, make) in enumerate(SCALARS.items())
            if name not in WITHOUT_ARRAY]


@pytest.fixture(scope="module")
def db(pg):
    db = pg.create_database("types", f"""
        CREATE TYPE mood AS ENUM ('happy', 'so "so"', ''); CREATE TYPE pair AS (n int, t text);
        CREATE DOMAIN positive AS int CHECK (VALUE > 0);
        CREATE TABLE rows (id int PRIMARY KEY, {", ".join(f'{column} {kind}' for kind, column, _ in COLUMNS)})""")
    r = random.Random(SEED)
    lines = io.StringIO()
    writer = csv.writer(lines, quoting=csv.QUOTE_ALL)
    for n in range(ROWS):
        cells = [None if r.random() < 0.1 else make(r) for _, _, make in COLUMNS]
        writer.writerow([n, *("\1" if c is None else c for c in cells)])
    lines.seek(0)
    connection = pg.connect("types")
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY rows FROM STDIN (FORMAT csv, NULL '\1', FORCE_NULL "
                           f"({', '.join(column for _, column, _ in COLUMNS)}))", lines)
    connection.close()
    return db


CONF = f"""
route GET /all {{ query "SELECT id, {", ".join(column for _, column, _ in COLUMNS)} FROM rows ORDER BY id"; result rows; timeout 60s; }}
"""


def exact(document):
    return json.loads(document, parse_float=decimal.Decimal, parse_int=decimal.Decimal)


def changed(value, change):
    return [changed(v, change) for v in value] if isinstance(value, list) else None if value is None else change(value)


def as_promised(kind, value):
    """PostgreSQL's own form, but for what perfd says that it writes otherwise."""
    base = kind.removesuffix("[]")
    if base in ("float4", "float8", "numeric"):
        return changed(value, lambda v: None if isinstance(v, str) else v)
    if base == "bytea":
        return changed(value, lambda v: base64.b64encode(bytes.fromhex(v[2:])).decode())
    if base == "pair" and value is not None:  # its text: a composite has no form of its own
        quoted = value["t"].replace('"', '""')
        return f'({value["n"]},"{quoted}")'
    return value


def test_rows_are_as_postgresql_has_them(make_perfd, db):
    api = make_perfd(CONF, db, workers=1).start()
    found = exact(api.get("/all", timeout=60).body)
    expected = db.run("SELECT row_to_json(rows)::text FROM rows ORDER BY id")
    assert len(found) == len(expected) == ROWS
    for got, (document,) in zip(found, expected):
        wanted = exact(document)
        for kind, column, _ in COLUMNS:
            assert got[column] == as_promised(kind, wanted[column]), (SEED, got["id"], kind)
