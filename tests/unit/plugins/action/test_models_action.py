# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The task as a play runs it, with the real ansible-playbook, against a hub that is as slow as the test wants it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.emprops.comfyui.plugins.action.models import DEFAULTS
from ansible_collections.emprops.comfyui.plugins.modules import models
from support.hub import Hub

CHECKOUT = Path(__file__).parents[4]
CONTENT = b"GGUF\x03\0\0\0" + bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
# Writes down all that goes to the machine, loses the line as often as one file beside says, and puts the other's lies into answers.
WATCHED = '''
DOCUMENTATION = """
    name: watched
    short_description: The local connection, watched
    description: For tests.
    author: nobody
    options:
        become_success_timeout: {type: int, default: 10, description: as local has it}
        become_strip_preamble: {type: bool, default: true, description: as local has it}
    extends_documentation_fragment: [connection_pipelining]
"""
import json
import os
from pathlib import Path
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local

HERE = Path(__file__).parent


class Connection(Local):
    transport = "watched"
    always_pipeline_modules = (HERE / "no_jobs").exists()

    def exec_command(self, cmd, in_data=None, sudoable=True):
        self.note(cmd.encode() + b" " + (in_data or b""))
        if "models.progress.json" in cmd and (HERE / "losses").exists():
            losses = int((HERE / "losses").read_text())
            (HERE / "losses").write_text(str(losses - 1))
            if losses > 0:
                raise AnsibleConnectionFailure("the line is dead")
        status, out, errors = super().exec_command(cmd, in_data, sudoable)
        if (HERE / "lies").exists() and b"invocation" in out:
            out = json.dumps({**json.loads(out), **json.loads((HERE / "lies").read_text())}).encode()
        return status, out, errors

    def put_file(self, in_path, out_path):
        self.note(Path(in_path).read_bytes())
        return super().put_file(in_path, out_path)

    def note(self, data):
        with (HERE / "sent").open("ab") as file:
            file.write(data + b"\\n")
'''

# Keeps what the task registered; a task on the machine that writes it would double the time.
KEEPER = '''
DOCUMENTATION = """
    name: keeper
    type: aggregate
    short_description: Keep what debug shows
    description: For tests.
"""
import json
from pathlib import Path
from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_NAME = "keeper"

    def v2_runner_on_ok(self, result):
        if "brought" in result._result:
            Path("brought.json").write_text(json.dumps(result._result["brought"]))
'''


@pytest.fixture(name="hub")
def fixture_hub(tmp_path):
    root = tmp_path / "hub"
    (root / "org/gated").mkdir(parents=True)
    (root / "org/gated/.gated").touch()
    for name in ("a.gguf", "b.gguf", "org/gated/c.gguf"):
        (root / name).write_bytes(CONTENT)
    with Hub(root, token="t0ken-s3cret") as hub:
        yield hub


class Play:
    """A play of one task in a folder of its own."""

    def __init__(self, folder, hub):
        self.folder, self.hub = folder, hub
        self.store, self.state, self.jobs = folder / "store", folder / "state", folder / "jobs"
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        (self.plugins / "watched.py").write_text(WATCHED)
        (self.plugins / "keeper.py").write_text(KEEPER)
        (folder / "ansible.cfg").write_text("")

    def model(self, name, **more):
        return {"name": name, "directory": "unet", "url": f"{self.hub.url}/files/{name}", **more}

    def gated(self):
        return self.model("c.gguf", url=f"{self.hub.url}/org/gated/resolve/main/c.gguf")

    def start(self, *names, arguments=(), task=None, environment=None, **options):
        models = [self.model(name) if isinstance(name, str) else name for name in names]
        given = {"store": str(self.store), "state_dir": str(self.state), "reserve": 0, "connections": 1, "progress_seconds": 1}
        hosts = {"allowed_hosts": [self.hub.url, self.hub.storage_url]}
        task = {"emprops.comfyui.models": {**given, **hosts, "models": models, **options}, "register": "brought", **(task or {})}
        tasks = [{**task, "ignore_errors": True}, {"ansible.builtin.debug": {"var": "brought"}}]
        play = [{"hosts": "gpu-1", "gather_facts": False, "tasks": tasks}]
        (self.folder / "play.yml").write_text(json.dumps(play))
        (self.folder / "hosts").write_text(f"gpu-1 ansible_connection=watched ansible_python_interpreter={sys.executable}\n")
        (self.plugins / "sent").unlink(missing_ok=True)
        (self.folder / "brought.json").unlink(missing_ok=True)
        program = Path(sys.executable).with_name("ansible-playbook")
        return subprocess.Popen(
            [program, "-i", self.folder / "hosts", self.folder / "play.yml", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible/collections"),
                "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
                "ANSIBLE_CONNECTION_PLUGINS": str(self.plugins),
                "ANSIBLE_CALLBACK_PLUGINS": str(self.plugins),
                "ANSIBLE_CALLBACKS_ENABLED": "keeper",
                "ANSIBLE_HOME": str(self.folder / "home"),
                "ANSIBLE_ASYNC_DIR": str(self.jobs),
                "ANSIBLE_REMOTE_TMP": str(self.folder / "tmp"),
                "ANSIBLE_PIPELINING": "true",
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process):
        """What the play showed, and what the task returned."""
        shown = process.communicate()[0]
        assert (self.folder / "brought.json").exists(), shown
        return shown, json.loads((self.folder / "brought.json").read_text())

    def litter(self):
        """Files of a module's run, which hold its options, that stay; a job's wrapper removes its own a moment after its answer."""
        deadline = time.monotonic() + 10
        while (found := [path for path in (self.folder / "tmp").rglob("*") if path.is_file()]) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def run(self, *names, **more):
        return self.finish(self.start(*names, **more))

    def calls(self):
        """How often the module was sent."""
        return self.sent().count(b'"_ansible_module_name": "emprops.comfyui.models"')

    def sent(self):
        return (self.plugins / "sent").read_bytes()


@pytest.fixture(name="play")
def fixture_play(tmp_path, hub):
    return Play(tmp_path, hub)


def lines(shown):
    return [line.removeprefix("gpu-1 | ") for line in shown.splitlines() if line.startswith("gpu-1 | ")]


def states(result):
    return [row["state"] for row in result["models"]]


def wait_for(what):
    for _turn in range(600):
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


def processes(words):
    """Processes of ours whose command line has these words."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words.encode() in place.read_bytes():
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found


def test_the_play_shows_the_plan_what_moves_and_what_came_and_then_nothing(play):
    play.hub.rate = 100_000
    shown, result = play.run("a.gguf")
    plan, source, *moves, head, row = lines(shown)
    assert plan == "models: 1 of 1 are missing: 300 kB to download"
    assert source == f"  unet/a.gguf  300 kB from 127.0.0.1:{play.hub.port}"
    moves = [line for line in moves if not line.startswith("  filesystem of ")]
    assert moves and all(re.match(r"models [01]/1 files, \S+( kB| bytes)? of 300 kB, \S+ (kB|bytes)/s", line) for line in moves)
    assert head.startswith("models: 1 brought, 0 present; 300 kB in ") and row.startswith("  unet/a.gguf  127.0.0.1:")
    assert result["changed"] and states(result) == ["downloaded"] and result["models"][0]["sha256"] == SHA256
    assert not {"ansible_job_id", "results_file", "started", "finished"} & result.keys()
    assert (play.store / "unet/a.gguf").read_bytes() == CONTENT
    assert list(play.jobs.iterdir()) == play.litter() == []

    asked = len(play.hub.requests)
    shown, result = play.run("a.gguf")
    assert lines(shown) == [] and not result["changed"] and states(result) == ["present"]
    assert len(play.hub.requests) == asked
    assert play.calls() == 1  # no more than any module costs


def test_a_file_that_nobody_knows_yet_is_recorded_though_nothing_is_missing(play):
    (play.store / "unet").mkdir(parents=True)
    (play.store / "unet/a.gguf").write_bytes(CONTENT)
    shown, result = play.run("a.gguf")
    assert lines(shown) == [] and not result["changed"] and states(result) == ["present"]
    assert str(play.store / "unet/a.gguf") in json.loads((play.state / "models.json").read_text())["files"]


def test_check_mode_shows_the_plan_and_changes_nothing(play):
    shown, result = play.run("a.gguf", arguments=["--check"])
    assert lines(shown)[0] == "models: 1 of 1 are missing: 300 kB to download"
    assert result["changed"] and states(result) == ["missing"]
    assert not play.store.exists() and not play.jobs.exists()


def test_without_lines_it_is_a_plain_module(play):
    shown, result = play.run("a.gguf", progress_seconds=0)
    assert states(result) == ["downloaded"] and not play.jobs.exists()
    assert any(line.startswith("models: 1 brought") for line in lines(shown))


@pytest.mark.parametrize("why", ["no jobs on this connection", "no place for jobs"])
def test_where_no_job_can_be_started_it_is_a_plain_module(play, why):
    (play.plugins / "no_jobs").touch() if why == "no jobs on this connection" else play.jobs.write_text("")
    _shown, result = play.run("a.gguf")
    assert states(result) == ["downloaded"] and not result.get("failed")
    assert play.litter() == []


def test_a_line_that_is_lost_for_a_while_does_not_end_it(play):
    play.hub.rate = 200_000
    (play.plugins / "losses").write_text("3")
    _shown, result = play.run("a.gguf")
    assert states(result) == ["downloaded"] and int((play.plugins / "losses").read_text()) < 0


def test_what_is_killed_on_the_machine_is_said_and_the_next_run_goes_on(play):
    play.hub.rate = 20_000
    process = play.start("a.gguf")
    job = wait_for(
        lambda: play.jobs.is_dir() and [path.name for path in play.jobs.iterdir() if "." in path.name and "tmp" not in path.name]
    )[0]
    wait_for(lambda: play.hub.sent() > 20_000)
    wrappers = processes(job.partition(".")[0] + "\0")
    children = [int(pid) for one in wrappers for pid in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    for pid in {*wrappers, *children}:
        os.kill(pid, signal.SIGKILL)
    shown, result = play.finish(process)
    assert result["failed"] and "ended without an answer" in result["msg"]
    assert not (play.store / "unet/a.gguf").exists()
    play.hub.rate = None
    _shown, result = play.run("a.gguf")
    assert states(result) == ["downloaded"] and (play.store / "unet/a.gguf").read_bytes() == CONTENT


def test_the_module_alone_being_killed_is_said_too(play):
    play.hub.rate = 20_000
    process = play.start("a.gguf")
    wait_for(lambda: play.hub.sent() > 20_000)
    job = next(path.name for path in play.jobs.iterdir())
    wrapper = max(processes(job.partition(".")[0] + "\0"))
    for pid in Path(f"/proc/{wrapper}/task/{wrapper}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    _shown, result = play.finish(process)
    assert result["failed"] and "was ended on the machine" in result["msg"]


def test_the_download_goes_on_when_the_controller_dies_and_the_next_run_finds_it(play):
    play.hub.rate = 100_000
    process = play.start("a.gguf")
    wait_for(lambda: play.hub.sent() > 20_000)
    process.kill()
    process.communicate()
    _shown, result = play.run("a.gguf")
    assert states(result) == ["present"]
    assert play.hub.sent("/files/a.gguf") < 2 * len(CONTENT)


def test_failures_are_shown_by_name_and_the_others_are_brought(play):
    play.hub.faults["/files/b.gguf"] = "404"
    shown, result = play.run("a.gguf", "b.gguf")
    assert result["failed"] and result["changed"] and states(result) == ["downloaded", "failed"]
    assert any(line.startswith("  failed: unet/b.gguf: ") for line in lines(shown))
    assert "unet/b.gguf" in result["msg"]


def test_a_list_that_cannot_be_is_the_modules_to_refuse(play):
    _shown, result = play.run({"name": "../a", "directory": "unet", "url": f"{play.hub.url}/files/a.gguf"})
    assert result["failed"] and "unet/../a" in result["msg"] and not play.jobs.exists()


@pytest.mark.parametrize("models", ["a.gguf", ["name=a.gguf directory=unet url=https://hub.example/a?token=s3cret"]])
def test_a_list_in_another_shape_is_not_shown_to_a_machine_without_tokens(play, models):
    _shown, result = play.run(models=models, tokens_stay_on_controller=True)
    assert result["failed"] and "models must be a list of dictionaries" in result["msg"]
    assert not (play.plugins / "sent").exists()


def test_a_task_that_is_not_to_be_logged_shows_nothing(play):
    shown, result = play.run("a.gguf", task={"no_log": True})
    assert lines(shown) == [] and "a.gguf" not in shown.partition("TASK [ansible.builtin.debug]")[0]
    assert states(result) == ["downloaded"]


def test_a_loop_registers_what_a_module_registers(play):
    models = [play.model("a.gguf"), play.model("b.gguf")]
    _shown, result = play.run(task={"loop": models}, models=["{{ item }}"])
    assert [states(item) for item in result["results"]] == [["downloaded"], ["downloaded"]]


def test_a_task_that_is_a_job_by_itself_is_one(play):
    shown, result = play.run("a.gguf", task={"async": 60, "poll": 1})
    assert states(result) == ["downloaded"] and result["finished"] and lines(shown) == []


def test_a_token_is_read_from_a_file_here_and_is_shown_nowhere(play):
    (play.folder / "token").write_text("t0ken-s3cret\n")
    files = {f"127.0.0.1:{play.hub.port}": "token"}
    shown, result = play.run(play.gated(), token_files=files, arguments=["-vvv"])
    assert states(result) == ["downloaded"]
    assert any(request["headers"].get("Authorization") == "Bearer t0ken-s3cret" for request in play.hub.requests)
    kept = b"".join(path.read_bytes() for place in (play.state, play.store, play.jobs) for path in place.rglob("*") if path.is_file())
    assert "s3cret" not in shown + json.dumps(result) and b"s3cret" not in kept


@pytest.mark.parametrize(
    "content, words",
    [
        pytest.param(None, "there is no such file", id="it is not there"),
        pytest.param(b"", "holds 0 words, not one", id="it is empty"),
        pytest.param(b"two s3cret", "holds 2 words, not one", id="it is something else"),
        pytest.param(b"\xff\xfe s3cret", "is not text", id="it is not text"),
    ],
)
def test_a_token_file_that_holds_no_token_is_named(play, content, words):
    if content is not None:
        (play.folder / "token").write_bytes(content)
    shown, result = play.run("a.gguf", token_files={"hub.example": "token"})
    assert result["failed"] and "the token for hub.example cannot be read from" in result["msg"] and words in result["msg"]
    assert "s3cret" not in shown


def test_tokens_that_stay_here_never_reach_the_machine(play):
    host = f"127.0.0.1:{play.hub.port}"
    url = f"{play.hub.url}/files/a.gguf?token=query-s3cret"
    options = {"tokens": {host: "t0ken-s3cret"}, "tokens_stay_on_controller": True}
    shown, result = play.run(play.gated(), arguments=["-vvv"], **options)
    assert states(result) == ["downloaded"] and (play.store / "unet/c.gguf").read_bytes() == CONTENT
    # The machine was told where things go, and not the token.
    assert str(play.store).encode() in play.sent() and b"s3cret" not in play.sent()
    assert "X-Amz-Signature" not in shown + json.dumps(result) and "s3cret" not in shown + json.dumps(result)

    _shown, result = play.run(play.model("a.gguf", url=url), **options)
    assert result["failed"] and "the token stays on the controller" in result["models"][0]["error"]
    assert b"s3cret" not in play.sent() and "s3cret" not in json.dumps(result)


def test_a_plan_for_a_machine_without_tokens_has_sizes_too(play):
    options = {"tokens": {f"127.0.0.1:{play.hub.port}": "t0ken-s3cret"}, "tokens_stay_on_controller": True}
    shown, result = play.run(play.gated(), arguments=["--check"], **options)
    assert lines(shown)[0] == "models: 1 of 1 are missing: 300 kB to download" and states(result) == ["missing"]


def test_a_link_that_expires_half_way_is_signed_again(play):
    play.hub.faults["/cdn/org/gated/c.gguf"] = ["reset50", "expired"]
    options = {"tokens": {f"127.0.0.1:{play.hub.port}": "t0ken-s3cret"}, "tokens_stay_on_controller": True}
    _shown, result = play.run(play.gated(), **options)
    assert states(result) == ["downloaded"] and not result.get("failed")
    assert (play.store / "unet/c.gguf").read_bytes() == CONTENT
    taken = [request for request in play.hub.requests if request["path"].startswith("/cdn/")]
    assert len({request["target"] for request in taken}) > 1
    assert taken[-1]["range"][0] > 0  # and went on where it was


def test_a_link_that_is_never_taken_is_given_up(play):
    play.hub.faults["/cdn/org/gated/c.gguf"] = "expired"
    options = {"tokens": {f"127.0.0.1:{play.hub.port}": "t0ken-s3cret"}, "tokens_stay_on_controller": True}
    _shown, result = play.run(play.gated(), **options)
    assert result["failed"] and states(result) == ["failed"] and "unet/c.gguf" in result["msg"]
    assert len(play.hub.requests) < 40


@pytest.mark.parametrize(
    "hosts, words",
    [
        pytest.param(["https://hub.example"], "on the list of allowed hosts", id="another host"),
        pytest.param(["no host!"], "neither a host name nor", id="no host"),
        pytest.param(None, "on the list of allowed hosts", id="the usual hosts"),
    ],
)
def test_a_machine_does_not_say_where_the_controller_asks(play, hosts, words):
    lies = {"allowed_hosts": [play.hub.url, play.hub.storage_url], "timeout_seconds": 5, "state_dir": str(play.state)}
    rows = [{"name": "c.gguf", "directory": "unet", "state": "missing"}]
    (play.plugins / "lies").write_text(json.dumps({"changed": True, "models": rows, "invocation": {"module_args": lies}}))
    options = {"tokens": {f"127.0.0.1:{play.hub.port}": "t0ken-s3cret"}, "tokens_stay_on_controller": True, "allowed_hosts": hosts}
    _shown, result = play.run(play.gated(), **options)
    assert result["failed"] and words in result["msg"]
    assert not result["msg"].startswith("Task failed")  # which is what Ansible puts in front of what nobody caught
    assert play.hub.requests == []


@pytest.mark.parametrize(
    "stay, rows",
    [
        pytest.param(True, ["text"], id="no rows"),
        pytest.param(True, [{"name": "c.gguf"}], id="no state"),
        pytest.param(False, 5, id="no list"),
    ],
)
def test_an_answer_that_is_none_is_a_plain_failure(play, stay, rows):
    (play.plugins / "lies").write_text(json.dumps({"changed": True, "models": rows}))
    _shown, result = play.run(play.gated(), tokens_stay_on_controller=stay)
    assert result["failed"] and result["msg"] == "what the machine says about its models cannot be read"
    assert not play.store.exists()


def test_what_is_not_given_is_as_the_module_has_it():
    options = yaml.safe_load(models.DOCUMENTATION)["options"]
    assert {name: options[name]["default"] for name in DEFAULTS} == DEFAULTS


def test_links_cannot_be_renewed_for_a_task_that_nobody_waits_for(play):
    _shown, result = play.run("a.gguf", tokens_stay_on_controller=True, task={"async": 60, "poll": 1})
    assert result["failed"] and "cannot be used with async" in result["msg"]
