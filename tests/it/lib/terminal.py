"""A terminal as people have it: tmux, of which what stands on the screen can be read."""
import os
import shlex
import subprocess
import uuid

from .process import eventually


class Terminal:
    """`with Terminal(80, 24) as terminal:` has a shell in it."""

    def __init__(self, columns, rows, env=None):
        self.socket = f"perfd-{uuid.uuid4().hex[:12]}"
        shell = ["env", "LC_ALL=C.UTF-8", "PS1=ready> ", *[f"{k}={v}" for k, v in (env or {}).items()], "bash", "--norc", "--noprofile"]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), shlex.join(shell))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmux("kill-server")

    def tmux(self, *words):
        env = {**os.environ, "LC_ALL": "C.UTF-8"}
        env.pop("TMUX", None)
        return subprocess.run(["tmux", "-L", self.socket, *words], capture_output=True, text=True, check=True, timeout=10,
                              env=env).stdout

    def run(self, *words):
        self.tmux("send-keys", "-l", shlex.join(words))
        self.press("Enter")

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def text(self, colours=False):
        return self.tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def lines(self):
        return self.text().split("\n")

    def shows(self, *wanted, within=4):
        """Until all of them stand on the screen; the screen, or an error that shows it."""
        if eventually(lambda: all(text in self.text() for text in wanted), within, every=0.05):
            return self.text()
        raise AssertionError(f"{wanted} is not all there:\n{self.text()}")
