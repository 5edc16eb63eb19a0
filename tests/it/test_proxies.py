"""Who a request comes from when proxies stand between, as the access log tells it."""
import socket
import struct

import pytest

from lib.process import eventually

CONF = 'route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }'
V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("proxies")


@pytest.fixture
def server(make_perfd, db):
    return lambda settings: make_perfd(CONF, db, workers=1, settings=settings).start()


def remote(api, answer):
    return api.access_line(answer.header("x-request-id"))["remote"]


@pytest.mark.parametrize("fields, expected", [
    ([], "127.0.0.1"), (["192.0.2.7"], "192.0.2.7"), (["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
    (["192.0.2.7, 10.1.2.3"], "192.0.2.7"), (["192.0.2.7", "10.9.9.9 , 10.1.2.3"], "192.0.2.7"),
    (["2001:DB8::0:1"], "2001:db8::1"), (["[2001:db8::2]"], "2001:db8::2"), (["nonsense"], "127.0.0.1"),
    (["192.0.2.7, nonsense, 10.1.2.3"], "10.1.2.3"), ([""], "127.0.0.1"), (["10.1.2.3, 10.1.2.4"], "10.1.2.3")])
def test_a_trusted_proxy_names_the_consumer(server, fields, expected):
    api = server("trusted_proxies 127.0.0.1 10.0.0.0/8;")
    for _ in range(2):
        lines = "".join(f"X-Forwarded-For: {field}\r\n" for field in fields).encode()
        answer, = api.raw(b"GET /one HTTP/1.1\r\nHost: t\r\n" + lines + b"\r\n", answers=1)
        assert answer.status == 200 and remote(api, answer) == expected


def test_others_are_not_believed(server):
    api = server("trusted_proxies 10.0.0.0/8;")
    assert remote(api, api.get("/one", {"X-Forwarded-For": "192.0.2.7"})) == "127.0.0.1"


def v2(command, family, addresses, more=b""):
    return V2 + bytes([0x20 | command, family]) + struct.pack(">H", len(addresses + more)) + addresses + more


V4 = socket.inet_aton("192.0.2.8") + socket.inet_aton("192.0.2.1") + struct.pack(">HH", 5000, 80)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::9") + bytes(16) + struct.pack(">HH", 5000, 80)


@pytest.fixture(scope="module")
def proxied(make_module_perfd, db):
    api = make_module_perfd(CONF, db, workers=1, settings="proxy_protocol on; head_timeout 500ms;").launch()
    assert eventually(lambda: api.status("/readyz", api.admin) == 200, 10)
    return api


@pytest.mark.parametrize("header, expected", [
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"), (b"PROXY UNKNOWN what ever\r\n", "127.0.0.1"),
    (v2(1, 0x11, V4), "192.0.2.8"), (v2(1, 0x21, V6), "2001:db8::9"), (v2(1, 0x11, V4, b"\3\0\4abcd"), "192.0.2.8"),
    (v2(0, 0, b""), "127.0.0.1"), (v2(1, 0x31, bytes(216)), "127.0.0.1")])
@pytest.mark.parametrize("apart", [False, True])
def test_the_proxy_protocol_names_the_consumer(proxied, header, expected, apart):
    with proxied.connect() as connection:
        if apart:
            for byte in header:
                connection.write(bytes([byte]))
            connection.write(b"GET /one HTTP/1.1\r\nHost: t\r\n\r\n")
        else:
            connection.write(header + b"GET /one HTTP/1.1\r\nHost: t\r\n\r\n")
        for _ in range(2):
            answer = connection.read()
            assert answer.status == 200 and remote(proxied, answer) == expected
            connection.write(b"GET /one HTTP/1.1\r\nHost: t\r\n\r\n")


@pytest.mark.parametrize("header", [
    b"GET /one HTTP/1.1\r\nHost: t\r\n\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.1 56324\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\n", b"PROXY TCP4 2001:db8::7 192.0.2.1 1 2\r\n",
    b"PROXY TCP5 192.0.2.7 192.0.2.1 1 2\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.1 1 65536\r\n", b"PROXY " + b"x" * 200,
    V2 + b"\x11\x11\0\0", V2 + b"\x2f\x11\0\0", v2(1, 0x11, V4[:8]), V2 + b"\x21\x11\xff\xff", b"PROXY TCP4 "])
def test_what_is_no_proxy_is_not_answered(proxied, header):
    with proxied.connect() as connection:
        connection.write(header)
        assert connection.sock.recv(1) == b""


def test_admins_need_no_proxy(proxied):
    assert proxied.status("/healthz", proxied.admin) == 200
