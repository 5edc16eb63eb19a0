"""What the Debian package does at an upgrade, as far as that can be tried without installing it."""
import os

import pytest

from lib.perfd import ROOT, run

POSTINST = f"{ROOT}/scripts/debian/perfd.postinst"
pytestmark = pytest.mark.once


@pytest.fixture
def configure(tmp_path):
    """Runs the script after stand-ins, which end as they are told, for what it calls; returns what it called."""
    calls = tmp_path / "calls"

    def configure(*args, active, upgrades, good=True):
        calls.write_text("")
        for name, code in (("systemctl", 0 if active else 3), ("perfctl", 0 if upgrades else 1), ("perfd", 0 if good else 2),
                           ("deb-systemd-invoke", 1)):
            (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{calls}\nexit {code}\n')
            (tmp_path / name).chmod(0o755)
        done = run("sh", POSTINST, *args, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
        assert done.code == 0, done
        return [line for line in calls.read_text().splitlines() if not line.startswith(("systemctl", "perfd "))]
    return configure


UPGRADE = "perfctl --dir /run/perfd upgrade"
RESTART = "deb-systemd-invoke try-restart perfd.service"


def test_a_new_version_takes_over_from_the_one_that_runs(configure):
    assert configure("configure", "0.0.9", active=True, upgrades=True) == [UPGRADE]


def test_where_it_cannot_it_is_started_anew(configure):
    assert configure("configure", "0.0.9", active=True, upgrades=False) == [UPGRADE, RESTART]


def test_a_wrong_configuration_ends_nothing(configure):
    assert configure("configure", "0.0.9", active=True, upgrades=False, good=False) == [UPGRADE]


def test_what_does_not_run_is_left_so(configure):
    assert not configure("configure", "0.0.9", active=False, upgrades=True)
    assert not configure("abort-upgrade", "0.0.9", active=True, upgrades=True)
