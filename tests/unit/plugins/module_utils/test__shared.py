# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import json
import os

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account
from ansible_collections.emprops.comfyui.plugins.module_utils._git import GitAccess
from ansible_collections.emprops.comfyui.plugins.module_utils._shared import (
    Shared,
    SharedError,
    compare,
    give_folder,
    parse_static_models,
    parse_tree,
    read_content,
)

MANIFEST = json.dumps({"custom_nodes": [{"name": "demo", "url": "https://git.example/demo"}]})


def blob(text):
    return hashlib.sha1(b"blob %d\0" % len(text) + text.encode()).hexdigest()


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(files)


# --- content -----------------------------------------------------------------------------------------------------


def test_the_owners_oddities_are_understood(tmp_path):
    names = write(
        tmp_path,
        {
            "config_nodes.json": MANIFEST,
            "static-models.json": json.dumps({"// Updated: now": "", "symlinks": [], "no_index": []}),
            "workflows/.index.json": "[",
            "workflows/Red square (Copy).json": "{}",
            "workflows/http:/deep.json": '\ufeff{"nodes": []}',
            "workflows/.DS_Store": "x",
            "workflows/._Red.json": "x",
            "workflows/notes.txt": "x",
            "other/x.json": "x",
        },
    )
    content = read_content(tmp_path, names, "config_nodes.json", ["https"])
    assert content.packs == ["demo"]
    assert content.workflows == ["workflows/Red square (Copy).json", "workflows/http:/deep.json"]
    assert content.warnings == []


@pytest.mark.parametrize(
    "text, warning",
    [
        pytest.param("{", "workflows/a b.json is no workflow, because it is not JSON: Expecting", id="not JSON"),
        pytest.param("[" * 100_000, "workflows/a b.json is no workflow, because it is not JSON", id="too deep"),
        pytest.param("[]", "workflows/a b.json is JSON, but no object, so it is no workflow", id="a list"),
    ],
)
def test_a_broken_workflow_is_a_warning_that_names_it(tmp_path, text, warning):
    names = write(tmp_path, {"config_nodes.json": MANIFEST, "workflows/a b.json": text})
    content = read_content(tmp_path, names, "config_nodes.json", ["https"])
    assert content.workflows == []
    assert len(content.warnings) == 1 and content.warnings[0].startswith(warning)


def test_a_workflow_that_is_a_link_or_no_text_is_left_out(tmp_path):
    names = write(tmp_path, {"config_nodes.json": MANIFEST, "workflows/bytes.json": "", "workflows/link.json": ""})
    (tmp_path / "workflows/bytes.json").write_bytes(b'{"a": "\xff"}')
    (tmp_path / "workflows/link.json").unlink()
    (tmp_path / "workflows/link.json").symlink_to("/etc/hostname")
    content = read_content(tmp_path, names, "config_nodes.json", ["https"])
    assert content.workflows == []
    assert ["bytes.json is not UTF-8" in content.warnings[0], "link.json is a link" in content.warnings[1]] == [True, True]


def test_everything_that_is_wrong_is_in_one_message(tmp_path):
    names = write(
        tmp_path,
        {
            "config_nodes.json": json.dumps({"custom_nodes": [{"name": "../x", "url": "https://h/x"}, {"name": "y"}]}),
            "static-models.json": json.dumps({"symlinks": [{"source": "/etc/x", "target": "y"}], "no_index": "all"}),
        },
    )
    with pytest.raises(SharedError) as failure:
        read_content(tmp_path, names, "config_nodes.json", ["https"])
    lines = str(failure.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["config_nodes.json"] * 2 + ["static-models.json"] * 2
    assert "entry 1 ('../x')" in lines[0] and "entry 2 ('y')" in lines[1]
    assert "no_index must be a list" in "".join(lines) and "symlinks entry 1: source: '/etc/x' is no relative path" in "".join(lines)


def test_a_manifest_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SharedError, match="config_nodes_test.json is not in the repository"):
        read_content(tmp_path, [], "config_nodes_test.json", ["https"])


def test_static_models_come_out_with_warnings_for_what_is_unknown():
    data = {
        "// comment": "",
        "extra": 1,
        "symlinks": [{"source": "Stable-diffusion/a b.ckpt", "target": "checkpoints/a b.ckpt", "size": 3}],
        "no_index": [{"path": "/workspace/shared/models/vae", "reason": "by hand"}, {"path": "loras"}],
    }
    found, warnings = parse_static_models(json.dumps(data), "static-models.json")
    assert found == {
        "symlinks": [{"source": "Stable-diffusion/a b.ckpt", "target": "checkpoints/a b.ckpt", "description": ""}],
        "no_index": [{"path": "/workspace/shared/models/vae", "reason": "by hand"}, {"path": "loras", "reason": ""}],
    }
    assert warnings == [
        "static-models.json: unknown key 'extra' is ignored",
        "static-models.json: symlinks entry 1: unknown key 'size' is ignored",
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        pytest.param("{", "s.json is not JSON", id="not JSON"),
        pytest.param("[]", "s.json holds no object", id="a list"),
        pytest.param({"symlinks": {}}, "s.json: symlinks must be a list", id="no list"),
        pytest.param({"symlinks": ["x"]}, "s.json: symlinks entry 1: it is no object", id="no object"),
        pytest.param({"symlinks": [{"source": "a"}]}, "symlinks entry 1: it has no target", id="no target"),
        pytest.param({"symlinks": [{"source": "a", "target": "../b"}]}, "entry 1: target: '../b' does not lead", id="upwards"),
        pytest.param({"symlinks": [{"source": "a", "target": 3}]}, "entry 1: target: a path must be text", id="a number"),
        pytest.param({"symlinks": [{"source": "a", "target": "a/"}]}, "entry 1: 'a' would be a link to itself", id="to itself"),
        pytest.param(
            {"symlinks": [{"source": "a", "target": "c"}, {"source": "b", "target": "c"}]},
            "symlinks entry 2: 'c' is already the target of entry 1",
            id="a target twice",
        ),
        pytest.param({"symlinks": [{"source": "a", "target": "b", "description": 1}]}, "description must be text", id="a remark"),
        pytest.param({"no_index": [{"reason": "x"}]}, "no_index entry 1: it has no path", id="no path"),
        pytest.param({"no_index": [{"path": "/a/../../etc"}]}, "no_index entry 1: path: 'a/../../etc' does not", id="out of the way"),
        pytest.param({"no_index": [{"path": "/"}]}, "no_index entry 1: path: ", id="everything"),
    ],
)
def test_static_models_that_cannot_be_used_are_refused_by_name(text, message):
    with pytest.raises(SharedError) as failure:
        parse_static_models(text if isinstance(text, str) else json.dumps(text), "s.json")
    assert message in str(failure.value)


# --- trees and files ---------------------------------------------------------------------------------------------


def test_a_listing_becomes_names_and_ids():
    one, two = blob("a"), blob("b")
    listing = f"100644 blob {one}\ta b\tc\n.json\0" f"120000 blob {two}\tlink\0" f"160000 commit {two}\tsub\0"
    assert parse_tree(listing) == {"a b\tc\n.json": one, "link": f"link:{two}"}


@pytest.mark.parametrize("listing", ["100644 blob 123\tx\0", f"100644 blob {blob('a')}\t\ufffd\0"])
def test_names_that_cannot_be_files_here_are_refused(listing):
    with pytest.raises(SharedError, match="not UTF-8"):
        parse_tree(listing)


def test_files_that_are_there_need_nothing(tmp_path):
    write(tmp_path, {"a": "1", "d/e": "2", "empty": "", "models/x": "untracked"})
    (tmp_path / "link").symlink_to("a")
    found = compare(tmp_path, {"a": blob("1"), "d/e": blob("2"), "empty": blob(""), "link": f"link:{blob('a')}"})
    assert (found.stale, found.conflicts) == ((), ())


@pytest.mark.parametrize(
    "files, wanted, old, conflict",
    [
        pytest.param({}, {"a": "2"}, {}, None, id="missing"),
        pytest.param({"a": "1"}, {"a": "2"}, {"a": "1"}, None, id="as the last commit had it"),
        pytest.param({"a": ""}, {"a": "2"}, {"a": "1"}, None, id="empty, left by a git that was killed"),
        pytest.param({"a": "1"}, {}, {"a": "1"}, None, id="gone upstream"),
        pytest.param({"a": "mine"}, {"a": "2"}, {"a": "1"}, "a was changed here", id="changed"),
        pytest.param({"a": "mine"}, {}, {"a": "1"}, "a was changed here", id="changed, and gone upstream"),
        pytest.param({"a": "mine"}, {"a": "2"}, {}, "a is in the way and differs from the repository's", id="in the way"),
        pytest.param({"a": "1"}, {"a/b": "2"}, {"a": "1"}, None, id="a file became a folder upstream"),
        pytest.param({"a": "mine"}, {"a/b": "2"}, {}, "a is in the way of a/b", id="a file where a folder belongs"),
        pytest.param({"a/b": "1"}, {"a": "2"}, {"a/b": "1"}, None, id="a folder became a file upstream"),
        pytest.param({"a/b": "1", "a/c": "3"}, {"a": "2"}, {"a/b": "1"}, "a is a folder here, and holds a/c", id="a folder with more"),
    ],
)
def test_only_what_nobody_else_has_stands_in_the_way(tmp_path, files, wanted, old, conflict):
    write(tmp_path, files)
    trees = [{name: blob(text) for name, text in tree.items()} for tree in (wanted, old)]
    found = compare(tmp_path, trees[0], [trees[1]], installed=trees[1])
    assert found.stale
    assert [f"{entry.name} {entry.reason}" for entry in found.conflicts] == ([conflict] if conflict else [])


def test_a_link_to_a_folder_is_not_walked_through(tmp_path):
    (tmp_path / "root").mkdir()
    write(tmp_path, {"elsewhere/x": "1"})
    (tmp_path / "root/models").symlink_to(tmp_path / "elsewhere")
    found = compare(tmp_path / "root", {"models/x": blob("1")})
    assert [f"{entry.name} {entry.reason}" for entry in found.conflicts] == ["models is in the way of models/x"]


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "a")
    assert [entry.reason for entry in compare(tmp_path, {"a": blob("1")}).conflicts] == ["is neither a file nor a folder"]


def test_a_second_run_waits_and_then_names_the_first(tmp_path):
    shared = Shared(tmp_path / "shared", tmp_path / "cache", GitAccess())
    message = f"being changed by process {os.getpid()} since .*; .*shared.lock is locked"
    with shared.exclusive(0), pytest.raises(SharedError, match=message), shared.exclusive(0):
        pass
    with shared.exclusive(0):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_the_cache_of_git_is_never_given_away_through_a_link(tmp_path):
    nobody = Account.named("nobody")
    (tmp_path / "cache").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "cache/git").symlink_to(tmp_path / "outside")
    with Shared(tmp_path / "shared", tmp_path / "cache", GitAccess(account=nobody)).exclusive(0):
        pass
    assert (tmp_path / "outside").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_folders_are_given_away_but_never_through_a_link(tmp_path):
    nobody = Account.named("nobody")
    (tmp_path / "root/models/loras").mkdir(parents=True)
    (tmp_path / "outside/deep").mkdir(parents=True)
    (tmp_path / "root/link").symlink_to(tmp_path / "outside")
    give_folder(tmp_path / "root", "models/loras/missing", nobody)
    give_folder(tmp_path / "root", "link/deep", nobody)
    owners = {path: (tmp_path / path).stat().st_uid for path in ("root", "root/models", "root/models/loras", "outside", "outside/deep")}
    assert owners == {"root": nobody.uid, "root/models": 0, "root/models/loras": nobody.uid, "outside": 0, "outside/deep": 0}
