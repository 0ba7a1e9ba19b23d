# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _registry
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import (
    RegistryError,
    load_registry,
    parse_pattern,
    parse_registry_file,
    repository_key,
    repository_url,
)
from hypothesis import given
from hypothesis import strategies as st

GITHUB = "https://github.com"
FILES = {
    "extension-node-map": {
        f"{GITHUB}/maker/ComfyUI-Boats": [["Boat", "Sail ", "Anchor"], {"title_aux": "Boats", "preemptions": ["Boat"]}],
        f"{GITHUB}/copycat/boats-again": [["Boat"], {"title_aux": "Boats again"}],
        f"{GITHUB}/hidden/unrated": [["Boat"], {}],
        f"{GITHUB}/maker/rowing": [["Oar"], {"nodename_pattern": r" \(rowing\)$"}],
        f"{GITHUB}/nobody/unlisted": [["Raft", "Boat"], {"nodename_pattern": "Raft"}],
        "https://raw.githubusercontent.com/somebody/one/main/float.py": [["Float"], {"title_aux": "One file"}],
        "https://git.example.org/somebody/own-server": [["Float"], {}],
        f"{GITHUB}/comfyanonymous/ComfyUI": [["KSampler", "Boat"], {}],
    },
    "custom-node-list": {
        "custom_nodes": [
            {"title": "Boats!", "id": "boats", "files": [f"git clone {GITHUB}/maker/ComfyUI-Boats.git/"], "install_type": "Git-Clone"},
            {"title": "Boats again", "files": [f"{GITHUB}/copycat/boats-again"], "install_type": "git-clone"},
            {"title": "Unrated", "files": [f"{GITHUB}/hidden/unrated"], "install_type": "git"},
            {"title": "Rowing", "id": "rowing-nodes", "files": ["http://github.com/Maker/Rowing"], "install_type": "git-clone"},
            {"title": "One", "files": ["https://raw.githubusercontent.com/somebody/one/main/float.py"], "install_type": "copy"},
            {"title": "Own server", "files": ["https://git.example.org/somebody/own-server"], "install_type": "git-clone"},
        ]
    },
    "model-list": {
        "models": [
            {"filename": "a.pth", "save_path": "default", "type": "upscale", "url": "https://example.com/a.pth"},
            {"filename": "b.bin", "save_path": "controlnet/SDXL", "type": "controlnet", "url": "https://example.com/1/b.bin"},
            {"filename": "b.bin", "save_path": "controlnet/SDXL", "type": "controlnet", "url": "https://example.com/2/b.bin"},
            {"filename": "<huggingface>", "save_path": "LLM", "type": "LLM", "url": "somebody/something"},
            {"filename": "c.bin", "save_path": "default", "type": "a type that nobody knows", "url": "https://example.com/c.bin"},
        ]
    },
    "github-stats": {
        f"{GITHUB}/Maker/comfyui-boats/": {"stars": 50, "last_update": "2026-02-03 04:05:06"},
        f"{GITHUB}/copycat/boats-again": {"stars": 3, "last_update": "2026-02-30 00:00:00"},
        f"{GITHUB}/maker/rowing": {"stars": 7, "last_update": "9999-01-01 00:00:00"},
        f"{GITHUB}/nobody/unlisted": {"stars": 99999, "last_update": "2026-01-01 00:00:00"},
        f"{GITHUB}/hidden/unrated": {"stars": "many"},
    },
}


def write(folder: Path, files=FILES, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for kind, data in files.items():
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        if packed:
            (folder / f"{kind}.json.gz").write_bytes(gzip.compress(content))
        else:
            (folder / f"{kind}.json").write_bytes(content)
    return folder


@pytest.fixture(name="index")
def fixture_index(tmp_path):
    return tmp_path / "index"


@pytest.fixture(name="registry")
def fixture_registry(tmp_path, index):
    return load_registry(str(write(tmp_path / "files")), index_dir=index)


def names(packs):
    return [pack.name for pack in packs]


@pytest.mark.parametrize("again", [False, True], ids=["from the files", "from the index"])
def test_every_answer(tmp_path, index, again):
    folder = str(write(tmp_path / "files"))
    if again:
        load_registry(folder, index_dir=index)
        inode = next(index.iterdir()).stat().st_ino
    registry = load_registry(folder, index_dir=index)
    if again:
        assert next(index.iterdir()).stat().st_ino == inode
    # Most stars first, the unknown last; a preemption counts for nothing.
    assert names(registry.exact("Boat")) == ["ComfyUI-Boats", "boats-again", "unrated"]
    assert registry.exact(" Sail") == registry.exact("Sail") == registry.exact("Boat")[:1]
    assert registry.exact("Boat")[0] == _registry.RegistryPack(
        "ComfyUI-Boats", f"{GITHUB}/maker/ComfyUI-Boats", "boats", "Boats!", 50, "git-clone"
    )
    assert registry.exact("Boat")[2].stars is None
    assert registry.exact("Yacht") == registry.matching("Yacht") == registry.elsewhere("Yacht") == ()
    assert names(registry.matching("Oar (rowing)")) == ["Rowing"]
    assert [model.url for model in registry.models("b.bin")] == ["https://example.com/1/b.bin", "https://example.com/2/b.bin"]
    assert registry.models("a.pth") == (_registry.ListedModel("a.pth", "upscale_models", "https://example.com/a.pth"),)
    assert registry.models("c.bin") == registry.models("<huggingface>") == ()


def test_what_git_cannot_install_or_nobody_listed_is_no_candidate_but_a_hint(registry):
    assert registry.exact("Float") == registry.exact("Raft") == registry.matching("Raft 2") == ()
    hints = {pack.name: pack.install_type for name in ("Float", "Raft") for pack in registry.elsewhere(name)}
    assert hints == {"float.py": "copy", "own-server": "unknown host", "unlisted": "unlisted"}
    assert registry.by_repository("nobody/unlisted") is registry.by_id("unlisted") is None


def test_comfyui_itself_is_no_pack(registry):
    assert registry.is_core("KSampler") and registry.is_core("Boat") and not registry.is_core("Oar") and not registry.is_core("Samp")
    assert registry.exact("KSampler") == registry.elsewhere("KSampler") == ()
    assert registry.by_repository("comfyanonymous/ComfyUI") is registry.by_id("ComfyUI") is None


@pytest.mark.parametrize(
    "cnr_id, name",
    [
        pytest.param("boats", "ComfyUI-Boats", id="by the list's id"),
        pytest.param("Rowing-Nodes", "Rowing", id="in other letters"),
        pytest.param("comfyui-boats", "ComfyUI-Boats", id="by the repository's name"),
        pytest.param("comfyui_boats", "ComfyUI-Boats", id="by the name without separators"),
        pytest.param("boat", None, id="by nothing"),
        pytest.param("", None, id="empty"),
    ],
)
def test_the_pack_of_a_registry_id(registry, cnr_id, name):
    found = registry.by_id(cnr_id)
    assert (found and found.name) == name


@pytest.mark.parametrize(
    "address, url",
    [
        pytest.param("https://github.com/Maker/Boats", "https://github.com/Maker/Boats", id="plain"),
        pytest.param("git clone http://www.GitHub.com/Maker/Boats.git/", "https://github.com/Maker/Boats", id="as people paste it"),
        pytest.param("git@github.com:Maker/Boats.git", "https://github.com/Maker/Boats", id="ssh"),
        pytest.param("ssh://git@github.com/Maker/Boats", "https://github.com/Maker/Boats", id="ssh as a URL"),
        pytest.param("Maker/Boats.py", "https://github.com/Maker/Boats.py", id="owner and name"),
        pytest.param("https://gitlab.com/a/b/Boats", "https://gitlab.com/a/b/Boats", id="a group of a group"),
        pytest.param("https://codeberg.org/a/Boats", "https://codeberg.org/a/Boats", id="codeberg"),
        pytest.param("https://github.com/Maker", None, id="no name"),
        pytest.param("https://github.com/Maker/Boats/raw/main/a.py", None, id="a file on github"),
        pytest.param("https://raw.githubusercontent.com/a/b/main/c.py", None, id="a raw file"),
        pytest.param("https://gist.github.com/a/b", None, id="a gist"),
        pytest.param("https://github.com.example.org/a/b", None, id="a host that looks alike"),
        pytest.param("https://user:secret@github.com/a/b", None, id="a password"),
        pytest.param("https://github.com:8443/a/b", None, id="another port"),
        pytest.param("https://github.com/a/b?x=1", None, id="a query"),
        pytest.param("https://github.com/../b", None, id="dots for an owner"),
        pytest.param("https://github.com/a/..", None, id="dots for a name"),
        pytest.param("https://github.com/a/-upload", None, id="an option for a name"),
        pytest.param("-x/b", None, id="an option for an owner"),
        pytest.param("https://github.com/a/b c", None, id="a space"),
        pytest.param("https://github.com/a/b\nc", None, id="a line break"),
        pytest.param("https://[github.com/a/b", None, id="half an address"),
        pytest.param("file:///etc/passwd", None, id="a file"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_what_is_a_repository(address, url):
    assert repository_url(address) == url
    if url:
        assert repository_key(address) == url.casefold()


def test_by_any_address_of_it(registry):
    for address in ("maker/comfyui-boats", "git clone https://github.com/maker/ComfyUI-Boats.git", "git@github.com:Maker/ComfyUI-Boats"):
        assert registry.by_repository(address).name == "ComfyUI-Boats"
    assert registry.by_repository("somebody/else") is None


# Every construct that packs use, so that re can be asked for the truth.
PATTERNS = [
    "^DF_", "Inspire$", r" \(rgthree\)$", r"^\[Comfy3D\]", "Hunyuan", "^ttN ", "- Ostris$", "(Gallery-dl|Yt-dlp|Web.*Scraper)", "^🤖 Leon",
    "MiniMax.*BMO|BMO.*MiniMax", "(^(Prompts|Anything) Everywhere|Simple String)", "MiniMaxH3SP.*", "^(One|Two_Two|Three)", "(?:ab|c)d$",
    "^same$", "^aa.*aa$", "^ab.*", ".*ab$",
]  # fmt: skip
NAMES = [
    "DF_x", "x DF_", "a Inspire", "Inspire b", "Fast (rgthree)", "Fast rgthree", "[Comfy3D] x", "HunyuanVideo", "ttN pipe", "x - Ostris",
    "Yt-dlp 1", "WebScraper", "Web 1 Scraper 2", "🤖 Leon 1", "BMO MiniMax", "MiniMax", "Prompts Everywhere?", "My Anything Everywhere",
    "a Simple String", "MiniMaxH3SP", "Two_Two", "xOne", "abd", "cd", "cdx", "same", "samesame", "aaa", "aaaa", "aabaa", "ab", "xab", "",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_what_it_means_to_re(pattern):
    found = [name for name in NAMES if any(one.matches(name) for one in parse_pattern(pattern))]
    assert found == [name for name in NAMES if re.search(pattern, name)]


@given(st.lists(st.sampled_from(["a", "b", "ab", ".*", "|", "(a|b)", "(ab|.*b)"]), min_size=1, max_size=6), st.text("ab", max_size=8))
def test_any_pattern_that_is_accepted_means_what_it_means_to_re(parts, name):
    pattern = "".join(parts)
    try:
        alternatives = parse_pattern(pattern)
    except ValueError:
        return
    assert any(one.matches(name) for one in alternatives) == bool(re.search(pattern, name))


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("(a+)+b", id="nested quantifiers"),
        pytest.param("a*", id="a quantifier"),
        pytest.param("aa?b", id="an option"),
        pytest.param("a{2,9}b", id="a count"),
        pytest.param(r"(ab)\1", id="a reference"),
        pytest.param("(?=ab)", id="a look ahead"),
        pytest.param("[a-z]bc", id="a set"),
        pytest.param("a.c", id="any character"),
        pytest.param("", id="nothing"),
        pytest.param(".*", id="everything"),
        pytest.param("abc|", id="something or everything"),
        pytest.param("a", id="one letter"),
        pytest.param("(abc", id="an open group"),
        pytest.param("abc)", id="a closed group"),
        pytest.param("ab^c", id="a start in the middle"),
        pytest.param("(((((ab)))))", id="deep"),
        pytest.param("(a|b)" * 40, id="as many names as atoms"),
        pytest.param("x" * 401, id="long"),
        pytest.param("abc\\", id="half an escape"),
    ],
)
def test_a_pattern_of_any_other_kind_is_refused(pattern):
    with pytest.raises(ValueError, match="it|is|a group"):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    "kind, data",
    [
        pytest.param("extension-node-map", {"": [["A"], {}]}, id="no address"),
        pytest.param("extension-node-map", {GITHUB: "text"}, id="a map entry that is text"),
        pytest.param("extension-node-map", {GITHUB: [{"A": 1}, {}]}, id="a map entry without a list"),
        pytest.param("extension-node-map", {f"{GITHUB}/maker/rowing": [[7], {}]}, id="a class that is a number"),
        pytest.param("extension-node-map", {f"{GITHUB}/maker/rowing": [["x\x1b[2J"], {}]}, id="a class with an escape"),
        pytest.param("extension-node-map", {f"{GITHUB}/maker/rowing": [["\ud800"], {}]}, id="a class with half a character"),
        pytest.param("extension-node-map", {f"{GITHUB}/maker/rowing": [["x" * 201], {}]}, id="a long class"),
        pytest.param("extension-node-map", {f"{GITHUB}/maker/rowing": [[], {"nodename_pattern": "(a+)+$"}]}, id="an evil pattern"),
        pytest.param("extension-node-map", {f"{GITHUB}/maker/rowing": [[], {"nodename_pattern": ["a"]}]}, id="a pattern that is a list"),
        pytest.param("custom-node-list", {"custom_nodes": ["text"]}, id="a pack that is text"),
        pytest.param("custom-node-list", {"custom_nodes": [{"files": "x"}]}, id="a pack whose files are text"),
        pytest.param("custom-node-list", {"custom_nodes": [{"files": [None]}]}, id="a pack whose file is nothing"),
        pytest.param("model-list", {"models": [None]}, id="a model that is nothing"),
        pytest.param("model-list", {"models": [{"filename": "x", "save_path": "y", "url": 7}]}, id="a model whose URL is a number"),
        pytest.param("model-list", {"models": [{"filename": "x", "save_path": "y", "url": "http://x/x"}]}, id="a model over plain HTTP"),
        pytest.param("github-stats", {f"{GITHUB}/maker/rowing": {"stars": True}}, id="stars that are true"),
        pytest.param("github-stats", {f"{GITHUB}/maker/rowing": {"stars": -1}}, id="stars below nothing"),
        pytest.param("github-stats", {f"{GITHUB}/maker/rowing": {"stars": 10**30}}, id="more stars than in the sky"),
        pytest.param("github-stats", {f"{GITHUB}/maker/rowing": 7}, id="a number for stats"),
    ],
)
def test_an_odd_entry_is_skipped_and_counted(tmp_path, index, kind, data):
    sound = load_registry(str(write(tmp_path / "sound")), index_dir=index)
    merged = {**FILES[kind], **data} if kind in ("extension-node-map", "github-stats") else {k: FILES[kind][k] + data[k] for k in data}
    registry = load_registry(str(write(tmp_path / "odd", {**FILES, kind: merged})), index_dir=index)
    assert registry.origin.skipped == sound.origin.skipped + 1
    assert f"{registry.origin.skipped} odd entries were skipped" in registry.origin.words
    assert registry.exact("Anchor") == sound.exact("Anchor")


@pytest.mark.parametrize(
    "content, reason",
    [
        pytest.param(b"", "it is not JSON", id="empty"),
        pytest.param(b'{"a": [', "it is not JSON", id="cut short"),
        pytest.param(b"\xff\xfe\x00", "it is not JSON", id="not text"),
        pytest.param(b"[" * 200_000, "it is not JSON", id="deep"),
        pytest.param(b"1" * 5000, "it is not JSON", id="a number without end"),
        pytest.param(b"[]", "shape of extension-node-map.json", id="another shape"),
        pytest.param(b"<!DOCTYPE html><p>Sign in", "it is a web page", id="a web page"),
        pytest.param(gzip.compress(b"x" * 999)[:-9], "no whole gzip file", id="a gzip file cut short"),
        pytest.param(b"\x1f\x8bnonsense", "no whole gzip file", id="a gzip file of nonsense"),
        pytest.param(gzip.compress(b" " * (_registry.MOST_BYTES + 1)), "it has more than", id="a gzip file that unpacks without end"),
        pytest.param(b" " * (_registry.MOST_BYTES + 1), "it has more than", id="large"),
    ],
)
def test_a_file_that_is_unusable_is_named_with_the_reason(tmp_path, index, content, reason):
    folder = write(tmp_path / "files", {**FILES, "extension-node-map": content})
    with pytest.raises(RegistryError, match=f"{folder}/extension-node-map.json: .*{reason}"):
        load_registry(str(folder), index_dir=index)
    with pytest.raises(RegistryError, match=reason):
        parse_registry_file("extension-node-map", content)
    assert list(index.iterdir()) == []


def test_gzip_files_and_single_files_say_the_same_as_a_folder(tmp_path, index, registry):
    packed = load_registry(str(write(tmp_path / "packed", packed=True)), index_dir=index)
    listed = load_registry([str(path) for path in sorted((tmp_path / "packed").iterdir())], index_dir=index)
    assert packed.exact("Boat") == listed.exact("Boat") == registry.exact("Boat")
    assert [one.origin.kind for one in (registry, packed, listed)] == ["folder", "folder", "files"]


def test_one_file_alone_is_a_source_too(tmp_path, index):
    registry = load_registry(str(write(tmp_path / "files") / "model-list.json"), index_dir=index)
    assert registry.models("a.pth") and registry.origin.kind == "files"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([GITHUB, f"{GITHUB}/a/b", "default"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ADDRESS = st.sampled_from(["", "x", f"{GITHUB}/a/b", f"{GITHUB}/A/b.git", f"{GITHUB}/comfyanonymous/ComfyUI", "https://["])


def entries(*keys):
    return st.lists(JUNK | st.fixed_dictionaries({}, optional=dict.fromkeys(keys, JUNK)), max_size=4)


@given(
    st.tuples(
        st.dictionaries(ADDRESS, st.tuples(st.lists(JUNK, max_size=3), JUNK | st.fixed_dictionaries({"nodename_pattern": JUNK})) | JUNK),
        st.fixed_dictionaries({"custom_nodes": entries("files", "install_type", "id", "title")}),
        st.fixed_dictionaries({"models": entries("filename", "save_path", "type", "url")}),
        st.dictionaries(ADDRESS, st.fixed_dictionaries({"stars": JUNK, "last_update": JUNK | st.just("2026-99-99 99:99:99")}) | JUNK),
    )
    | st.tuples(JUNK, JUNK, JUNK, JUNK)
)
def test_whatever_the_files_hold_is_answered_from_or_refused(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("junk")
    write(folder, dict(zip(FILES, contents, strict=True)))
    try:
        first = load_registry(str(folder), index_dir=folder / "index")
    except RegistryError as error:
        assert str(folder) in str(error)
        return
    second = load_registry(str(folder), index_dir=folder / "index")
    for registry in (first, second):
        assert registry.origin.words == first.origin.words
        for name in ("x", "b", ""):
            assert (registry.exact(name), registry.elsewhere(name), registry.by_id(name)) == (
                first.exact(name),
                first.elsewhere(name),
                first.by_id(name),
            )
            registry.matching(name)


def test_without_the_list_of_packs_nothing_is_a_candidate(tmp_path, index):
    folder = write(tmp_path / "files", {"extension-node-map": FILES["extension-node-map"]})
    registry = load_registry(str(folder), index_dir=index)
    assert registry.exact("Boat") == () and len(registry.elsewhere("Boat")) == 4
    assert registry.origin.notes == tuple(f"there is no {kind}.json" for kind in ("custom-node-list", "model-list", "github-stats"))


@pytest.mark.parametrize(
    "source, reason",
    [
        pytest.param("nowhere", "nowhere has none of the files", id="no folder"),
        pytest.param([], "empty", id="no files"),
        pytest.param(["files/other.json"], "other.json has the name of none", id="another name"),
        pytest.param(["a/model-list.json", "b/model-list.json.gz"], "same file", id="one file twice"),
        pytest.param(["gone/model-list.json"], "model-list.json cannot be read", id="a file that is not there"),
        pytest.param(["pipe/model-list.json"], "is not a file", id="a pipe, which would be waited for"),
    ],
)
def test_a_source_that_was_asked_for_must_be_there(tmp_path, index, monkeypatch, source, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe/model-list.json")
    with pytest.raises(RegistryError, match=reason):
        load_registry(source, index_dir=index)


def test_the_date_is_the_newest_update_that_can_be_true(registry):
    assert registry.origin.date == "2026-02-03T04:05:06+00:00"
    assert registry.origin.date_from == "newest last_update in github-stats"


def test_without_stats_the_date_is_that_of_the_newest_file(tmp_path, index):
    folder = write(tmp_path / "files", {kind: data for kind, data in FILES.items() if kind != "github-stats"})
    for path in folder.iterdir():
        os.utime(path, (0, time.time() - 86400 * 3.5))
    origin = load_registry(str(folder), index_dir=index).origin
    assert (origin.age_days, origin.date_from) == (3, "time of the newest file")
    assert "3 days old (time of the newest file)" in origin.words
    assert origin.to_dict()["words"] == origin.words


@pytest.fixture(name="package")
def fixture_package(tmp_path, monkeypatch):
    """An installed comfyui-manager that must not be imported."""
    site = tmp_path / "site"
    write(site / "comfyui_manager")
    (site / "comfyui_manager/__init__.py").write_text("raise SystemExit('was imported')\n")
    (site / "comfyui_manager-4.3.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(site))
    return site / "comfyui_manager"


def test_auto_takes_the_cache_first(tmp_path, index, package):
    write(tmp_path / "cache/set-1")
    (tmp_path / "cache/current").symlink_to("set-1")
    registry = load_registry("auto", tmp_path / "cache", index)
    assert (registry.origin.kind, registry.origin.path) == ("cache", str(tmp_path / "cache"))
    assert f"from the cache {tmp_path}/cache, 2026-02-03" in registry.origin.words


def test_auto_takes_the_package_next_without_running_it(tmp_path, index, package):
    write(tmp_path / "cache", {"model-list": b"<html>"})
    registry = load_registry("auto", tmp_path / "cache", index)
    assert (registry.origin.kind, registry.origin.path, registry.origin.version) == ("package", str(package), "4.3")
    assert "from the package comfyui-manager 4.3" in registry.origin.words and "the cache is not used" in registry.origin.words
    assert names(registry.exact("Oar")) == ["Rowing"]
    assert "comfyui_manager" not in sys.modules


def test_auto_without_either_answers_that_it_knows_nothing(tmp_path, index):
    registry = load_registry("auto", tmp_path / "nowhere", index)
    assert registry.origin.kind == "none" and "no registry" in registry.origin.words
    assert registry.exact("Boat") == registry.matching("Boat") == registry.elsewhere("Boat") == registry.models("a.pth") == ()
    assert registry.by_id("boats") is registry.by_repository("maker/boats") is None and not registry.is_core("KSampler")


def test_the_index_is_in_the_accounts_cache_folder_and_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _registry.default_registry_dir() == tmp_path / "xdg/emprops.comfyui/registry"
    load_registry(str(write(tmp_path / "files")))
    (made,) = (tmp_path / "xdg/emprops.comfyui").iterdir()
    assert made.stat().st_mode & 0o777 == 0o600 and made.parent.stat().st_mode & 0o777 == 0o700


def test_a_relative_cache_home_is_ignored(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert _registry.default_registry_dir() == Path.home() / ".cache/emprops.comfyui/registry"


def test_a_changed_file_makes_the_index_anew(tmp_path, index, registry):
    write(tmp_path / "files", {"github-stats": {f"{GITHUB}/copycat/boats-again": {"stars": 5000}}})
    assert names(load_registry(str(tmp_path / "files"), index_dir=index).exact("Boat"))[0] == "boats-again"
    assert len(list(index.iterdir())) == 1


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-40]), id="cut short"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes().replace(b"Anchor", b"Hammer")), id="changed inside"),
        pytest.param(lambda path: path.write_bytes(b"0" + path.read_bytes()), id="another format"),
        pytest.param(lambda path: path.write_bytes(b"\xff\x00" * 999), id="nonsense"),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), id="a folder"),
        pytest.param(lambda path: path.chmod(0o666), id="others may write it"),
        pytest.param(lambda path: (path.rename(path.with_name("x")), path.symlink_to("x")), id="a link"),
    ],
)
def test_an_index_that_is_not_whole_and_ours_is_made_anew(tmp_path, index, registry, damage):
    (path,) = index.iterdir()
    inode = path.stat().st_ino
    damage(path)
    again = load_registry(str(tmp_path / "files"), index_dir=index)
    assert again.exact("Anchor") == registry.exact("Anchor")
    if path.is_dir():
        assert any("no index is kept" in note for note in again.origin.notes)
    else:
        assert path.is_file() and not path.is_symlink() and path.stat().st_ino != inode and path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_an_index_of_another_account_is_not_read(tmp_path, index, registry):
    (path,) = index.iterdir()
    os.chown(path, 65534, 65534)
    load_registry(str(tmp_path / "files"), index_dir=index)
    assert path.stat().st_uid == 0


@pytest.mark.parametrize(
    "spoil, why",
    [
        pytest.param(lambda folder: (folder.mkdir(), folder.chmod(0o777)), "others may write in it", id="open to others"),
        pytest.param(lambda folder: folder.write_text(""), "File exists", id="a file in its place"),
        pytest.param(lambda folder: folder.symlink_to("/proc/nowhere"), "File exists", id="a link to nowhere"),
    ],
)
def test_without_a_folder_for_the_index_the_answers_are_the_same_and_the_reason_is_said(tmp_path, index, spoil, why):
    spoil(index)
    registry = load_registry(str(write(tmp_path / "files")), index_dir=index)
    assert names(registry.exact("Oar")) == ["Rowing"]
    assert [note for note in registry.origin.notes if "no index is kept" in note and why in note]


def test_an_account_without_a_home_goes_on_without_an_index(tmp_path, monkeypatch):
    monkeypatch.setattr(_registry, "_user_cache", lambda: None)
    registry = load_registry(str(write(tmp_path / "files")))
    assert names(registry.exact("Oar")) == ["Rowing"] and "no home folder" in registry.origin.words
    assert load_registry("auto").origin.kind == "none"


def test_two_processes_at_once_both_answer_and_leave_one_whole_index(tmp_path, index):
    folder = write(tmp_path / "files")
    program = (
        "import sys, pathlib\n"
        "from ansible_collections.emprops.comfyui.plugins.module_utils._registry import load_registry\n"
        "sys.stdin.readline()\n"
        "print(load_registry(sys.argv[1], index_dir=pathlib.Path(sys.argv[2])).exact('Anchor')[0].name)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(folder), str(index)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) for _process in range(4)
    ]
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in running] == ["ComfyUI-Boats\n"] * 4
    (path,) = index.iterdir()
    inode = path.stat().st_ino
    load_registry(str(folder), index_dir=index)
    assert path.stat().st_ino == inode
