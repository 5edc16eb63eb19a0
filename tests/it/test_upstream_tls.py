"""Names and certificates of HTTP APIs."""
import os
import ssl
import subprocess
import time

import pytest

from lib.perfd import SANITIZED
from lib.upstream import Upstream, start_api


@pytest.fixture
def backend():
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture
def make_api(make_perfd):
    return lambda directives="", **more: start_api(make_perfd, directives=directives, **more)


# --- names

HANGING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    if (name != 0 && strcmp(name, "hangs.test") == 0) {
        sleep(4);
        return EAI_AGAIN;
    }
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, out);
}
"""


def test_a_name_that_does_not_resolve_blocks_nothing(make_api, backend, tmp_path):
    source, library = tmp_path / "hangs.c", tmp_path / "hangs.so"
    source.write_text(HANGING)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    env = {"LD_PRELOAD": str(library)}
    if SANITIZED:
        env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    api = make_api("connect_timeout 500ms; retries 0;", url=f"http://hangs.test:{backend.port}", env=env)
    api.configure(api.conf + f"upstream near {{ url http://localhost:{backend.port}; }}\n"
                  "route GET /near { upstream near /near; }\n")
    assert api.reload().code == 0
    with api.connect() as connection:
        connection.send("GET", "/any/a")
        end, longest = time.monotonic() + 1.5, 0
        while time.monotonic() < end:
            response, seconds = api.timed("/near")
            assert response.status == 200
            longest = max(longest, seconds)
        response = connection.read()
    assert (response.status, response.problem["code"]) == (504, "upstream_timeout")
    assert longest < 1, "the loop waits for the resolver"


def test_an_unknown_name_is_unreachable(make_api):
    api = make_api(url="http://does-not-exist.invalid")
    assert api.get("/any/a", timeout=20).status in (502, 504)


# --- TLS

def make_authority(folder, *names):
    """A private authority and a certificate of it for each name."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *new, "-days", "10", "-subj", "/CN=Tests", "-keyout", "ca.key", "-out", "ca.pem")
    for name in names:
        with open(f"{folder}/{name}.ext", "w", encoding="ascii") as out:
            out.write(f"subjectAltName=DNS:{name}")
        openssl("req", *new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "10",
                "-extfile", f"{name}.ext", "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = str(tmp_path_factory.mktemp("tls"))
    make_authority(made, "localhost", "elsewhere.test")
    return made


@pytest.fixture
def tls_backend(folder):
    """Its certificate is the one of .name, which can change."""
    made = []

    def make(name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/{name}.pem", f"{folder}/{name}.key")
        context.names = []
        context.sni_callback = lambda sock, asked, _: context.names.append(asked)
        made.append(Upstream(tls=context))
        return made[-1]
    yield make
    for upstream in made:
        upstream.stop()


def https(upstream):
    return f"https://localhost:{upstream.port}"


def test_tls_with_an_authority_of_ones_own(make_api, tls_backend, folder):
    upstream = tls_backend("localhost")
    api = make_api(f"ca {folder}/ca.pem;", url=https(upstream))
    for _ in range(5):
        assert api.get("/any/a").json() == {"target": "/a"}
    assert upstream.opened == 1 and upstream.tls.names == ["localhost"]
    assert upstream.asked[-1].header("Host") == f"localhost:{upstream.port}"


@pytest.mark.parametrize("name, ca", [("elsewhere.test", "ca {folder}/ca.pem;"), ("localhost", ""),
                                      ("localhost", "ca {folder}/elsewhere.test.pem;")],
                         ids=["another's name", "not the system's", "not this authority's"])
def test_a_certificate_that_is_not_right_is_refused(make_api, tls_backend, folder, name, ca):
    upstream = tls_backend(name)
    api = make_api(ca.format(folder=folder), url=https(upstream))
    response = api.get("/any/a")
    assert (response.status, response.problem["code"]) == (502, "upstream_unreachable")
    assert api.log_contains("certificate") and upstream.asked == []


def test_verify_off_takes_any(make_api, tls_backend):
    upstream = tls_backend("elsewhere.test")
    api = make_api("verify off;", url=https(upstream))
    assert api.get("/any/a").json() == {"target": "/a"}
