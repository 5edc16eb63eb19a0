"""The papers say what the programs take: manual pages, help, completion."""
import os
import re
import subprocess

import pytest

from lib.perfd import BUILD, PERFCTL, PERFD, ROOT, run

PAGES = ["perfd.8", "perfd.conf.5", "perfctl.1"]
pytestmark = pytest.mark.once


def page(name):
    with open(f"{BUILD}/man/{name}", encoding="utf-8") as text:
        return text.read()


def commands():
    usage = run(PERFCTL, "--help").out.split("\n\n")[1]
    return re.findall(r"^  (\S+)", usage, re.M)


def signals():
    """Name and the command that does the same, or None."""
    return re.findall(r"^  (SIG\w+)(?:, perfctl (\w+))?$", run(PERFD, "--help-signals").out, re.M)


@pytest.mark.parametrize("name", PAGES)
def test_a_manual_page_has_no_mistake(name):
    lint = run("mandoc", "-Tlint", "-W", "warning", f"{BUILD}/man/{name}")
    assert lint.code == 0 and not lint.out + lint.err, lint


@pytest.mark.parametrize("name", PAGES)
def test_a_manual_page_shows_every_word_of_its_source(name):
    """man drops what follows a wrong macro without a word."""
    shown = subprocess.run(["man", "--warnings", "-l", f"{BUILD}/man/{name}"], capture_output=True, text=True, check=True,
                           env={**os.environ, "MANWIDTH": "100", "MANPAGER": "cat", "LC_ALL": "C.UTF-8"})
    assert not shown.stderr, shown.stderr
    assert "@" not in re.sub(r"\S+@\S+", "", page(name)).replace("@@", ""), "a table was not filled in"
    assert len(shown.stdout) > 2000


def test_every_signal_is_described_and_its_command_exists():
    found = signals()
    assert len(found) >= 6 and ("SIGHUP", "reload") in found
    manual, usage = page("perfd.8"), run(PERFD, "--help").out
    for name, verb in found:
        item = f".It Dv {name} , Ic perfctl {verb}\n" if verb else f".It Dv {name}\n"
        text = manual.split(item)[1].split(".It")[0] if item in manual else ""
        assert len(text.split()) > 3, f"perfd.8 does not describe {name}"
        assert name in usage
        assert not verb or verb in commands(), f"perfctl {verb} is promised for {name}"


def test_every_command_of_perfctl_is_described():
    manual = page("perfctl.1")
    assert len(commands()) >= 10
    for name in commands():
        found = re.search(rf"^\.It Cm {name}\b.*\n(.+)", manual, re.M)
        assert found and len(found[1].split()) > 2, f"perfctl.1 does not describe {name}"


def test_every_command_of_perfctl_has_an_example():
    examples = page("perfctl.1").split("\n.Sh EXAMPLES\n")[1].split("\n.Sh ")[0]
    shown = {word for line in re.findall(r"^\.Dl (.*)", examples, re.M)
             for call in re.findall(r"\bperfctl\b([^|;&)]*)", line) for word in call.split()}
    assert not set(commands()) - shown, "perfctl.1 has no example of these"


def helps(program):
    """What its help says, and that of each of its commands."""
    return run(program, "--help").out + "".join(run(program, name, "--help").out for name in commands() if program == PERFCTL)


@pytest.mark.parametrize("program, name", [(PERFD, "perfd.8"), (PERFCTL, "perfctl.1")])
def test_every_option_is_described(program, name):
    options = re.findall(r"(?<!\S)--([a-z-]+)", helps(program))
    assert len(set(options)) >= 4
    for option in set(options) - {"help", "version"}:
        assert re.search(rf"^\.It Fl .*-{option}\b", page(name), re.M), f"{name} does not describe --{option}"


def completions(program, *words):
    """What bash offers for the last one of words."""
    script = f"""source {ROOT}/scripts/install/completion.bash
        complete -p perfctl perfd >/dev/null || exit 1
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _perfd_complete "$1"; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = run("bash", "-uc", script, "bash", program, *words)
    assert done.code == 0 and not done.err, done
    return done.out.split()


def test_bash_completes_commands_and_options(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    offered = completions(PERFCTL, "")
    assert sorted(word for word in offered if not word.startswith("-")) == sorted(commands())
    assert {"--dir", "-o", "--json-is-none"} & set(offered) == {"--dir", "-o"}
    assert completions(PERFCTL, "rel") == ["reload"]
    assert completions(PERFCTL, "--dir", "/x", "-o", "json", "rel") == ["reload"]
    assert completions(PERFCTL, "reload", "p") == [] and "--dir" in completions(PERFCTL, "reload", "--")
    assert completions(PERFCTL, "-o", "") == ["csv", "json", "prom", "table"]
    assert "--analyze" in completions(PERFCTL, "explain", "--") and "--analyze" not in completions(PERFCTL, "routes", "--")
    assert completions(PERFCTL, "load", f"{tmp_path}/f") == [f"{tmp_path}/file", f"{tmp_path}/folder"]
    for words in (["diff"], ["snapshot"], ["log"], ["capacity"], ["check", "--rules"], ["explain", "--conf"], ["flame", "--output-file"]):
        assert completions(PERFCTL, *words, f"{tmp_path}/f") == [f"{tmp_path}/file", f"{tmp_path}/folder"], words
    assert completions(PERFCTL, "routes", f"{tmp_path}/f") == completions(PERFCTL, "stats", "--window", "") == []
    assert completions(PERFCTL, "purge", "r") == ["route"] and completions(PERFCTL, "top", "s") == ["slow", "stats"]
    assert "--vus" in completions(PERFCTL, "load", "--")
    assert completions(PERFCTL, "--dir", f"{tmp_path}/f") == [f"{tmp_path}/folder"]
    assert completions(PERFD, "-c", f"{tmp_path}/f") == [f"{tmp_path}/file", f"{tmp_path}/folder"]
    assert {"-c", "-t", "-T", "--help-signals"} <= set(completions(PERFD, ""))
    assert "stop" not in completions(PERFD, "")
