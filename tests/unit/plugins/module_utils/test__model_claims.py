# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _model_claims
from ansible_collections.emprops.comfyui.plugins.module_utils._deploy_lock import this_run
from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import (
    ClaimError,
    ClaimLostError,
    Claims,
    claim_path,
    holder,
)

# Takes a file when it is told to, and says after each line what became of it.
CHILD = """
import sys
from pathlib import Path
from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import *
with Claims(float(sys.argv[2])) as claims:
    claim = None
    for line in sys.stdin:
        try:
            if line == "take\\n":
                claim = claims.take(Path(sys.argv[1]))
                print("none" if claim is None else "ours", flush=True)
            else:
                claim.check()
                print("ours", flush=True)
        except ClaimError as error:
            print("lost:", error, flush=True)
"""

# Many processes that begin at the same moment; then, when all have tried, each looks whether it still has what it got.
CROWD = """
import os, sys
from pathlib import Path
from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import *
target, number = Path(sys.argv[1]), int(sys.argv[2])
start, tried, settled, done = os.pipe(), os.pipe(), os.pipe(), os.pipe()
for _ in range(number):
    if os.fork() == 0:
        os.close(start[1])
        os.close(settled[1])
        with Claims(60) as claims:
            os.read(start[0], 1)
            claim = claims.take(target)
            os.write(tried[1], b"-" if claim is None else b"+")
            os.read(settled[0], 1)
            try:
                if claim is not None:
                    claim.renew()
                    claim.check()
                os.write(done[1], b"-" if claim is None else b"+")
            except ClaimLostError:
                os.write(done[1], b"!")
            sys.stdin.read()
        os._exit(0)
def read_all(pipe):
    return b"".join(os.read(pipe[0], 1) for _ in range(number)).decode()
os.close(start[1])
read_all(tried)
os.close(settled[1])
print(read_all(done), flush=True)
sys.stdin.read()
for _ in range(number):
    os.wait()
"""


def start(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def ask(process, line):
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.fixture(name="target")
def fixture_target(tmp_path):
    return tmp_path / "a.safetensors"


@pytest.fixture(name="child")
def fixture_child(target):
    """Another process on this machine, which has the file."""
    with start(CHILD, target, 1.0) as process:
        assert ask(process, "take") == "ours"
        yield process
        process.kill()


@pytest.fixture(name="elsewhere")
def fixture_elsewhere():
    """A process on another machine."""
    return replace(this_run(os.getpid()), controller="elsewhere/boot/pid:[1]", process="7:7", who="somebody@elsewhere")


@pytest.fixture(name="clock")
def fixture_clock(monkeypatch):
    """Our monotonic clock, which goes on when it is told to. The thread that renews waits for real, so it does nothing here."""
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now, sleep=lambda seconds: None)
    monkeypatch.setattr(_model_claims, "time", clock)
    return clock


@pytest.fixture(name="machines")
def fixture_machines(elsewhere, clock):
    """Two machines that see one store."""
    with Claims(60) as here, Claims(60, elsewhere) as there:
        yield here, there


def failing(number):
    def fail(*_arguments):
        raise OSError(number, os.strerror(number))

    return fail


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


# taking and giving back


def test_one_gets_a_file_and_the_other_is_told_who_has_it(target, machines):
    here, there = machines
    claim = there.take(target)
    assert here.take(target) is None
    assert here.holder(target) == holder(target)
    assert holder(target).startswith("somebody@elsewhere (process 7, since 20")
    claim.check()
    claim.release()
    assert holder(target) == "nobody"
    assert here.take(target) is not None


def test_a_claim_that_was_given_back_is_ours_no_more_and_leaves_nothing(target, machines):
    with machines[0].take(target) as claim:
        assert names(target) == [".a.safetensors.claim"]
    claim.release()
    with pytest.raises(ClaimLostError, match="given back"):
        claim.check()
    assert names(target) == []


def test_the_end_of_a_run_gives_everything_back(target):
    with Claims() as claims:
        assert claims.take(target) and claims.take(target.with_name("b"))
        assert claims.take(target) is None
    assert names(target) == []


def test_other_accounts_can_read_a_claim(target, machines):
    before = os.umask(0o077)
    try:
        machines[0].take(target)
    finally:
        os.umask(before)
    assert claim_path(target).stat().st_mode & 0o777 == 0o644


def test_names_too_long_for_a_claim_are_cut_and_kept_apart(tmp_path, machines):
    first, second = tmp_path / ("é" * 127 + "a"), tmp_path / ("é" * 127 + "b")
    assert machines[0].take(first) and machines[0].take(second)
    assert len(names(first)) == 2
    assert claim_path(first).name.encode().decode() == claim_path(first).name


def test_names_that_begin_alike_have_their_own_claims(tmp_path, machines):
    for name in ("a", "a.0123456789abcdef", "a.claim", ".a"):
        assert machines[0].take(tmp_path / name)


# death


def test_the_claim_of_a_killed_process_is_taken_at_once(target, child):
    with Claims(60) as claims:
        assert claims.take(target) is None
        child.send_signal(signal.SIGKILL)
        child.wait()
        claims.take(target).check()


def test_a_process_that_sleeps_too_long_loses_its_claim_and_notices_when_it_wakes(target, child):
    with Claims(1.0) as claims:
        assert claims.take(target) is None
        child.send_signal(signal.SIGSTOP)
        while (claim := claims.take(target)) is None:
            time.sleep(0.05)
        child.send_signal(signal.SIGCONT)
        said = ask(child, "check")
        assert said.startswith(f"lost: {target}: the claim was taken over by")
        assert f"process {os.getpid()}, since" in said
        claim.check()
        child.stdin.close()
        child.wait()
        claim.renew()
        claim.check()


def test_a_process_that_slept_while_nobody_wanted_its_file_keeps_it(target, child):
    child.send_signal(signal.SIGSTOP)
    time.sleep(0.6)  # more than half of the lease
    child.send_signal(signal.SIGCONT)
    assert ask(child, "check") == "ours"


def test_a_claim_is_renewed_by_itself(target):
    with Claims(0.3) as claims:
        claims.take(target)
        before = claim_path(target).read_bytes()
        while claim_path(target).read_bytes() == before:
            time.sleep(0.01)
        assert len(claim_path(target).read_bytes()) == len(before)


def test_a_silent_claim_from_elsewhere_is_dead_after_the_lease_by_our_clock(target, machines, clock):
    here, there = machines
    claim = there.take(target)
    for when in (0, 31_536_000 * 200):  # whatever their clock says
        os.utime(claim_path(target), (when, when))
        assert here.take(target) is None
    clock.now += 60
    assert here.take(target) is None
    clock.now += 1
    here.take(target).check()
    with pytest.raises(ClaimLostError, match="taken over by"):
        claim.check()


def test_a_claim_that_beats_lives_for_ever(target, machines, clock):
    here, there = machines
    claim = there.take(target)
    for _beat in range(10):
        assert here.take(target) is None
        clock.now += 59
        claim.renew()
    claim.check()


def test_who_promised_to_beat_more_slowly_is_given_the_time(target, elsewhere, clock):
    with Claims(60) as here, Claims(600, elsewhere) as there:
        there.take(target)
        assert here.take(target) is None
        clock.now += 599
        assert here.take(target) is None
        clock.now += 2
        assert here.take(target) is not None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"controller": "elsewhere"}, id="another machine"),
        pytest.param({"process": f"{os.getpid()}:{this_run(os.getpid()).process.partition(':')[2]}"}, id="a process that lives"),
        pytest.param({"process": "²:1"}, id="a number that is none"),
        pytest.param({"process": "99999999999999999999:1"}, id="a number too large"),
        pytest.param({"lease": 1e9}, id="a lease beyond measure"),
        pytest.param({"lease": "nan"}, id="a lease that is no number"),
        pytest.param({"lease": -1}, id="a negative lease"),
        pytest.param({"lease": float("inf")}, id="a lease without end"),
        pytest.param({"lease": 10**400}, id="a lease that no computer counts to"),
        pytest.param({"lease": {}}, id="a lease of another kind"),
        pytest.param({"who": "x" * 5000}, id="more than a claim has"),
        pytest.param(None, id="no claim at all"),
    ],
)
def test_what_cannot_be_known_to_be_dead_is_given_one_lease(target, machines, clock, change):
    words = {**asdict(this_run(os.getpid())), "process": "1:1", "nonce": "n", "beat": "1", "lease": 60, **(change or {})}
    claim_path(target).write_text("" if change is None else json.dumps(words))
    assert machines[0].take(target) is None
    clock.now += 61
    assert machines[0].take(target) is not None


def test_hostile_words_do_not_stop_who_asks_for_the_holder(target):
    for text in (json.dumps({**asdict(this_run(os.getpid())), "lease": 10**400}), "[" * 4000, "[]", "1", '"a"'):
        claim_path(target).write_text(text)
        assert holder(target) == "an unknown process"
    claim_path(target).unlink()
    os.mkfifo(claim_path(target))
    assert holder(target) == "an unknown process"


def test_a_process_whose_name_is_no_text_is_not_taken_for_dead(target):
    program = "open('/proc/self/comm', 'wb').write(b'\\xff'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with Claims(60, replace(this_run(os.getpid()), process=f"{process.pid}:1")) as odd, Claims(60) as claims:
            odd.take(target)
            assert claims.take(target) is None
        process.kill()


def test_a_process_that_another_account_hides_is_not_taken_for_dead(target, clock, monkeypatch):
    with Claims(60, replace(this_run(os.getpid()), process="1:1")) as hidden, Claims(60) as claims:
        hidden.take(target)
        with monkeypatch.context() as patch:
            patch.setattr(os, "kill", failing(errno.EPERM))
            assert claims.take(target) is None
        assert claims.take(target) is not None


def test_what_a_claim_says_is_printed_with_care(target):
    words = {**asdict(this_run(os.getpid())), "who": "\x1b[2J\nroot" + "x" * 1000, "nonce": "n", "lease": 60}
    claim_path(target).write_text(json.dumps(words))
    assert holder(target).isprintable() and len(holder(target)) <= 200
    claim_path(target).write_text("\x1b[2J")
    assert holder(target) == "an unknown process"


# who lost its claim touches nothing


def test_who_lost_its_claim_leaves_the_others_alone(target, machines, clock):
    here, there = machines
    old = there.take(target)
    assert here.take(target) is None
    clock.now += 61
    new = here.take(target)
    before = claim_path(target).stat().st_ctime_ns
    old.renew()
    old.release()
    assert claim_path(target).stat().st_ctime_ns == before
    new.check()


def test_a_claim_that_somebody_removed_is_lost(target, machines):
    claim = machines[0].take(target)
    claim_path(target).unlink()
    claim.renew()
    with pytest.raises(ClaimLostError, match=r"a\.safetensors: the claim is gone"):
        claim.check()
    assert names(target) == []


def test_a_claim_that_cannot_be_renewed_for_half_the_lease_is_given_up(target, machines, clock, monkeypatch):
    claim = machines[0].take(target)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing(errno.EIO))
        clock.now += 29
        claim.renew()
        claim.check()
        clock.now += 2
        with pytest.raises(ClaimLostError, match="could not be renewed for 31 seconds: Input/output error"):
            claim.check()
    claim.renew()
    with pytest.raises(ClaimLostError, match="could not be renewed"):
        claim.check()


def test_a_trouble_that_passed_is_forgotten(target, machines, clock, monkeypatch):
    claim = machines[0].take(target)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing(errno.EIO))
        claim.renew()
    clock.now += 59
    claim.check()


# two at once


def test_a_claim_that_changed_since_it_was_judged_is_put_back(target, machines):
    path = claim_path(target)
    claim = machines[0].take(target)
    judged = path.read_bytes()
    claim.renew()
    text = path.read_bytes()
    assert not _model_claims._remove(path, judged.__eq__)
    assert path.read_bytes() == text and names(target) == [path.name]
    claim.check()


def test_a_claim_that_is_moved_away_between_two_beats_is_lost(target, machines, monkeypatch):
    """The other one judged it before the beat, and moved it after we had opened it."""
    claim, path = machines[0].take(target), claim_path(target)
    write = os.pwrite

    def write_late(handle, text, offset):
        path.unlink()
        return write(handle, text, offset)

    monkeypatch.setattr(os, "pwrite", write_late)
    claim.renew()
    with pytest.raises(ClaimLostError):
        claim.check()


def test_a_holder_waits_a_moment_for_a_claim_that_somebody_looks_at(target, machines, clock):
    claim, path = machines[0].take(target), claim_path(target)
    away = path.rename(path.with_name("away"))
    clock.sleep = lambda seconds: away.exists() and away.rename(path)
    claim.renew()
    claim.check()


@pytest.mark.parametrize("dead", [False, True], ids=["a free file", "a dead one's file"])
def test_of_twenty_processes_at_once_one_gets_the_file(target, dead):
    if dead:
        with start(CHILD, target, 60) as child:
            assert ask(child, "take") == "ours"
            child.kill()
    with start(CROWD, target, 20) as crowd:
        said = crowd.stdout.readline()
        crowd.stdin.close()
        assert crowd.wait() == 0
    assert said.count("+") == 1
    assert names(target) == []


# file systems that are not what one would like


@pytest.mark.parametrize("error", [errno.EIO, errno.EEXIST])
def test_a_link_that_was_made_though_the_answer_was_lost_counts(target, machines, monkeypatch, error):
    link = os.link

    def link_and_fail(source, path):
        link(source, path)
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", link_and_fail)
    machines[0].take(target).check()
    assert names(target) == [claim_path(target).name]


def test_without_links_one_still_wins(target, machines, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    here, there = machines
    claim = here.take(target)
    assert there.take(target) is None
    path = claim_path(target)
    assert not _model_claims._remove(path, b"what was judged".__eq__)
    claim.renew()
    claim.check()
    claim.release()
    assert there.take(target) is not None
    assert names(target) == [path.name]


def test_between_two_steps_another_can_win_without_links(target, machines, monkeypatch):
    def link(source, path):
        path.write_text("another's")
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", link)
    assert machines[0].take(target) is None
    assert claim_path(target).read_text() == "another's"


def test_a_full_disk_is_told_and_keeps_nothing(target, machines, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(errno.ENOSPC))
        with pytest.raises(ClaimError, match=r"a\.safetensors cannot be claimed: No space left on device: .*\.claim"):
            machines[0].take(target)
    assert names(target) == []
    assert machines[0].take(target) is not None


def test_a_disk_that_is_full_for_the_second_file_keeps_nothing_either(target, machines, monkeypatch):
    write, handles = os.write, []

    def write_once(handle, text):
        handles.append(handle)
        return write(handle, text) if len(handles) == 1 else failing(errno.ENOSPC)()

    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setattr(os, "write", write_once)
    with pytest.raises(ClaimError, match="No space left on device"):
        machines[0].take(target)
    assert len(handles) == 2 and names(target) == []


@pytest.mark.parametrize(
    "spoil, message",
    [
        pytest.param(lambda path: path.mkdir(), "is not a file", id="a folder"),
        pytest.param(lambda path: os.mkfifo(path), "is not a file", id="a pipe"),
        pytest.param(lambda path: path.symlink_to("/etc/passwd"), "symbolic links", id="a symlink"),
        pytest.param(lambda path: path.parent.rmdir(), "No such file", id="no folder"),
        pytest.param(lambda path: (path.parent.rmdir(), path.parent.write_text("")), "Not a directory", id="no folder but a file"),
    ],
)
def test_what_is_in_the_way_is_told(tmp_path, machines, spoil, message):
    target = tmp_path / "checkpoints/a.safetensors"
    target.parent.mkdir()
    spoil(claim_path(target))
    with pytest.raises(ClaimError, match=message) as caught:
        machines[0].take(target)
    assert str(claim_path(target).parent) in str(caught.value)


@pytest.mark.parametrize("lease", [0, -1, 1e9, float("nan")])
def test_a_lease_that_cannot_be_is_refused(lease):
    with pytest.raises(ClaimError, match="at most 3600 seconds"):
        Claims(lease)


def test_what_killed_processes_left_goes_with_the_next_claim(target, machines, elsewhere):
    dead = {**asdict(replace(this_run(os.getpid()), process="1:1")), "nonce": "n", "lease": 60}
    left = {
        ".a.safetensors.0123456789abcdef.claim": (dead, 0),  # its process is gone
        ".a.safetensors.1123456789abcdef.claim": ({**dead, **asdict(elsewhere)}, -7200),  # nobody can tell, but it is old
        ".a.safetensors.2123456789abcdef.claim": ({**dead, **asdict(elsewhere)}, 0),
        ".a.safetensors.v2.claim": (dead, -7200),  # another file's
    }
    for name, (words, age) in left.items():
        path = Path(target.parent, name)
        path.write_text(json.dumps(words))
        os.utime(path, (time.time() + age,) * 2)
    machines[0].take(target)
    assert names(target) == [".a.safetensors.2123456789abcdef.claim", ".a.safetensors.claim", ".a.safetensors.v2.claim"]
