# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._comfyui_api import ImportFailure
from ansible_collections.emprops.comfyui.plugins.module_utils._instance_state import InstanceSpec, InstanceState, read_instances
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_truth import PackTruth, judge_packs, pack_table, read_packs
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import PythonOptions
from ansible_collections.emprops.comfyui.plugins.module_utils._release import Fork, Lock, LockedPack
from unit.fixtures.fake_systemd import FakeSystemd
from unit.fixtures.standin import standin

CLASS = "class A:\n    INPUT_TYPES = dict\n    RETURN_TYPES = ()\n"


def source(*node_types):
    return CLASS + f"NODE_CLASS_MAPPINGS = dict.fromkeys({node_types!r}, A)\n"


SOURCES = {
    "first": source("Shared", "First"),
    "second": source("Shared", "Second"),
    "greedy": source("SaveImage", "Greedy"),
    "broken": "import module_of_nobody\n",
    "web_only": "NODE_CLASS_MAPPINGS = {}\n",
    "fewer": source("Fewer"),
    "not.in.the.lock": source("Third"),
}
DECLARED = {
    "first": ("First", "Shared"),
    "second": ("Second", "Shared"),
    "greedy": ("Greedy", "SaveImage"),
    "broken": ("Broken",),
    "fewer": ("Fewer", "More"),
}


def lock_of(*packs):
    return Lock("r1", "", Fork("", "", ""), PythonOptions(), "", packs)


def test_what_a_running_program_says_of_its_packs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}/systemd:{os.environ['PATH']}")
    place = tmp_path / "releases/r1/ComfyUI"
    place.parent.mkdir(parents=True)
    with standin(place, SOURCES) as running:
        FakeSystemd(tmp_path / "systemd").unit("comfyui@gpu0.service", running.log, MainPID=running.pid)
        states = read_instances([InstanceSpec("gpu0", "comfyui@gpu0.service", running.url)], 30)
    lock = lock_of(*(LockedPack(name, "", "a" * 40, node_types=DECLARED.get(name, ())) for name in SOURCES if "." not in name))
    packs = {one.pack.name: one for one in read_packs(states, lock)}
    assert list(packs) == ["first", "second", "greedy", "broken", "web_only", "fewer"]
    assert {name: one.node_types for name, one in packs.items()} == {
        "first": ("First",),
        "second": ("Second", "Shared"),
        "greedy": ("Greedy",),
        "broken": (),
        "web_only": (),
        "fewer": ("Fewer",),
    }
    assert {name: one.shadowed for name, one in packs.items() if one.shadowed} == {
        "first": {"Shared": "second"},
        "greedy": {"SaveImage": "ComfyUI"},
    }
    assert {name: one.missing for name, one in packs.items() if one.missing} == {"fewer": ("More",)}
    assert [name for name, one in packs.items() if one.silent] == ["web_only"]
    assert all(isinstance(one.import_seconds, float) for one in packs.values())
    broken = packs["broken"].as_dict()
    assert (broken["error"], broken["missing_module"]) == ("No module named 'module_of_nobody'", "module_of_nobody")
    assert "traceback" not in broken

    said = judge_packs(packs.values())
    [failed] = said.failed
    heading, *trace = failed.splitlines()
    assert heading.startswith(
        "the pack broken could not be imported: No module named 'module_of_nobody' (module_of_nobody is missing, after "
    )
    assert trace[0] == "    Traceback (most recent call last):" and trace[-1].endswith("No module named 'module_of_nobody'")
    assert said.missing == ["the pack fewer should bring node types that the running program does not have: More"]
    assert said.remarks == [
        "the pack first and the pack second both bring Shared; second won",
        "the pack greedy and ComfyUI itself both bring SaveImage; ComfyUI won",
        "no node type comes from web_only: right for a pack that only adds to the web interface",
    ]


PLACE = "/w/releases/r1/ComfyUI/custom_nodes/demo"
DEMO = LockedPack("demo", "", "a" * 40, node_types=("Demo", "More"))
BOTH = {"Demo": "custom_nodes.demo", "More": "custom_nodes.demo", "KSampler": "nodes"}
STATE = InstanceState(InstanceSpec("gpu0", "u", "http://127.0.0.1:1"), 1, node_types=BOTH, failed_imports=(), import_seconds={PLACE: 1.5})
ALL_WELL = PackTruth(DEMO, 1.5, ("Demo", "More"))
BROKEN = ImportFailure("demo", PLACE, "no luck", "Traceback:\n  File x\nValueError: no luck")
ELSEWHERE = "/srv/shared/custom_nodes/demo"


@pytest.mark.parametrize(
    "states, expected",
    [
        pytest.param([STATE], ALL_WELL, id="all there"),
        pytest.param(
            [replace(STATE, node_types={**BOTH, "Other": "custom_nodes.demo"})],
            replace(ALL_WELL, node_types=("Demo", "More", "Other")),
            id="more than declared",
        ),
        pytest.param(
            [replace(STATE, failed_imports=None, import_seconds=None)], replace(ALL_WELL, import_seconds=None), id="no log to read"
        ),
        pytest.param(
            [STATE, replace(STATE, import_seconds={PLACE: 4.0}), STATE],
            replace(ALL_WELL, import_seconds=4.0),
            id="the slowest instance counts",
        ),
        pytest.param(
            [STATE, replace(STATE, node_types={"Demo": "custom_nodes.demo"})],
            replace(ALL_WELL, missing=("More",)),
            id="one instance lacks a class",
        ),
        pytest.param(
            [replace(STATE, node_types={"KSampler": "nodes"}, failed_imports=(BROKEN,))],
            PackTruth(DEMO, 1.5, failure=BROKEN),
            id="import failed, so what it lacks is not told too",
        ),
        pytest.param(
            [STATE, replace(STATE, failed_imports=(BROKEN,))], replace(ALL_WELL, failure=BROKEN), id="import failed in one instance"
        ),
        pytest.param(
            [replace(STATE, import_seconds={ELSEWHERE: 9.0, PLACE + ".py": 9.0}, failed_imports=(replace(BROKEN, path=ELSEWHERE),))],
            replace(ALL_WELL, import_seconds=None),
            id="a pack of that name elsewhere is not ours",
        ),
        pytest.param(
            [replace(STATE, node_types={"Demo": "custom_nodes.x.y", "More": "comfy_extras.nodes_more"})],
            PackTruth(DEMO, 1.5, shadowed={"Demo": "x.y", "More": "ComfyUI"}),
            id="others bring what it declares, so nothing is missing",
        ),
    ],
)
def test_what_instances_say_of_one_pack(states, expected):
    assert read_packs(states, lock_of(DEMO)) == [expected]


@pytest.mark.parametrize(
    "one, failed",
    [
        pytest.param(
            PackTruth(DEMO, 0.3, failure=BROKEN),
            "the pack demo could not be imported: no luck (after 0.3 s)\n    Traceback:\n      File x\n    ValueError: no luck",
            id="seconds and traceback",
        ),
        pytest.param(
            PackTruth(DEMO, failure=ImportFailure("demo", PLACE, "No module named 'x'")),
            "the pack demo could not be imported: No module named 'x' (x is missing)",
            id="no more than the error",
        ),
        pytest.param(
            PackTruth(DEMO, failure=replace(BROKEN, traceback="\n".join(map(str, range(100))))),
            "the pack demo could not be imported: no luck\n" + "\n".join(f"    {number}" for number in range(70, 100)),
            id="the end of a long traceback",
        ),
    ],
)
def test_a_failed_import_in_words(one, failed):
    said = judge_packs([one])
    assert (said.failed, said.missing, said.remarks) == ([failed], [], [])


def test_a_pack_that_brings_nothing_is_named_once():
    missing = PackTruth(DEMO, missing=("Demo", "More"))
    shadowed = PackTruth(replace(DEMO, name="late"), shadowed={"Demo": "x", "More": "x", "Most": "ComfyUI"})
    silent = [PackTruth(replace(DEMO, name=name)) for name in ("web_a", "web_b")]
    said = judge_packs([missing, shadowed, *silent])
    assert said.missing == ["the pack demo should bring node types that the running program does not have: Demo, More"]
    assert said.remarks == [
        "the pack late and ComfyUI itself both bring Most; ComfyUI won",
        "the pack late and the pack x both bring Demo, More; x won",
        "no node type comes from web_a, web_b: right for a pack that only adds to the web interface",
    ]


def test_the_table_has_the_slowest_first_and_says_what_is_wrong():
    packs = [
        replace(ALL_WELL, pack=replace(DEMO, name="zz", commit="b" * 40), import_seconds=None),
        replace(ALL_WELL, import_seconds=0.0),
        PackTruth(replace(DEMO, name="broken"), 30.25, failure=replace(BROKEN, error="no luck " * 100)),
        PackTruth(replace(DEMO, name="late"), 1.0, missing=tuple("ABCDE"), shadowed={"X": "b", "Y": "ComfyUI"}),
        PackTruth(replace(DEMO, name="web"), 1.0),
    ]
    heading, *lines = pack_table([one.as_dict() for one in packs])
    assert heading.split("  ")[0] == "pack" and heading.endswith("what is wrong")
    assert [" ".join(line.split()) for line in lines] == [
        f"broken aaaaaaaaaaaa 30.2 0 could not be imported: {'no luck ' * 12}no l",
        "late aaaaaaaaaaaa 1.0 0 lacks A, B, C and 2 more; ComfyUI won Y; b won X",
        "web aaaaaaaaaaaa 1.0 0 brings no node type",
        "demo aaaaaaaaaaaa 0.0 2",
        "zz bbbbbbbbbbbb - 2",
    ]


def test_a_pack_of_the_registry_is_known_by_its_version():
    one = replace(ALL_WELL, pack=replace(DEMO, commit="", version="1.2.3"))
    assert pack_table([one.as_dict()])[1].split() == ["demo", "1.2.3", "1.5", "2"]


def test_no_packs_are_no_table():
    assert read_packs([STATE], lock_of()) == [] and pack_table([]) == []
