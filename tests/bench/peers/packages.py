"""Debian packages that are missing are installed, without their daemons being started."""
import contextlib
import os
import subprocess
import sys

OF_COMPARE = ["build-essential", "libevent-dev", "wrk", "python3-psycopg2"]
OF_SERVER = {  # in the table's order
    "perfd": [],
    "loop": [],
    "evhttp-tuned": [],
    "evhttp": [],
    "nginx": ["nginx-light", "libnginx-mod-http-lua"],
    "h2o": ["h2o"],
    "varnish": ["varnish"],
}
POLICY = "/usr/sbin/policy-rc.d"
FORBIDDEN = 101  # what a policy says that lets nothing start: invoke-rc.d(8)


class Missing(Exception):
    """Something must be installed and cannot."""


def _asked(package, what):
    """dpkg's word on it; "" when it never heard of it."""
    return subprocess.run(["dpkg-query", "-W", "-f", what, package], capture_output=True, text=True, check=False).stdout


def _missing_of(packages):
    return [package for package in packages if _asked(package, "${db:Status-Status}") != "installed"]


def version_of(package):
    return _asked(package, "${Version}")


@contextlib.contextmanager
def _no_service_starts():
    if os.path.exists(POLICY):
        if subprocess.run([POLICY, "nginx", "start"], check=False).returncode != FORBIDDEN:
            raise Missing(f"{POLICY} is there and may let services start; install by hand what is missing")
        yield
        return
    with open(POLICY, "x", encoding="ascii") as policy:
        policy.write(f"#!/bin/sh\nexit {FORBIDDEN}\n")
    try:
        os.chmod(POLICY, 0o755)
        yield
    finally:
        os.unlink(POLICY)


def install(servers):
    """What is missing for a comparison of these."""
    missing = _missing_of(OF_COMPARE + [package for server in servers for package in OF_SERVER[server]])
    if not missing:
        return
    if os.geteuid() != 0:
        raise Missing(f"missing packages, install them as root: apt-get install {' '.join(missing)}")
    print(f"installing {' '.join(missing)}", file=sys.stderr)
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    with _no_service_starts():
        subprocess.run(["apt-get", "-qq", "update"], **quiet)
        subprocess.run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing], **quiet)
