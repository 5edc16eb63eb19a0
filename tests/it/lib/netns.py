"""A network of its own in front of PostgreSQL: a namespace behind a veth pair, in which TCP is passed on to the server's
unix socket. When its link is down nothing is refused and nothing breaks: what is sent is gone."""
import os
import shutil
import subprocess
import sys

PORT = 5432
PASS_ON = """
import asyncio, contextlib, sys
async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
    writer.close()
async def pair(reader, writer):
    to_reader, to_writer = await asyncio.open_unix_connection(sys.argv[1])
    await asyncio.gather(pump(reader, to_writer), pump(to_reader, writer))
async def main():
    server = await asyncio.start_server(pair, sys.argv[2], int(sys.argv[3]))
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def available():
    """Whether this user may make namespaces here."""
    name = f"perfd-it-{os.getpid()}-try"
    if os.geteuid() != 0 or shutil.which("ip") is None or subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    subprocess.run(["ip", "netns", "del", name], check=False)
    return True


class Network:
    """`with Network(server_path) as network:` network.host and PORT lead to the server."""

    def __init__(self, server_path):
        number = os.getpid() % 250
        self.name = f"perfd-it-{os.getpid()}"
        self.near, self.far = f"pfi{os.getpid()}a"[:15], f"pfi{os.getpid()}b"[:15]
        self.own, self.host = f"10.231.{number}.1", f"10.231.{number}.2"
        self.server_path = server_path
        self.process = None

    def _ip(self, *words, inside=False):
        subprocess.run([*(["ip", "netns", "exec", self.name] if inside else []), "ip", *words], check=True)

    def __enter__(self):
        self._ip("netns", "add", self.name)
        self._ip("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.name)
        self._ip("addr", "add", f"{self.own}/24", "dev", self.near)
        self._ip("link", "set", self.near, "up")
        self._ip("addr", "add", f"{self.host}/24", "dev", self.far, inside=True)
        self.join()
        # As behind a router: that the server's address cannot be found must not be an error of its own.
        with open(f"/sys/class/net/{self.near}/address", encoding="ascii") as near:
            self._ip("neigh", "replace", self.own, "lladdr", near.read().strip(), "dev", self.far, "nud", "permanent",
                     inside=True)
        link = subprocess.run(["ip", "netns", "exec", self.name, "cat", f"/sys/class/net/{self.far}/address"], check=True,
                              capture_output=True, text=True)
        self._ip("neigh", "replace", self.host, "lladdr", link.stdout.strip(), "dev", self.near, "nud", "permanent")
        self.process = subprocess.Popen(["ip", "netns", "exec", self.name, sys.executable, "-c", PASS_ON,
                                         self.server_path, self.host, str(PORT)], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._ip("link", "del", self.near)
        self._ip("netns", "del", self.name)

    def cut(self):
        self._ip("link", "set", self.far, "down", inside=True)

    def join(self):
        self._ip("link", "set", self.far, "up", inside=True)
