"""An HTTP API whose answers are told in order, with all their header fields, and how often it was asked for each."""
import itertools
import time
from email.utils import formatdate

from .process import eventually
from .upstream import Upstream


class Answer:
    """One answer. Fields go out as they are and nothing is added but the length of the body. {n} in the body is how often
    the path has been asked for. An answer that is not to come at once waits for `gate`, an Event."""

    def __init__(self, status=200, fields=(), body="{n}", gate=None, cut=False):
        self.status = status
        self.fields = list(fields)
        self.body = body
        self.gate = gate
        self.cut = cut  # the connection is closed instead

    def to_bytes(self, number):
        body = str(self.body).replace("{n}", str(number)).encode()
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {value}" for name, value in self.fields)]
        if self.status in (204, 304):
            body = b""
        else:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Origin(Upstream):
    """Answers of a path come in the order in which they were given, the last one again and again."""

    def says(self, path, *answers):
        numbers = itertools.count(1)

        def behave(_sock, _asked):
            number = next(numbers)
            answer = answers[min(number, len(answers)) - 1]
            if answer.gate is not None:
                answer.gate.wait(20)
            return "close" if answer.cut else answer.to_bytes(number)

        self.on(path, behave)

    def was_asked(self, path, times, within=5):
        return bool(eventually(lambda: self.count(path) == times, within))

    def asked_for(self, path):
        return [asked for asked in list(self.asked) if asked.target.split("?")[0] == path]

    def last(self, path):
        return self.asked_for(path)[-1]


def dates(seconds=0):
    """So many seconds from now, in the three forms of HTTP."""
    when = time.time() + seconds
    return {"now": formatdate(when, usegmt=True), "850": time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(when)),
            "asctime": time.asctime(time.gmtime(when))}
