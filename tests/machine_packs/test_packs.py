# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Sixty packs on a machine that serves: what its users rely on, and every broken pack by its name."""

from __future__ import annotations

import json

import pytest
from support import many_packs

from .conftest import OUTSIDE, PACKS, bring


def _told(outcome, name):
    """What a run says of a pack, from its name on."""
    assert name in outcome.plain, outcome.output
    return outcome.plain.split(f"{name}: ", 1)[-1][:2000]


def test_the_node_types_of_all_sixty_packs_are_served_on_every_gpu(world):
    wanted = {name for number in range(many_packs.COUNT) for name in many_packs.classes_of(number)}
    for port in world.ports:
        assert wanted <= world.get(port, "/object_info").keys()


def test_the_machine_says_of_every_pack_what_it_brought_and_how_long_that_took(machine):
    record = json.loads(machine.file("/workspace/state/packs.json").content_string)
    rows = {row["name"]: row for row in record["packs"]}
    assert len(rows) == many_packs.COUNT
    slow = rows[many_packs.name_of(many_packs.SLOW)]
    assert slow["import_seconds"] >= 1 and slow == max(rows.values(), key=lambda row: row["import_seconds"])
    assert [name for name, row in rows.items() if row["silent"]] == [many_packs.name_of(many_packs.NO_NODES)]
    assert all(row["error"] is None and row["missing"] == [] for row in rows.values())


def test_install_scripts_ran_and_what_they_made_and_said_is_there(machine):
    for number in many_packs.INSTALLS:
        name = many_packs.name_of(number)
        assert machine.file(f"/workspace/current/ComfyUI/custom_nodes/{name}/prepared.txt").content_string == "yes\n"
        assert f"{name} prepares itself" in machine.file(f"/workspace/current/install_logs/{name}.log").content_string
        assert machine.file(f"/workspace/current/ComfyUI/custom_nodes/{name}/prepared.txt").user == "comfyui-build"


def test_a_plain_run_asks_no_git_server(outside):
    before = outside("journalctl", "--unit=outside-http", "--output=cat", "--no-pager").stdout.count("git-upload-pack")
    outcome = bring()
    assert outcome.code == 0, outcome.output
    assert outcome.changed == 0, outcome.output
    assert outside("journalctl", "--unit=outside-http", "--output=cat", "--no-pager").stdout.count("git-upload-pack") == before > 0


FAULTS = {
    "gone": "there is no such repository",
    "password": "it asks for a password, so it is private, or gone",
    "commit": "has no commit 0123456789abcdef",
    "submodule": "the submodule parts: ",
    "link": "holds the link assets/passwd, which leads out of the repository",
    "requirements_syntax": "the line 'humanize >>= four' of requirements.txt is no requirement",
    "install_hangs": "did not end within 5 s",
    "install_fails": "there is no compiler here",
    "install_edits_another": "many_00/__init__.py",
}


@pytest.mark.usefixtures("still_serves")
def test_every_broken_pack_is_told_by_its_name_in_one_run_and_nothing_serves_otherwise(machine, packs, broken):
    bad = broken(*FAULTS, "requirements_unknown", "contradicts_a", "contradicts_b")
    untouched = "sha256sum /workspace/current/ComfyUI/custom_nodes/many_00/__init__.py /workspace/current/release.json"
    before = machine.check_output(untouched)
    outcome = bring(*PACKS, custom_nodes_packs=packs + bad, custom_nodes_script_seconds=5)
    assert outcome.code != 0
    for fault, words in FAULTS.items():
        assert words in _told(outcome, f"broken_{fault}"), fault
    assert "broken_requirements_unknown asks for emprops-there-is-no-such-package, which cannot be had" in outcome.plain
    assert "broken_contradicts_a asks for humanize<4.10 broken_contradicts_b asks for humanize>=4.11" in outcome.plain
    assert machine.check_output(untouched) == before


@pytest.mark.usefixtures("still_serves")
def test_a_hostile_entry_is_refused_before_anything_is_asked(packs, broken):
    outcome = bring(*PACKS, custom_nodes_packs=packs + broken("branch"))
    assert outcome.code != 0
    assert "'--upload-pack=touch /tmp/x' is no branch, tag or commit" in outcome.plain


@pytest.mark.usefixtures("still_serves")
def test_the_next_run_heals_and_changes_nothing_else():
    outcome = bring()
    assert outcome.code == 0, outcome.output


def test_a_pack_that_collides_can_be_skipped_and_is_told_in_every_run_until_it_is_resolved(world, packs, broken):
    before = world.serving()
    wanted = {"custom_nodes_packs": packs + broken("contradicts_a", "contradicts_b"), "custom_nodes_on_conflict": "skip_pack"}
    for run in range(2):
        outcome = bring(**wanted)
        assert outcome.code == 0, outcome.output
        assert (outcome.changed == 0) == bool(run)
        assert "broken_contradicts_b is left out, until its requirements can be met" in outcome.plain
    for port in world.ports:
        served = world.get(port, "/object_info")
        assert "BrokenContradictsA" in served
        assert "BrokenContradictsB" not in served
    outcome = bring(**{**wanted, "custom_nodes_on_conflict": {"prefer": {"humanize": "4.11.0"}}})
    assert outcome.code == 0, outcome.output
    assert "BrokenContradictsB" in world.get(world.ports[0], "/object_info")
    assert bring().code == 0
    assert world.serving().release == before.release


@pytest.mark.usefixtures("serves_again")
def test_a_pack_that_misses_a_module_is_told_with_the_module_and_its_traceback(packs, broken):
    outcome = bring(custom_nodes_packs=packs + broken("missing_module"))
    assert outcome.code != 0
    assert "the pack broken_missing_module could not be imported" in outcome.plain
    assert "emprops_there_is_no_such_module is missing" in outcome.plain
    assert "Traceback (most recent call last)" in outcome.plain
    assert bring().code == 0


def test_what_packs_do_to_each_other_and_to_the_environment_is_told_by_their_names(world, machine, packs, broken):
    before = world.serving()
    more = broken("same_class_a", "same_class_b", "install_adds_package", "env")
    outcome = bring(custom_nodes_packs=packs + more, custom_nodes_secrets={"BROKEN_ENV_TOKEN": "s3cret"})
    assert outcome.code == 0, outcome.output
    served = world.get(world.ports[0], "/object_info")
    winner = served["BrokenSameClass"]["python_module"].removeprefix("custom_nodes.")
    assert "both bring BrokenSameClass" in outcome.plain and f"{winner} won" in outcome.plain
    assert "broken_install_adds_package: its install.py changed the environment" in outcome.plain
    assert "smuggled.py" in outcome.plain
    assert machine.run("find /workspace/releases -name smuggled.py").stdout == ""
    assert "BrokenEnv" in served
    assert "s3cret" not in outcome.plain
    assert bring().code == 0
    assert world.serving().release == before.release


def test_one_pack_moves_and_what_it_keeps_stays(world, machine, packs):
    name = many_packs.name_of(1)
    keeping = [{**pack, "persist": ["notes/"]} if pack["name"] == name else pack for pack in packs]
    outcome = bring(custom_nodes_packs=keeping)
    assert outcome.code == 0, outcome.output
    place = f"/workspace/current/ComfyUI/custom_nodes/{name}"
    # As the instance itself sees its folders.
    instance = f"nsenter --target {world.pid('comfyui@gpu0')} --mount setpriv --reuid comfyui --clear-groups touch"
    machine.check_output(f"{instance} {place}/notes/mine")
    assert machine.run(f"{instance} {place}/other").rc != 0
    before = world.serving()
    commit = many_packs.advance(OUTSIDE / "git" / f"{name}.git")
    outcome = bring(custom_nodes_packs=keeping, custom_nodes_update=[name])
    assert outcome.code == 0, outcome.output
    assert world.serving().release != before.release
    assert machine.check_output("cat %s/.git/HEAD", place) == commit
    assert machine.file(f"{place}/notes/mine").exists
    plain = bring(custom_nodes_packs=keeping)
    assert plain.changed == 0, plain.output


def test_a_pack_that_was_put_there_by_hand_is_told_and_can_be_adopted(world, machine, broken):
    outcome = bring()
    assert outcome.code == 0, outcome.output
    assert world.wait()
    before = world.serving()
    (other,) = broken("same_class_a")
    machine.check_output("git clone --quiet %s /workspace/ComfyUI/custom_nodes/by_hand", other["url"])
    outcome = bring()
    assert outcome.code == 0, outcome.output
    assert outcome.changed == 0, outcome.output
    assert "by_hand was put into the release by hand and is in no manifest" in outcome.plain
    adopted = bring(custom_nodes_unlisted="adopt")
    assert adopted.code == 0, adopted.output
    assert world.serving().release != before.release
    assert machine.file("/workspace/current/ComfyUI/custom_nodes/by_hand/__init__.py").exists
    machine.check_output("rm -r /workspace/%s/ComfyUI/custom_nodes/by_hand", before.release)
    assert bring().code == 0
    assert not machine.file("/workspace/current/ComfyUI/custom_nodes/by_hand").exists


def test_the_packs_can_come_from_emprops_own_api_and_an_api_that_is_down_leaves_the_machine_as_it_is(world, packs, outside):
    nodes = [{"name": pack["name"], "repositoryUrl": pack["url"], "recursive": pack.get("recursive", False)} for pack in packs]
    data = {"custom_nodes": [{**node, "is_default": True, "requirements": True} for node in nodes], "workflows": {}, "collections": {}}
    (OUTSIDE / "api.json").write_text(json.dumps(data), encoding="utf-8")
    serve = "exec python3 -m support.emprops_api --listen 0.0.0.0 --port 3000 --data /srv/outside/api.json"
    outside("systemd-run", "--unit=emprops-api", "--setenv=PYTHONPATH=/opt", "sh", "-c", serve)
    asked = {"custom_nodes_source": "emprops_api", "custom_nodes_api_url": "http://outside.test:3000", "custom_nodes_packs": []}
    before = world.serving()
    try:
        outcome = bring(*PACKS, **asked)
        assert outcome.code == 0, outcome.output
    finally:
        outside("systemctl", "stop", "emprops-api")
    down = bring(**asked)
    assert down.code == 0, down.output
    assert "the EmProps API did not answer" in down.plain
    assert world.serving() == before
    unknown = bring(*PACKS, **{**asked, "custom_nodes_api_collections": ["another"]})
    assert unknown.code != 0
    assert world.serving() == before
