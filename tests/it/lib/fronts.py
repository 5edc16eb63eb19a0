"""Debian's proxies in front of perfd: each in a folder of its own, in the foreground, ended by its pid."""
import os
import shutil
import subprocess
import tempfile

from .ports import free_ports
from .process import alive, eventually, tell

NGINX = """
{user} worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream api {{ server 127.0.0.1:{to}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 100000; client_max_body_size 0;
        proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
        location / {{ proxy_pass http://api; }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 512
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    http-reuse always
frontend consumers
    bind 127.0.0.1:{port}
    default_backend api
backend api
    server one 127.0.0.1:{to}
"""


class Front:
    def __init__(self, name, to):
        self.name = name
        self.to = to
        self.folder = tempfile.mkdtemp(prefix=f"{name}-it.", dir="/tmp")
        (self.port,) = free_ports(1)
        self.process = None

    def start(self):
        conf = f"{self.folder}/conf"
        words = {"folder": self.folder, "port": self.port, "to": self.to,
                 "user": "user root;" if os.geteuid() == 0 else ""}
        with open(conf, "w", encoding="ascii") as out:
            out.write({"nginx": NGINX, "haproxy": HAPROXY}[self.name].format(**words))
        argv = {"nginx": ["-p", self.folder, "-c", conf], "haproxy": ["-db", "-f", conf]}[self.name]
        with open(f"{self.folder}/stderr", "wb") as err:
            self.process = subprocess.Popen([path_of(self.name), *argv], stdin=subprocess.DEVNULL, stdout=err,
                                            stderr=err)
        return self

    def said(self):
        text = ""
        for name in ("stderr", "error.log"):
            if os.path.exists(f"{self.folder}/{name}"):
                with open(f"{self.folder}/{name}", encoding="utf-8", errors="replace") as log:
                    text += log.read()
        return text

    def stop(self):
        if self.process is not None:
            tell(self.process.pid, 15)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                tell(self.process.pid, 9)
                self.process.wait()
            assert eventually(lambda: not alive(self.process.pid))
        shutil.rmtree(self.folder, ignore_errors=True)


def path_of(program):
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert path is not None, f"{program} is not installed: scripts/install-deps check"
    return path
