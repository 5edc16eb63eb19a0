"""Starts the servers, makes sure that all serve the same, measures them in turns, and tells what came out."""
import contextlib
import json
import os
import platform
import resource
import shutil
import sys
import tempfile

from lib.http_client import Connection

from . import packages, report
from .load import Shape, measure
from .servers import SERVERS, Place, body_of, has_directive

EX_OK, EX_FAILED = 0, 1


def say(text):
    print(text, file=sys.stderr, flush=True)


def choose_cpus():
    """(of the load, of the servers). The first and the last are rarely two threads of one core."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise RuntimeError("two CPUs are needed, one for the servers and one for the load")
    return allowed[0], allowed[-1]


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settings_of_perfd(through):
    if has_directive("fast_path"):
        return "fast_path off;" if through == "evhttp" else ""
    say("this perfd has no fast_path: all its answers go through evhttp")
    return ""


def make_servers(place, options):
    settings = settings_of_perfd(options.through) if "perfd" in options.only else ""
    return [SERVERS[name](place, settings) if name == "perfd" else SERVERS[name](place) for name in options.only]


# ---- all serve the same

def ask(server, shape):
    """Asks as wrk will; RuntimeError when the answer is not the one that is compared."""
    with Connection(server.port) as connection:
        response = connection.request("GET", shape.path, headers=shape.headers)
        closing = connection.closing
    length, coding = response.header("content-length"), response.header("content-encoding")
    for is_wrong, what in ((response.status != 200, f"status {response.status}"),
                           (length != str(shape.body), f"Content-Length {length}"),
                           (coding is not None, f"Content-Encoding {coding}"),
                           (response.body != body_of(shape.body), f"another body, {response.body[:60]!r}..."),
                           (closing != (shape.mode == "close"), f"Connection: close {'' if closing else 'not '}meant")):
        if is_wrong:
            raise RuntimeError(f"{server.name} does not serve what is compared: {what} ({shape})")
    return response


def verify(server, shapes):
    for shape in shapes:
        ask(server, shape)  # fills a cache
        problem = server.hit_problem(ask(server, shape))
        if problem:
            raise RuntimeError(f"{server.name}: {problem} ({shape})")


# ---- measuring

def shapes_of(options):
    return [Shape(body, connections, mode, fields) for body in options.bodies for connections in options.connections
            for mode in options.modes for fields in options.fields]


def measure_row(shape, servers, options, progress):
    row = report.Row(shape, {server.name: [] for server in servers})
    for number in range(options.rounds):
        first = number % len(servers)
        for server in servers[first:] + servers[:first]:
            say(f"{progress}, round {number + 1} of {options.rounds}: {server.name}")
            row.runs[server.name].append(measure(server, shape, options.seconds))
    return row


def measure_all(servers, shapes, options):
    titles = {server.name: server.title for server in servers}
    rows = []
    for number, shape in enumerate(shapes, 1):
        rows.append(measure_row(shape, servers, options, f"row {number} of {len(shapes)}"))
        report.print_row(rows[-1], titles)
    return rows


# ---- the whole

def about(servers, options):
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
        models = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    used = dict.fromkeys(["wrk", *(server.package for server in servers if server.package)])
    return {"cpu": models[0] if models else platform.machine(), "kernel": platform.release(),
            "packages": {name: packages.version_of(name) for name in used},
            "through": options.through or "fast", "seconds": options.seconds, "rounds": options.rounds}


def print_about(facts):
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    print(f"{facts['cpu']}, Linux {facts['kernel']}\n{versions}")
    print(f"medians of {facts['rounds']} rounds of {facts['seconds']} s")


def conclude(rows, servers, options, facts):
    peers = ["evhttp-tuned", "evhttp"] if options.through == "evhttp" else ["loop", "nginx"]
    peers = [peer for peer in peers if peer in options.only]
    if options.json:
        with open(options.json, "w", encoding="ascii") as out:
            json.dump(report.as_json(rows, peers, facts), out, indent=1)
    print()
    if peers:
        report.print_summary(rows, peers, {server.name: server.title for server in servers})
    problems = [f"{row.shape}: {name} failed" for row in rows for name in row.runs if row.failure(name)]
    problems += [f"{server.name}: {text}" for server in servers if (text := server.end_problem())]
    if options.gate:
        problems += report.gate_problems(rows)
    for problem in problems:
        print(f"FAILED  {problem}")
    return EX_FAILED if problems else EX_OK


def compare(options):
    load_cpu, server_cpu = choose_cpus()
    os.sched_setaffinity(0, {load_cpu})  # what is started inherits it, unless it is pinned
    raise_file_limit()
    shapes = shapes_of(options)
    with contextlib.ExitStack() as ending:
        folder = tempfile.mkdtemp(prefix="perfd-compare.", dir="/tmp")
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        servers = make_servers(Place(folder, options.bodies, server_cpu), options)
        for server in servers:
            say(f"starting {server.name}")
            ending.callback(server.stop)
            server.start()
            verify(server, shapes)
        facts = about(servers, options)
        print_about(facts)
        seconds = len(shapes) * len(servers) * options.rounds * options.seconds
        say(f"{len(shapes)} rows, {seconds // 60 + 1} minutes or more")
        rows = measure_all(servers, shapes, options)
        return conclude(rows, servers, options, facts)
