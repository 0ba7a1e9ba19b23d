# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""With the real uv; the packages are a few of ours, and the index is empty."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _python_env, _resolution
from ansible_collections.emprops.comfyui.plugins.module_utils._command import run
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_requirements import Requirements
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import BuildError, PythonEnv, PythonEnvError
from ansible_collections.emprops.comfyui.plugins.module_utils._resolution import (
    NEVER,
    Policy,
    choose_flavours,
    file_number,
    parse_policy,
    resolve,
)
from unit.conftest import write_sdist, write_wheel


def source(name, text="", **more):
    return Requirements(name, tuple(line for line in text.splitlines() if not line.startswith("-")), **more)


@pytest.fixture(name="env")
def fixture_env(workspace, python, account):
    release = workspace.releases / "r"
    release.mkdir(parents=True)
    env = PythonEnv(release, workspace.cache, python, account)
    env.create()
    return env


@pytest.fixture(name="more")
def fixture_more(env, tmp_path):
    """Packages beside those that every test has: an environment, and a folder to put them into."""
    folder = tmp_path / "more wheels"
    shutil.copytree(env.options.torch_wheels_dir, folder)
    return replace(env, options=replace(env.options, torch_wheels_dir=str(folder))), folder


def answer(env, core, packs, policy=None, **options):
    return resolve(env, core, packs, policy, **options)


def resolved(env):
    return dict(line.split(" ")[0].split("==") for line in env.lock.read_text().splitlines() if "==" in line)


def test_an_environment_is_made_resolved_and_installed(env):
    fork = source("ComfyUI", "torch<9\n")
    packs = [source("one", "old_fashioned\n", notes=("one: a note",)), source("two", "shared-part\n"), source("three")]
    done = answer(env, fork, packs)
    assert (done.notes, done.left_out, done.preferred) == (["one: a note"], {}, ())
    assert done.pins == {"torch": "2.0", "shared-part": "1.0", "old-fashioned": "1.0"}
    assert resolved(env) == {"torch": "2.0", "shared-part": "1.0", "old-fashioned": "1.0"}
    assert env.lock.read_text().count("--hash=sha256:") == 3
    env.install()
    code = "import torch, shared_part, old_fashioned; print(torch.version, shared_part.version)"
    assert run([str(env.python), "-c", code]).split() == ["2.0", "1.0"]


def test_installing_makes_equal_and_removes_what_is_no_longer_asked_for(env):
    answer(env, source("ComfyUI", "torch<9\nshared_part\n"), [])
    env.install()
    answer(env, source("ComfyUI-2", "torch<2\n"), [])
    env.install()
    code = "import importlib.util as u, torch; print(torch.version, u.find_spec('shared_part'))"
    assert run([str(env.python), "-c", code]).split() == ["1.0", "None"]


@pytest.mark.parametrize("asked", ["torch==9.0", "torch", "Torch>=9"])
def test_a_pack_does_not_move_the_torch_of_the_fork(env, asked):
    answer(env, source("ComfyUI", "torch<9\n"), [source("greedy", f"{asked}\n")])
    assert resolved(env) == {"torch": "2.0"}


@pytest.mark.parametrize("overrides", [("torch==1.0",), ("torch<2",)], ids=["pinned", "range"])
def test_the_operator_outvotes_the_fork_and_the_packs(env, overrides):
    env = replace(env, options=replace(env.options, overrides=(*overrides, "shared_part==2.0")))
    answer(env, source("ComfyUI", "torch>=2\n"), [source("one", "torch==9.0\nold_fashioned\n")])
    assert resolved(env) == {"torch": "1.0", "old-fashioned": "1.0", "shared-part": "2.0"}


def test_the_operator_limits_versions(env):
    env = replace(env, options=replace(env.options, constraints=("shared_part<2", "torch<2")))
    answer(env, source("ComfyUI", "torch\n"), [source("one", "shared_part\n")])
    assert resolved(env) == {"torch": "1.0", "shared-part": "1.0"}


def test_resolving_again_forgets_the_packs_of_the_time_before(env):
    fork = source("ComfyUI", "torch<9\n")
    answer(env, fork, [source("one", "shared_part\n")])
    answer(env, fork, [])
    assert resolved(env) == {"torch": "2.0"}
    files = ["000-ComfyUI.txt", "constraints.txt", "indexes.json", "overrides.txt", "uv.toml"]
    assert sorted(path.name for path in env.folder.iterdir()) == files


def test_a_pack_called_like_a_path_stays_in_the_folder(env):
    pack = source("x")
    answer(env, source("ComfyUI"), [replace(pack, source="a b+c")])
    assert (env.release / "requirements/001-a_b_c.txt").read_text() == ""


@pytest.mark.parametrize("name", ["requirements.lock", "requirements/overrides.txt"])
def test_a_link_that_a_package_left_is_not_written_through(env, tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    owner = victim.stat().st_uid
    shutil.rmtree(env.release / "requirements", ignore_errors=True)
    (env.release / name).parent.mkdir(exist_ok=True)
    (env.release / name).symlink_to(victim)
    answer(env, source("ComfyUI", "torch<9\n"), [])
    assert (victim.read_text(), victim.stat().st_uid) == ("untouched", owner)
    assert resolved(env) == {"torch": "2.0"}


def test_the_secrets_of_the_index_stay_out_of_commands_and_messages(env, monkeypatch):
    env = replace(
        env,
        options=replace(env.options, index_url=""),
        index_environment={"UV_DEFAULT_INDEX": "http://user:s3cret-value@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"},
    )
    commands = []
    monkeypatch.setattr(_python_env, "run", lambda argv, **options: commands.append(argv) or run(argv, **options))
    with pytest.raises(PythonEnvError) as caught:
        answer(env, source("ComfyUI", "no_such_package\n"), [])
    assert "127.0.0.1:9" in str(caught.value) and "s3cret-value" not in str(caught.value)
    assert commands and "s3cret-value" not in str(commands)


# --- what collides ---


@pytest.mark.parametrize(
    "fork, one, two, left_out, told",
    [
        pytest.param(
            "", "shared_part<2", "shared_part>=2", "two", ["  one asks for shared_part<2", "  two asks for shared_part>=2"], id="directly"
        ),
        pytest.param(
            "shared_part\n",
            "old_fashioned",
            "shared_part>=2",
            "two",
            ["  one asks for old_fashioned", "  two asks for shared_part>=2"],
            id="by way of another package",
        ),
        pytest.param(
            "torch<9\nshared_part>=2",
            "shared_part==1.0",
            "torch",
            "one",
            ["  ComfyUI asks for shared_part>=2", "  one asks for shared_part==1.0"],
            id="with the fork",
        ),
        pytest.param("", "no_such_package", "torch", "one", [], id="not there"),
    ],
)
@pytest.mark.parametrize("turned", [False, True], ids=["", "the other way round"])
def test_the_smallest_set_that_collides_is_told_line_by_line(env, fork, one, two, left_out, told, turned):
    packs = [source("bystander", "shared_part\ntorch"), source("one", one), source("two", two), source("other", "torch")]
    # By rank, which is what decides, and not by where they happen to stand among the others.
    packs = [packs[3], packs[1], packs[2], packs[0]] if turned else packs
    done = answer(env, source("ComfyUI", fork), packs)
    assert list(done.left_out) == [left_out]
    why = done.left_out[left_out]
    assert [line for line in why.splitlines()[1:] if " asks for " in line and not line.startswith("  (")] == told
    assert "bystander" not in why.partition("  (")[0] and "custom_nodes_on_conflict: skip_pack leaves" in why
    if not told:
        assert why.startswith("one asks for no_such_package, which cannot be had:")
    assert env.lock.exists()


def test_the_last_by_rank_gives_way_and_several_conflicts_are_all_told(env):
    packs = [source("a", "shared_part>=2"), source("b", "shared_part<2"), source("c", "torch==1.0\nold_fashioned"), source("d", "nowhere")]
    done = answer(env, source("ComfyUI", ""), packs)
    assert sorted(done.left_out) == ["b", "c", "d"]
    assert resolved(env) == {"shared-part": "2.0"}
    packs = [packs[1], packs[0], *packs[2:]]
    assert sorted(answer(env, source("ComfyUI", ""), packs).left_out) == ["a", "d"]


def test_a_choice_to_skip_is_told_without_advice(env):
    packs = [source("a", "shared_part>=2"), source("b", "shared_part<2")]
    why = answer(env, source("ComfyUI", ""), packs, Policy("skip_pack")).left_out["b"]
    assert "b asks for shared_part<2" in why and "What could be done" not in why


def test_what_the_inventory_limits_is_part_of_the_story(env):
    env = replace(env, options=replace(env.options, constraints=("shared_part<2", "torch<2")))
    done = answer(env, source("ComfyUI", "torch"), [source("one", "shared_part>=2")])
    assert "  one asks for shared_part>=2\n  the inventory limits to shared_part<2\n" in done.left_out["one"]


def test_a_package_that_is_known_to_be_bad_is_not_taken_and_said(env):
    done = answer(env, source("ComfyUI", ""), [source("one", "shared_part")], refused=["shared_part!=2.0"])
    assert done.pins == {"shared-part": "1.0"}
    done = answer(env, source("ComfyUI", ""), [source("one", "shared_part==2.0")], refused=["shared_part!=2.0"])
    assert "  the list of known-bad packages limits to shared_part!=2.0" in done.left_out["one"]


def test_what_comfyui_asks_for_itself_must_be_there(env):
    with pytest.raises(PythonEnvError, match=r"^ComfyUI asks for nowhere, which cannot be had:\n  \(uv pip compile: "):
        answer(env, source("ComfyUI", "torch\nnowhere"), [source("one", "shared_part")])
    assert not env.lock.exists()


def test_preferred_versions_outvote_everybody_where_something_collides_and_only_there(env):
    packs = [source("one", "shared_part<2"), source("two", "shared_part>=2"), source("three", "torch")]
    policy = Policy("fail", {"shared-part": "1.0", "torch": "1.0"})
    done = answer(env, source("ComfyUI", ""), packs, policy)
    assert (done.left_out, done.preferred) == ({}, ("shared-part==1.0",))
    assert resolved(env) == {"shared-part": "1.0", "torch": "9.0"}
    assert answer(env, source("ComfyUI", ""), packs[1:], policy).preferred == ()


def test_a_preferred_version_that_helps_nobody_leaves_the_conflict_told(env):
    packs = [source("one", "shared_part<2"), source("two", "shared_part>=2")]
    done = answer(env, source("ComfyUI", ""), packs, Policy("fail", {"shared-part": "7.0"}))
    assert done.left_out and "shared-part" in str(done.left_out).replace("_", "-")


def test_a_line_that_uv_cannot_read_is_its_packs_and_the_others_go_on(env):
    packs = [source("one", "torch"), source("greedy", "this is = no requirement"), source("x", "shared_part")]
    done = answer(env, source("ComfyUI"), packs)
    assert list(done.left_out) == ["greedy"] and done.left_out["greedy"].startswith("greedy: its requirements cannot be read: ")
    assert resolved(env) == {"torch": "9.0", "shared-part": "2.0"}


def test_a_registry_that_does_not_answer_is_nobodys_fault(env, monkeypatch):
    env = replace(env, options=replace(env.options, index_url=""), index_environment={"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"})
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(PythonEnvError) as caught:
        answer(env, source("ComfyUI", "torch"), [source("one", "no_such_package")])
    assert "127.0.0.1:9" in str(caught.value) and "cannot be had" not in str(caught.value)


@pytest.mark.parametrize(
    "given, policy",
    [
        pytest.param("fail", Policy(), id="fail"),
        pytest.param("skip_pack", Policy("skip_pack"), id="skip"),
        pytest.param({"prefer": {"Some_Thing": "1.2"}}, Policy("fail", {"some-thing": "1.2"}), id="prefer"),
    ],
)
def test_what_the_inventory_may_choose(given, policy):
    assert parse_policy(given) == policy


@pytest.mark.parametrize(
    "given",
    ["skip", {}, [], {"prefer": []}, {"prefer": {"a": 1}}, {"prefer": {"a": "1"}, "x": 1}, {"prefer": {"a": "1\n--index-url x"}}],
    ids=repr,
)
def test_what_it_may_not(given):
    with pytest.raises(PythonEnvError, match="^on_conflict "):
        parse_policy(given)


# --- one of a kind ---


@pytest.mark.parametrize(
    "asked, overrides, chosen",
    [
        pytest.param(["numpy"], [], {}, id="none"),
        pytest.param(["opencv-python-headless>=4"], [], {}, id="the right one alone"),
        pytest.param(["opencv_python>=4"], [], {"opencv-python-headless": ("opencv-python",)}, id="servers have no windows"),
        pytest.param(
            ["opencv-python", "opencv-contrib-python"],
            [],
            {"opencv-contrib-python-headless": ("opencv-python", "opencv-contrib-python")},
            id="contrib holds the rest",
        ),
        pytest.param(["onnxruntime", "onnxruntime-gpu"], [], {"onnxruntime-gpu": ("onnxruntime",)}, id="for GPUs where wanted"),
        pytest.param(["onnxruntime"], [], {}, id="as asked otherwise"),
        pytest.param(["opencv-python"], ["opencv-python==4.8"], {}, id="the inventory decides"),
        pytest.param(["opencv-python"], [f"opencv-python ; {NEVER}"], {"opencv-python-headless": ("opencv-python",)}, id="or not"),
    ],
)
def test_of_packages_with_the_same_module_one_is_chosen(monkeypatch, asked, overrides, chosen):
    monkeypatch.setattr(_resolution.platform, "machine", lambda: "x86_64")
    assert choose_flavours({}, asked, overrides) == chosen


def test_there_is_no_onnxruntime_for_gpus_on_other_processors(monkeypatch):
    monkeypatch.setattr(_resolution.platform, "machine", lambda: "aarch64")
    assert choose_flavours({}, ["onnxruntime-gpu"], []) == {"onnxruntime": ("onnxruntime-gpu",)}


def test_one_opencv_is_installed_also_where_a_package_brings_another(more):
    env, folder = more
    for name in ("opencv_python", "opencv_python_headless", "opencv_contrib_python_headless"):
        for version in ("4.8", "4.9"):
            write_wheel(folder, name, version)
    write_wheel(folder, "sees", "1.0", ["opencv_python>=4.0"])
    done = answer(env, source("ComfyUI"), [source("one", "sees"), source("two", "opencv_python_headless<4.9")])
    assert done.pins == {"opencv-python-headless": "4.8", "sees": "1.0"}
    assert done.notes == ["opencv-python give way to opencv-python-headless: they bring the same module"]
    done = answer(env, source("ComfyUI"), [source("one", "sees"), source("two", "opencv-contrib-python-headless")])
    assert done.pins == {"opencv-contrib-python-headless": "4.9", "sees": "1.0"}


# --- what must be built ---


def test_a_package_gets_what_it_needs_to_be_built_where_its_pack_says_so(more):
    env, folder = more
    write_sdist(folder, "needy", "import shared_part")
    with_it = source("one", "needy", build_requirements=("shared_part<2",))
    assert answer(env, source("ComfyUI"), [with_it]).left_out == {}
    env.install()
    assert run([str(env.python), "-c", "import needy; print(needy.version)"]) == "1.0\n"


def test_a_package_that_cannot_be_built_is_blamed_on_whoever_wants_it_with_what_it_lacks(more):
    env, folder = more
    write_sdist(folder, "needy", "import shared_part")
    write_wheel(folder, "between", "1.0", ["needy"])
    packs = [source("other", "torch"), source("one", "between")]
    assert answer(env, source("ComfyUI"), packs).left_out == {}
    with pytest.raises(BuildError) as caught:
        env.install()
    assert [packs[file_number(file) - 1].source for file in caught.value.packs] == ["one"]
    assert "it needs the module shared_part to be built, and does not say so; build_requirements of its pack can" in str(caught.value)


def test_a_compiler_that_is_not_there_is_named(more):
    env, folder = more
    write_sdist(folder, "compiled", "import subprocess; subprocess.run(['/nonexistent/gcc'])")
    answer(env, source("ComfyUI"), [source("one", "compiled")])
    with pytest.raises(BuildError, match="a compiler is missing on this machine; workspace_packages brings one"):
        env.install()


def test_torch_is_built_against_as_it_is_installed(env):
    answer(env, source("ComfyUI", "torch<9"), [source("one", "shared_part", build_requirements=("torch", "ninja"))])
    assert (env.folder / "uv.toml").read_text() == '[pip.extra-build-dependencies]\nshared-part = ["ninja", "torch==2.0"]\n'


def test_an_index_that_a_pack_may_bring_is_used(env, tmp_path):
    index = tmp_path / "index"
    (index / "far-away").mkdir(parents=True)
    write_wheel(index / "far-away", "far_away", "1.0")
    (index / "far-away/index.html").write_text('<a href="far_away-1.0-py3-none-any.whl">far_away-1.0-py3-none-any.whl</a>')
    (index / "torch").mkdir()
    done = answer(env, source("ComfyUI", "torch<9"), [source("one", "far_away", indexes=(index.as_uri(),))])
    assert done.pins == {"far-away": "1.0", "torch": "2.0"}
    assert json.loads((env.folder / "indexes.json").read_text()) == [index.as_uri()]
    env.install()


@pytest.mark.parametrize(
    "package, files", [("b", ["001-one.txt", "002-two.txt"]), ("a", ["001-one.txt"]), ("c", ["002-two.txt"]), ("absent", [])]
)
def test_who_a_package_is_for(package, files):
    lock = (
        "a==1 \\\n    --hash=sha256:0\n    # via -r 001-one.txt\nb==2\n    # via\n    #   a\n    #   c\nc==3\n    # via -r 002-two.txt\n"
    )
    assert _python_env.who_needs(package, lock) == files
