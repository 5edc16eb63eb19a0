"""HTTPS with clients that we did not write: curl, openssl and Python's ssl."""
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import pytest

from lib.load import at_once
from lib.ports import free_ports
from lib.process import eventually, tell

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; cache ttl=300s tti=300s; }
route GET /large/{n} { query "SELECT repeat('x', :n::int) AS text"; result row; cache ttl=300s tti=300s; }
route GET /stale/{n} { query "SELECT repeat('x', :n::int) AS text"; result row; cache ttl=1ms tti=300s stale=300s; }
route POST /echo { query "SELECT length(:text::text) AS n"; result row; }
"""


P_256, RSA_4096 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["rsa:4096"]


LARGE = tempfile.TemporaryDirectory(prefix="perfd-it.")  # its key takes seconds to make


def make_certificate(folder, name, days=10, key=P_256):
    """Signed by itself, so it is its own authority."""
    if key is RSA_4096 and folder != LARGE.name:
        if not os.path.exists(f"{LARGE.name}/{name}.pem"):
            make_certificate(LARGE.name, name, days, key)
        for kind in ("key", "pem"):
            shutil.copy(f"{LARGE.name}/{name}.{kind}", folder)
        return
    subprocess.run(["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days",
                    str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout",
                    f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"], check=True, capture_output=True)


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("tls")


@pytest.fixture
def api(make_perfd, db):
    return make_tls(make_perfd, db)


def make_tls(make_perfd, db, settings="", more="", start=True, workers=2, key=P_256):
    perfd = make_perfd(CONF, db, workers=workers, cache="size 64MB; entries 1000;")
    perfd.tls, = free_ports(1)
    make_certificate(perfd.folder, "one.test", key=key)
    make_certificate(perfd.folder, "two.test")
    perfd.head += (f"tls {{ listen 127.0.0.1:{perfd.tls}; certificate one.test.pem one.test.key; "
                   f"certificate two.test.pem two.test.key; {more} }}\n{settings}\n")
    perfd.configure(CONF)
    return perfd.start() if start else perfd


def curl(api, path, *more, name="one.test"):
    return subprocess.run(["curl", "-sS", "--cacert", f"{api.folder}/{name}.pem", "--resolve",
                           f"{name}:{api.tls}:127.0.0.1", f"https://{name}:{api.tls}{path}", *more],
                          capture_output=True, text=True, timeout=20, check=False)


def context(api, name="one.test", **more):
    made = ssl.create_default_context(cafile=f"{api.folder}/{name}.pem")
    for key, value in more.items():
        setattr(made, key, value)
    return made


def connect(api, made, name="one.test", **more):
    return made.wrap_socket(socket.create_connection(("127.0.0.1", api.tls), timeout=10), server_hostname=name, **more)


def ask(conn, path=b"/one"):
    conn.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: t\r\n\r\n")
    return read(conn)


def some(conn, most=65536):
    data = conn.recv(most)
    assert data, "the connection ended within an answer"
    return data


def read(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        data += some(conn)
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
    while len(body) < length:
        body += some(conn)
    return head, body


def read_exactly(conn):
    """One of several answers that come one behind the other."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += some(conn, 1)
    left, parts = int(re.search(rb"Content-Length: (\d+)", head).group(1)), []
    while left > 0:
        parts.append(some(conn, min(left, 1 << 20)))
        left -= len(parts[-1])
    return b"".join(parts)


def test_hits_misses_large_bodies_and_uploads(api):
    for _ in range(3):
        assert curl(api, "/one").stdout == '{"one":1}'
    for size in (10, 5_000, 20_000, 100_000, 900_000):
        for _ in range(2):
            assert curl(api, f"/large/{size}").stdout == '{"text":"%s"}' % ("x" * size)
    body = '{"text":"%s"}' % ("y" * 500_000)
    assert subprocess.run(["curl", "-sS", "-k", f"https://127.0.0.1:{api.tls}/echo", "-d", "@-"], input=body, text=True,
                          capture_output=True, check=True, timeout=20).stdout == '{"n":500000}'
    plain, sealed = api.get("/one"), curl(api, "/one", "-i").stdout
    assert f'ETag: {plain.header("etag")}' in sealed and "X-Cache: HIT" in sealed
    assert api.log().count("error") == 0


def test_the_name_chooses_the_certificate(api):
    assert curl(api, "/one", name="two.test").stdout == '{"one":1}'
    with connect(api, context(api, "one.test", check_hostname=False), "other.test") as conn:
        assert conn.getpeercert()["subject"] == ((("commonName", "one.test"),),), "the first is for all others"


@pytest.mark.parametrize("version, works", [("1.1", False), ("1.2", True), ("1.3", True)])
def test_versions(api, version, works):
    done = curl(api, "/one", f"--tlsv{version}", "--tls-max", version)
    assert (done.stdout == '{"one":1}') == works, done


def test_old_versions_can_be_refused(make_perfd, db):
    api = make_tls(make_perfd, db, more="min_version 1.3;")
    assert curl(api, "/one", "--tls-max", "1.2").returncode == 35 and curl(api, "/one").returncode == 0


def test_it_speaks_http_1_1_alone(api):
    made = context(api)
    made.set_alpn_protocols(["h2", "http/1.1"])
    with connect(api, made) as conn:
        assert conn.selected_alpn_protocol() == "http/1.1"
    made.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError):
        connect(api, made)


def test_a_session_goes_on_at_any_worker(api):
    made = context(api, maximum_version=ssl.TLSVersion.TLSv1_2)
    with connect(api, made) as first:
        ask(first)
        session = first.session
    reused = []
    for _ in range(12):
        with connect(api, made, session=session) as again:
            assert ask(again)[1] == b'{"one":1}'
            reused.append(again.session_reused)
    assert all(reused) and len({line["request_id"] for line in api.access_lines()}) > 2


def test_pipelined_and_cut_at_every_byte(api):
    with connect(api, context(api)) as conn:
        request = b"GET /one HTTP/1.1\r\nHost: t\r\n\r\n"
        conn.sendall(request * 50)
        data = b""
        while data.count(b'{"one":1}') < 50:
            data += some(conn)
        for byte in request:
            conn.sendall(bytes([byte]))
        assert read(conn)[1] == b'{"one":1}'
    raw = socket.create_connection(("127.0.0.1", api.tls), timeout=10)
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context(api).wrap_bio(inward, outward, server_hostname="one.test")

    def exchange(step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                for byte in outward.read():
                    raw.sendall(bytes([byte]))
                inward.write(raw.recv(65536))
    exchange(session.do_handshake)
    session.write(request)
    assert b"200 OK" in exchange(lambda: session.read(65536))
    raw.close()


def test_the_end_is_told(api):
    with connect(api, context(api), suppress_ragged_eofs=False) as conn:
        conn.sendall(b"GET /one HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        assert read(conn)[1] == b'{"one":1}' and conn.recv(1) == b""
    with connect(api, context(api), suppress_ragged_eofs=False) as conn:
        conn.sendall(b"GET /one HTTP/1.1\r\n\r\n")
        assert b"400 Bad Request" in read(conn)[0] and conn.recv(1) == b""


def test_what_is_no_tls_is_cut(make_perfd, db):
    api = make_tls(make_perfd, db, settings="head_timeout 500ms;")
    with socket.create_connection(("127.0.0.1", api.tls), timeout=5) as conn:
        conn.sendall(b"GET /one HTTP/1.1\r\nHost: t\r\n\r\n")
        assert b"HTTP/1.1" not in conn.recv(65536)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", api.tls), timeout=5) as conn:
        conn.sendall(b"\x16\x03\x01")
        assert conn.recv(1) == b"" and time.monotonic() - began < 3, "a handshake has head_timeout"
    assert curl(api, "/one").stdout == '{"one":1}'


def test_a_session_that_breaks_behind_a_request(api):
    """Garbage in the same segment as a request whose answer is lent from the cache: only its sender has none."""
    assert curl(api, "/stale/100000").returncode == 0
    workers = api.worker_pids()
    for _ in range(20):
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context(api).wrap_bio(coming, going, server_hostname="one.test")
        with socket.create_connection(("127.0.0.1", api.tls), timeout=10) as sock:
            while True:
                try:
                    session.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(going.read())
                    coming.write(sock.recv(1 << 16))
            session.write(b"GET /stale/100000 HTTP/1.1\r\nHost: t\r\n\r\n")
            sock.sendall(going.read() + b"\x17\x03\x03\x00\x20" + os.urandom(32))
            time.sleep(0.01)
    assert curl(api, "/one").stdout == '{"one":1}' and api.worker_pids() == workers


def test_a_slow_consumer_gets_all_of_it(api):
    curl(api, "/large/900000")
    with connect(api, context(api)) as conn:
        conn.sendall(b"GET /large/900000 HTTP/1.1\r\nHost: t\r\n\r\n" * 30)
        time.sleep(0.5)
        for _ in range(30):
            body = read_exactly(conn)
            assert body == b'{"text":"' + b"x" * 900_000 + b'"}'
    assert eventually(lambda: api.stat("cache_lent") == 0, 5)


def test_a_reload_reads_the_files_anew(api):
    kept = connect(api, context(api))
    before = api.worker_pids()
    make_certificate(api.folder, "one.test", days=20)
    assert curl(api, "/one").returncode == 60, "not yet"
    tell(api.process.pid, signal.SIGHUP)
    assert eventually(lambda: curl(api, "/one").returncode == 0, 5)
    assert ask(kept)[1] == b'{"one":1}', "an open connection goes on, and ends with its next answer"
    kept.close()
    assert eventually(lambda: set(api.worker_pids()).isdisjoint(before) and len(api.worker_pids()) == 2, 5)
    assert curl(api, "/one").stdout == '{"one":1}'
    after = api.worker_pids()
    os.rename(f"{api.folder}/one.test.key", f"{api.folder}/kept.key")
    tell(api.process.pid, signal.SIGHUP)
    assert api.log_contains("one.test.key"), "what is wrong is said"
    assert set(api.worker_pids()) == set(after) and curl(api, "/one").stdout == '{"one":1}'


@pytest.mark.parametrize("file, text, word", [
    ("one.test.pem", "", "one.test.pem"), ("one.test.key", "nonsense", "one.test.key"), ("one.test.key", None, "mismatch")])
def test_a_wrong_file_is_named(make_perfd, db, file, text, word):
    api = make_tls(make_perfd, db, start=False)
    if text is None:
        shutil.copy(f"{api.folder}/two.test.key", f"{api.folder}/one.test.key")
    else:
        api.write(file, text)
    result = api.check()
    assert result.code != 0 and word in result.err and re.search(r"perfd.conf:\d+:\d+: ", result.err)
    api.launch()
    assert api.wait() != 0


def test_behind_a_proxy_that_speaks_first(make_perfd, db):
    api = make_tls(make_perfd, db, settings="proxy_protocol on;", start=False).launch()
    assert eventually(lambda: api.status("/readyz", api.admin) == 200, 10)
    done = curl(api, "/one", "--haproxy-protocol", "-i")
    assert '{"one":1}' in done.stdout, done
    request_id = re.search(r"X-Request-Id: (\w+)", done.stdout).group(1)
    assert api.access_line(request_id)["remote"] == "127.0.0.1"


# --- keys that take long: their handshakes are done by threads


@pytest.fixture(scope="module")
def slow(make_module_perfd, db):
    return make_tls(make_module_perfd, db, workers=1, key=RSA_4096)


@pytest.mark.parametrize("more", [("--tlsv1.3",), ("--tls-max", "1.2"), ("--tls-max", "1.2", "--ciphers", "AES128-GCM-SHA256")],
                         ids=["1.3", "1.2", "rsa_key_exchange"])
def test_a_large_key(slow, more):
    before = slow.stat("offload_tls")
    for name in ("one.test", "two.test"):
        if name == "one.test" or "--ciphers" not in more:
            assert curl(slow, "/one", *more, name=name).stdout == '{"one":1}', (name, more)
    assert slow.stat("offload_tls") - before >= 2
    assert curl(slow, "/large/900000", *more).stdout == '{"text":"%s"}' % ("x" * 900_000)


def test_small_keys_are_not_worth_a_thread(api):
    assert curl(api, "/one").stdout == '{"one":1}' and api.stat("offload_tls") == 0


def many_handshakes(perfd, count=24):
    """All at once; how often the loop was held up."""
    def ask_once(_):
        with connect(perfd, context(perfd)) as conn:
            return ask(conn)[1]
    before = perfd.stat("loop_blocked")
    assert at_once(count, ask_once) == [b'{"one":1}'] * count
    return perfd.stat("loop_blocked") - before


def test_many_handshakes_hold_up_nothing(make_perfd, db, slow):
    alone = make_tls(make_perfd, db, settings="offload off;", workers=1, key=RSA_4096)
    assert any(many_handshakes(alone) > 0 for _ in range(5)), "two dozen of them are 100 ms"
    assert alone.stat("offload_tls") == 0 and alone.log_contains("a TLS handshake")
    assert min(many_handshakes(slow) for _ in range(5)) == 0


def hello(perfd):
    """What a consumer says first."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context(perfd).wrap_bio(inward, outward, server_hostname="one.test")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outward.read()


def test_who_goes_away_within_a_handshake(slow):
    for turn in range(60):
        with socket.create_connection(("127.0.0.1", slow.tls), timeout=10) as sock:
            sock.sendall(hello(slow) + (b"and nonsense" if turn % 3 == 0 else b""))
            time.sleep(0.0005 * (turn % 20))
            if turn % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    assert eventually(lambda: slow.stat("connections") == 0 and slow.stat("offload_active") == 0, 5)
    assert curl(slow, "/one").stdout == '{"one":1}'


def test_a_handshake_has_its_time_by_a_thread_too(make_perfd, db):
    api = make_tls(make_perfd, db, settings="head_timeout 500ms; offload_threads 1;", workers=1, key=RSA_4096)
    with socket.create_connection(("127.0.0.1", api.tls), timeout=5) as conn:
        conn.sendall(hello(api))
        while conn.recv(65536):
            pass
    with socket.create_connection(("127.0.0.1", api.tls), timeout=5) as conn:
        conn.sendall(hello(api)[:40] + os.urandom(600))
        while conn.recv(65536):
            pass
    assert curl(api, "/one").stdout == '{"one":1}'


def test_a_handshake_that_trickles_in_has_its_time_too(make_perfd, db):
    """Whatever of it a thread has looked at."""
    api = make_tls(make_perfd, db, settings="head_timeout 500ms;", workers=1, key=RSA_4096)
    said, began = hello(api), time.monotonic()
    with socket.create_connection(("127.0.0.1", api.tls), timeout=5) as conn, pytest.raises(OSError):
        for at in range(len(said) - 1):
            conn.sendall(said[at:at + 1])
            time.sleep(0.1)
            assert time.monotonic() - began < 8, "it goes on"
    assert api.stat("offload_tls") > 0


def test_a_large_key_behind_a_proxy(make_perfd, db):
    api = make_tls(make_perfd, db, settings="proxy_protocol on;", start=False, key=RSA_4096).launch()
    assert eventually(lambda: api.status("/readyz", api.admin) == 200, 10)
    assert curl(api, "/one", "--haproxy-protocol").stdout == '{"one":1}'
