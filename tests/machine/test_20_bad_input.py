# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Bad input against a serving machine: the message names the culprit, and what served goes on serving.

The shapes of bad input that need no machine are unit tests (test__manifest.py, test__git.py, test__models.py …).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from .conftest import CHECKOUT, NAME, PACKS, ansible_command, play

CODE = ("--tags", "comfyui_fork,custom_nodes,comfyui_instances")
MODELS = ("--tags", "models")
HUB = "http://outside.test:8100"


def pack(name, **more):
    return {"name": name, "url": f"{PACKS}/{name}", **more}


@pytest.mark.usefixtures("still_serves")
def test_packs_that_are_not_there_are_all_named_at_once():
    outcome = play(
        *CODE,
        custom_nodes_packs=[
            pack("no_such_repository"),
            {**pack("demo_pins_a"), "commit": "0123456789" * 4},
            {**pack("demo_pins_b"), "branch": "no-such-branch"},
        ],
    )
    assert outcome.code != 0
    assert "no_such_repository:" in outcome.plain
    assert "no branch or tag 'no-such-branch'; its branches are: main" in outcome.plain
    outcome = play(*CODE, custom_nodes_packs=[{**pack("demo_pins_a"), "commit": "0123456789" * 4}])
    assert outcome.code != 0
    assert "demo_pins_a:" in outcome.plain
    assert f"has no commit {'0123456789' * 4}" in outcome.plain


@pytest.mark.usefixtures("still_serves")
@pytest.mark.parametrize("name", ["../x", "/etc/x", ""], ids=["upwards", "absolute", "empty"])
def test_a_hostile_name_is_refused(name):
    outcome = play(*CODE, custom_nodes_packs=[{**pack("demo_pins_a"), "name": name}])
    assert outcome.code != 0
    assert "custom_nodes_packs: entry 1" in outcome.plain
    assert "cannot be a folder below custom_nodes" in outcome.plain


@pytest.mark.usefixtures("still_serves")
def test_requirements_that_contradict_each_other_name_both_packs():
    outcome = play(*CODE, custom_nodes_packs=[pack("demo_pins_a"), pack("demo_pins_b")])
    assert outcome.code != 0
    assert "demo_pins_a asks for humanize" in outcome.plain
    assert "demo_pins_b asks for humanize" in outcome.plain


@pytest.mark.usefixtures("serves_again")
def test_a_pack_that_cannot_be_imported_fails_the_play_with_its_traceback_and_the_old_release_returns():
    outcome = play(*CODE, custom_nodes_packs=[pack("demo_broken")])
    assert outcome.code != 0
    assert "the pack demo_broken could not be imported" in outcome.plain
    assert "Traceback (most recent call last)" in outcome.plain
    assert "demo_module_that_is_missing" in outcome.plain
    assert "it serves again" in outcome.plain


def test_the_next_run_with_a_good_list_goes_back_to_the_good_release_by_itself(world):
    before = world.serving()
    outcome = play(*CODE)
    assert outcome.code == 0, outcome.output
    assert world.serving().release == before.release
    assert play(*CODE).changed == 0


def _push(sandbox_name, repository, change, message):
    """Commit to a repository of the outside world as its owner would; returns how to undo it."""
    bare = next((CHECKOUT / ".sandbox" / sandbox_name / "outside").glob(f"*/{repository}.git"))
    git = ["git", "-c", "user.name=owner", "-c", "user.email=owner@outside.test", "-c", "safe.directory=*"]
    old = subprocess.run([*git, "-C", str(bare), "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    branch = subprocess.run([*git, "-C", str(bare), "symbolic-ref", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    tree = change(git, bare, old)
    new = subprocess.run(
        [*git, "-C", str(bare), "commit-tree", tree, *(["-p", old] if message != "rewritten" else []), "-m", message],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    subprocess.run([*git, "-C", str(bare), "update-ref", branch, new], check=True)
    return lambda: subprocess.run([*git, "-C", str(bare), "update-ref", branch, old], check=True)


def _with_file(name, content):
    """A change that puts one file into the tree of the newest commit."""

    def change(git, bare, old):
        blob = subprocess.run(
            [*git, "-C", str(bare), "hash-object", "-w", "--stdin"], input=content, check=True, capture_output=True, text=True
        ).stdout.strip()
        listed = subprocess.run([*git, "-C", str(bare), "ls-tree", old], check=True, capture_output=True, text=True).stdout
        lines = [line for line in listed.splitlines() if line.split("\t", 1)[1] != name]
        tree = "\n".join([*lines, f"100644 blob {blob}\t{name}"]) + "\n"
        return subprocess.run(
            [*git, "-C", str(bare), "mktree"], input=tree, check=True, capture_output=True, text=True
        ).stdout.strip()

    return change


@pytest.mark.usefixtures("still_serves")
def test_a_manifest_that_is_not_json_never_reaches_the_machine(machine):
    undo = _push(NAME, "shared", _with_file("config_nodes.json", '{"custom_nodes": [,]}\n'), "a slip")
    try:
        outcome = play("--tags", "emprops_shared", emprops_shared_update=True)
    finally:
        undo()
    assert outcome.code != 0
    assert "config_nodes.json" in outcome.plain
    assert "is not JSON" in outcome.plain
    assert json.loads(machine.file("/workspace/shared/config_nodes.json").content_string)["custom_nodes"]


@pytest.mark.usefixtures("still_serves")
def test_a_branch_that_was_rewritten_is_refused_until_accepted():
    undo = _push(NAME, "demo_image", _with_file("extra.txt", "new\n"), "rewritten")
    try:
        plain = play(*CODE)
        update = play(*CODE, custom_nodes_update=["demo_image"])
    finally:
        undo()
    assert plain.code == 0, plain.output
    assert plain.changed == 0, "a plain run follows a branch only when asked to"
    assert update.code != 0
    assert "demo_image: the default branch" in update.plain
    assert "was rewritten" in update.plain


@pytest.mark.usefixtures("serves_again")
def test_an_update_that_breaks_a_pack_is_undone_and_a_plain_run_does_not_try_it_again():
    undo = _push(NAME, "demo_image", _with_file("__init__.py", 'raise RuntimeError("broken upstream")\n'), "a bad day")
    try:
        outcome = play(*CODE, custom_nodes_update=["demo_image"])
        plain = play(*CODE)
    finally:
        undo()
    assert outcome.code != 0
    assert "the pack demo_image could not be imported: broken upstream" in outcome.plain
    assert plain.code == 0, plain.output
    assert plain.changed == 0, plain.output


def test_an_update_of_one_pack_brings_its_new_node_type(world):
    source = (CHECKOUT / "tests/support/packs/demo_image/nodes.py").read_text(encoding="utf-8")
    source += '\n\nNODE_CLASS_MAPPINGS["DemoNew"] = NODE_CLASS_MAPPINGS["DemoSwatch"]\n'
    before = world.serving()
    _push(NAME, "demo_image", _with_file("nodes.py", source), "a new node")
    outcome = play(*CODE, custom_nodes_update=["demo_image"])
    assert outcome.code == 0, outcome.output
    assert world.serving().release != before.release
    for port in world.ports:
        assert "DemoNew" in world.get(port, "/object_info")
    assert play(*CODE).changed == 0


@pytest.mark.usefixtures("still_serves")
def test_more_gpus_than_there_are_stop_the_run_before_anything_is_touched():
    outcome = play(docker_gpu_expected_gpus=3)
    assert outcome.code != 0
    assert "the inventory declares 3 GPUs, the machine shows 2" in outcome.plain
    assert "TASK [emprops.comfyui.workspace" not in outcome.output


def test_a_port_held_by_a_stranger_is_named_and_left_alone(machine, world):
    machine.check_output("systemctl stop comfyui@gpu1")
    machine.check_output("systemd-run --unit=stranger python3 -m http.server 8189")
    stranger = world.pid("stranger")
    try:
        preflight = play()
        serving = play("--tags", "comfyui_instances")
        assert machine.service("stranger").is_running
    finally:
        machine.check_output("systemctl stop stranger")
    for outcome in (preflight, serving):
        assert outcome.code != 0
        assert "8189" in outcome.plain
        assert stranger in outcome.plain
        assert "python3" in outcome.plain
    assert world.answers(world.ports[0])
    assert play("--tags", "comfyui_instances").code == 0
    assert world.wait()


def model(name, path, **more):
    return {"name": name, "directory": "checkpoints", "url": f"{HUB}/{path}", **more}


@pytest.mark.usefixtures("still_serves")
def test_bad_models_are_all_named_and_leave_nothing_under_their_names(machine):
    good = "emprops/sandbox/resolve/main/sandbox_lora.safetensors"
    outcome = play(
        *MODELS,
        models_list=[
            model("wrong_digest.safetensors", good, sha256="0" * 64),
            model("login_page.safetensors", f"{good}?fault=html"),
            model("cut_short.safetensors", "files/emprops/sandbox/sandbox_lora.safetensors?fault=norange%2Btruncate"),
            model("absent.safetensors", "emprops/sandbox/resolve/main/absent.safetensors"),
        ],
    )
    assert outcome.code != 0
    causes = {"wrong_digest": "publishes the sha256", "login_page": "text/html", "cut_short": "too soon", "absent": "no such file"}
    for name, cause in causes.items():
        assert f"checkpoints/{name}.safetensors" in outcome.plain
        assert cause in outcome.plain.split(f"checkpoints/{name}.safetensors: ", 1)[1][:120]
        assert not machine.file(f"/workspace/shared/models/checkpoints/{name}.safetensors").exists


@pytest.mark.usefixtures("still_serves")
def test_a_model_that_does_not_fit_is_refused_before_the_first_byte(machine):
    outcome = play(*MODELS, models_list=[model("huge.safetensors", "emprops/sandbox/resolve/main/huge", size=10**16)])
    assert outcome.code != 0
    assert "huge.safetensors" in outcome.plain
    assert machine.run("ls -a /workspace/shared/models/checkpoints | grep huge").stdout == ""


def _start(*arguments, **variables):
    return subprocess.Popen(
        ansible_command("site.yml", *arguments, **variables),
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


def test_the_second_of_two_runs_says_who_has_the_machine_and_a_killed_run_is_healed_by_the_next(machine, world):
    before = world.serving()
    # A set that no release of an earlier run of this test has.
    wanted = {"custom_nodes_packs": [pack("demo_pins_b")], "custom_nodes_constraints": [f"humanize!=0.0.{time.time_ns()}"]}
    # The first run gets as far as its releases and no further, until the second has been refused.
    machine.check_output("systemd-run --unit=in-the-way flock /workspace/state/releases.lock sleep 300")
    first = _start(*CODE, **wanted)
    try:
        # A run that failed before has left its claim, so that it must be the first run's.
        assert _wait_for(lambda: _holder(machine) == str(first.pid), 120)
        second = play(*CODE)
        assert second.code != 0
        assert "is being changed by" in second.plain
        assert f"process {first.pid} of the controller" in second.plain
        machine.check_output("systemctl stop in-the-way")
        # In the middle: the release is open and not sealed.
        assert _wait_for(lambda: _unsealed(machine), 60)
    finally:
        machine.run("systemctl stop in-the-way")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert world.answers(world.ports[0])
    assert world.serving() == before
    healed = play(*CODE, **wanted)
    assert healed.code == 0, healed.output
    for port in world.ports:
        assert "DemoPinsB" in world.get(port, "/object_info")
    assert _unsealed(machine) == []
    assert play(*CODE).code == 0
    assert world.serving().release == before.release


def _holder(machine):
    """The process whose run has the machine."""
    claim = machine.run("cat /workspace/state/deploy.json")
    return json.loads(claim.stdout)["process"].partition(":")[0] if claim.rc == 0 and claim.stdout else ""


def _unsealed(machine):
    releases = machine.check_output("ls /workspace/releases").split()
    return [release for release in releases if not machine.file(f"/workspace/releases/{release}/release.json").exists]
