# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._deploy_lock import (
    DeployLockError,
    hold,
    is_dead,
    read_holder,
    release,
    this_run,
)


@pytest.fixture(name="mine")
def fixture_mine():
    return this_run(os.getpid())


@pytest.fixture(name="other")
def fixture_other():
    """A run whose process really lives until the test ends."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield this_run(process.pid), process
    process.kill()
    process.wait()


def test_a_run_can_hold_a_machine_any_number_of_times_and_give_it_back(tmp_path, mine):
    hold(tmp_path / "state", mine, wait=0, stale=3600)
    hold(tmp_path / "state", mine, wait=0, stale=3600)
    assert read_holder(tmp_path / "state") == mine
    assert release(tmp_path / "state", mine)
    assert read_holder(tmp_path / "state") is None


def test_the_second_run_is_told_who_holds_the_machine(tmp_path, mine, other):
    hold(tmp_path, other[0], wait=0, stale=3600)
    with pytest.raises(DeployLockError, match=f"process {other[1].pid} of the controller"):
        hold(tmp_path, mine, wait=0.2, stale=3600)
    assert read_holder(tmp_path) == other[0]


def test_a_run_cannot_give_back_what_another_holds(tmp_path, mine, other):
    hold(tmp_path, other[0], wait=0, stale=3600)
    assert not release(tmp_path, mine)
    assert read_holder(tmp_path) == other[0]


def test_the_second_run_can_wait(tmp_path, mine, other):
    hold(tmp_path, other[0], wait=0, stale=3600)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(hold, tmp_path, mine, wait=30, stale=3600)
        release(tmp_path, other[0])
        waiting.result()
    assert read_holder(tmp_path) == mine


def test_a_killed_run_is_known_to_be_dead_and_its_place_is_taken(tmp_path, mine, other):
    run, process = other
    assert not is_dead(asdict(run))
    hold(tmp_path, run, wait=0, stale=3600)
    process.kill()
    process.wait()
    assert is_dead(asdict(run))
    hold(tmp_path, mine, wait=0, stale=3600, gone=run)
    assert read_holder(tmp_path) == mine


def test_a_run_from_another_controller_is_never_taken_for_dead(other):
    run, process = other
    process.kill()
    process.wait()
    assert not is_dead(asdict(replace(run, controller="elsewhere/boot/pid:[1]")))


def test_another_process_under_a_dead_ones_number_does_not_count_as_the_run(mine):
    assert is_dead(asdict(replace(mine, process=f"{os.getpid()}:1")))


def test_of_many_runs_at_once_one_gets_the_machine(tmp_path, mine):
    runs = [replace(mine, process=f"{number}:1") for number in range(16)]

    def attempt(run):
        try:
            hold(tmp_path, run, wait=0, stale=3600)
        except DeployLockError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, runs)) == 1


def test_a_lock_file_that_cannot_be_read_is_named(tmp_path, mine):
    (tmp_path / "deploy.json").write_text("half")
    with pytest.raises(DeployLockError, match=r"deploy\.json cannot be read"):
        hold(tmp_path, mine, wait=0, stale=3600)


def test_a_run_that_nobody_can_ask_counts_as_dead_long_after_its_last_sign_of_life(tmp_path, mine, other):
    elsewhere = replace(other[0], controller="elsewhere/boot/pid:[1]")
    hold(tmp_path, elsewhere, wait=0, stale=3600)
    os.utime(tmp_path / "deploy.json", (0, 0))
    (tmp_path / "releases.lock").touch()
    with pytest.raises(DeployLockError):
        hold(tmp_path, mine, wait=0, stale=3600)
    os.utime(tmp_path / "releases.lock", (0, 0))
    assert hold(tmp_path, mine, wait=0, stale=3600) == elsewhere
    assert read_holder(tmp_path) == mine


def test_of_many_runs_that_find_a_dead_one_a_single_one_takes_its_place(tmp_path, mine, other):
    gone = replace(other[0], process="1:gone")
    hold(tmp_path, gone, wait=0, stale=3600)

    def attempt(number):
        try:
            hold(tmp_path, replace(mine, process=f"{number}:1"), wait=0, stale=3600, gone=gone)
        except DeployLockError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, range(16))) == 1
