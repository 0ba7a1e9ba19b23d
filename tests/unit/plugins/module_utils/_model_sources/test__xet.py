# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""With the real huggingface_hub against the hub on the loopback. Xet's own protocol has no server here, so that files come over HTTP."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources import _xet
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._xet import XetFile, XetTools, fetch, work_folder
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, PassingError
from support.hub import Hub

# huggingface_hub writes 10 MiB at a time: of half of it, one.
CONTENT = os.urandom(25_000_001)
TOKEN = "hf_s3cretS3cretS3cretS3cretS3cretS3cret"
COLLECTIONS = Path(__file__).parents[5] / ".ansible/collections"


# the environment


def write_wheel(folder, name, version, code=""):
    """An index with one package in it, which is no more than this code."""
    place = folder / name.replace("_", "-")
    place.mkdir(parents=True, exist_ok=True)
    wheel, info = place / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}/__init__.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: hf-xet\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (place / "index.html").write_text(f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>')


@pytest.fixture(name="index")
def fixture_index(tmp_path, monkeypatch):
    """An index with empty packages, of versions that no other index has."""
    for name in ("HUB_VERSION", "XET_VERSION"):
        monkeypatch.setattr(_xet, name, "0.0.7")
    index = tmp_path / "index"
    for name in ("huggingface_hub", "hf_xet"):
        write_wheel(index, name, "0.0.7")
    return index


@pytest.fixture(name="folder")
def fixture_folder(tmp_path, tools):
    """A folder for tools in which uv is."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for place in tools.glob("uv-*"):
        (folder / place.name).symlink_to(place)
    return folder


def listed(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("uv-"))


@pytest.mark.parametrize("uv", [True, False], ids=["uv", "pip"])
def test_the_environment_is_made_once_and_whole(folder, index, monkeypatch, uv):
    if not uv:
        monkeypatch.setattr(XetTools, "_uv", lambda _self: None)
    tools = XetTools(folder, sys.executable, index.as_uri())
    python = tools.python()
    assert python == folder / "huggingface-0.0.7-0.0.7/bin/python"
    subprocess.run([python, "-I", "-c", "import huggingface_hub, hf_xet"], check=True)
    assert listed(folder) == ["huggingface-0.0.7-0.0.7"]
    before = python.parent.stat().st_ctime_ns
    assert XetTools(folder, "/nowhere", "file:///nowhere").python() == python
    assert python.parent.stat().st_ctime_ns == before


def test_one_that_cannot_be_made_leaves_nothing_and_comes_with_the_next_run(folder, index, monkeypatch):
    with monkeypatch.context() as missing:
        missing.setattr(_xet, "XET_VERSION", "0.0.8")
        with pytest.raises(DownloadError, match=r"cannot install hf_xet 0\.0\.8 from the package index: "):
            XetTools(folder, sys.executable, index.as_uri()).python()
    assert listed(folder) == []
    assert XetTools(folder, sys.executable, index.as_uri()).python().exists()


def test_one_whose_packages_do_not_work_is_not_taken(folder, index):
    write_wheel(index, "hf_xet", "0.0.7", "raise ImportError('not for this processor')")
    with pytest.raises(DownloadError, match="cannot install hf_xet .*not for this processor"):
        XetTools(folder, sys.executable, index.as_uri()).python()
    assert listed(folder) == []


def test_one_that_lost_its_interpreter_is_made_anew(folder, index):
    python = XetTools(folder, sys.executable, index.as_uri()).python()
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert XetTools(folder, sys.executable, index.as_uri()).python() == python
    assert python.exists() and listed(folder) == ["huggingface-0.0.7-0.0.7"]


def test_two_that_make_it_at_once_are_both_served(folder, index, monkeypatch):
    """As two processes do, which have no lock in common."""

    class NoLock:
        def __enter__(self):
            ready.wait(30)

        def __exit__(self, *_error):
            pass

    ready = threading.Barrier(2)
    monkeypatch.setattr(_xet, "_MAKING", NoLock())
    with ThreadPoolExecutor(2) as pool:
        pythons = list(pool.map(lambda _number: XetTools(folder, sys.executable, index.as_uri()).python(), range(2)))
    assert pythons[0] == pythons[1] and pythons[0].exists()
    assert listed(folder) == ["huggingface-0.0.7-0.0.7"]


def test_what_a_killed_run_left_goes_when_it_is_old(folder, index):
    for name, age in (("old", 2 * 24 * 3600), ("young", 60)):
        (folder / f".huggingface-{name}/new").mkdir(parents=True)
        os.utime(folder / f".huggingface-{name}", (time.time() - age,) * 2)
    XetTools(folder, sys.executable, index.as_uri()).python()
    assert listed(folder) == [".huggingface-young", "huggingface-0.0.7-0.0.7"]


def test_the_password_of_an_index_is_not_told(folder, index, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(DownloadError, match="cannot install hf_xet") as caught:
        XetTools(folder, sys.executable).python()
    assert "hunter2" not in str(caught.value)


def test_without_a_folder_for_tools_it_is_told_what_is_missing():
    with pytest.raises(DownloadError, match="there is no tools_dir to install it into"):
        XetTools(None).python()


# the download


@pytest.fixture(name="real", scope="module")
def fixture_real(tools, tmp_path_factory):
    """The real thing, brought from the package index once for all tests here."""
    folder = tmp_path_factory.mktemp("xet-tools")
    for place in tools.glob("uv-*"):
        (folder / place.name).symlink_to(place)
    real = XetTools(folder, sys.executable)
    real.python()
    return real


@pytest.fixture(name="hub")
def fixture_hub(tmp_path):
    root = tmp_path / "hub"
    for repository in ("org/repo", "org/gated"):
        (root / repository / "split files").mkdir(parents=True)
        (root / repository / "split files/a b.safetensors").write_bytes(CONTENT)
    (root / "org/gated/.gated").touch()
    with Hub(root, token=TOKEN) as hub:
        yield hub


@pytest.fixture(name="file")
def fixture_file(hub):
    return XetFile(hub.url, "model", "org/repo", "main", "split files/a b.safetensors")


@pytest.fixture(name="path")
def fixture_path(tmp_path):
    (tmp_path / "store").mkdir()
    return tmp_path / "store/.a.safetensors.0123abcd.4567cdef.part.whole"


def processes(text):
    """Those of this machine that have a text on their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "cmdline").read_bytes():
                found.append(folder)
        except OSError:
            continue
    return found


def test_the_whole_file_is_made_and_nothing_else(real, file, path):
    path.write_bytes(b"what was there")
    seen = []
    fetch(file, real, path, seen.append)
    assert path.read_bytes() == CONTENT
    assert seen[-1] == len(CONTENT)
    assert listed(path.parent) == [path.name]


def test_the_token_opens_what_is_gated_and_is_on_no_command_line(real, hub, file, path, monkeypatch):
    """Looked at while the storage keeps it waiting."""
    monkeypatch.setattr(_xet, "STALL_SECONDS", 1.0)
    (hub.root / "hub.json").write_text(json.dumps({"faults": {f"/org/gated/resolve/main/{file.path}": ["", "stall"]}}))
    file = replace(file, repository="org/gated", token=TOKEN)
    fetch(file, real, path, lambda _size: None)
    assert path.read_bytes() == CONTENT
    path.unlink()
    seen = []

    def look(_size):
        seen.append(len(processes(str(work_folder(path)))) - len(processes(TOKEN)))

    with pytest.raises(PassingError, match="hf_xet brought nothing for 1 seconds after 10485760 bytes"):
        fetch(file, real, path, look)
    assert seen == [1]
    assert not processes(str(work_folder(path)))
    assert listed(path.parent) == []
    assert TOKEN not in repr(file)


def test_who_does_not_want_it_any_more_ends_it(real, hub, file, path):
    (hub.root / "hub.json").write_text(json.dumps({"faults": {f"/org/repo/resolve/main/{file.path}": "stall"}}))

    def lost(_size):
        raise RuntimeError("another machine has the claim")

    with pytest.raises(RuntimeError, match="another machine"):
        fetch(file, real, path, lost)
    assert not processes(str(work_folder(path)))
    assert listed(path.parent) == []


def test_a_run_that_is_killed_takes_the_program_with_it_and_the_next_one_cleans_up(real, hub, file, path):
    (hub.root / "hub.json").write_text(json.dumps({"faults": {f"/org/repo/resolve/main/{file.path}": ["stall"]}}))
    script = f"""
import sys
sys.path.insert(0, {str(COLLECTIONS)!r})
from pathlib import Path
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._xet import XetFile, XetTools, fetch
fetch({file!r}, XetTools(Path({str(real.folder)!r})), Path({str(path)!r}), lambda size: print(size, flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"10485760\n"
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while processes(str(work_folder(path))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes(str(work_folder(path)))
    assert listed(path.parent) == [work_folder(path).name]
    again = path.with_name(".a.safetensors.0123abcd.00000000.part.whole")
    fetch(file, real, again, lambda _size: None)
    assert again.read_bytes() == CONTENT
    assert listed(path.parent) == [again.name]


@pytest.mark.parametrize(
    "values, code, message",
    [
        pytest.param(
            {"repository": "org/none"}, "RepoNotFound", "no such repository, or it is private.*no token was sent", id="repository"
        ),
        pytest.param({"revision": "v9"}, "RevisionNotFound", "no such revision: 404", id="revision"),
        pytest.param(
            {"path": "none.safetensors"}, "EntryNotFound", "org/repo/none.safetensors: the repository has no such file", id="file"
        ),
        pytest.param({"repository": "org/gated"}, "GatedRepo", "gated: accept its terms.*no token was sent", id="gated"),
        pytest.param({"repository": "org/gated", "token": "another-token"}, "GatedRepo", "gated.*403 .the token was sent", id="not let in"),
        pytest.param({"repository": "a/b/c"}, "", "hf_xet failed: .*Repo id must be", id="no repository"),
        pytest.param({"path": "../../../evil"}, "", "leads straight down", id="up"),
        pytest.param({"path": "a\nb"}, "", "control", id="line break"),
    ],
)
def test_why_there_is_no_file_is_told_in_words(real, file, path, values, code, message):
    with pytest.raises(DownloadError, match=message) as caught:
        fetch(replace(file, **values), real, path, lambda _size: None)
    assert caught.value.code == code and not isinstance(caught.value, PassingError)
    assert "another-token" not in str(caught.value)
    assert listed(path.parent) == []


def told(**values):
    usual = {"words": "Error: words", "status": None, "code": "", "pause": "", "errno": None, "final": False}
    return "a warning\n" + json.dumps({**usual, **values}) + "\n"


@pytest.mark.parametrize(
    "said, error, message",
    [
        pytest.param(told(status=503), PassingError, "the hub answered 503", id="not now"),
        pytest.param(told(status=429, pause="7"), PassingError, "the hub answered 429", id="not so often"),
        pytest.param(told(status=401), DownloadError, "a token is needed, or there is no such file: 401", id="401"),
        pytest.param(told(words="ConnectError: refused"), PassingError, "hf_xet failed: ConnectError: refused", id="network"),
        pytest.param(told(errno=errno.ECONNRESET), PassingError, "failed", id="reset"),
        pytest.param(told(errno=errno.EACCES), DownloadError, "failed", id="permissions"),
        pytest.param(told(final=True), DownloadError, "failed: Error: words", id="final"),
        pytest.param(told(errno=errno.ENOSPC), OSError, "No space left on device", id="disk"),
        pytest.param(told(words="RuntimeError: Data processing error: (os error 28)"), OSError, "No space left", id="disk of Rust"),
        pytest.param(told(words=f"sent {TOKEN} and token=hunter2 to"), PassingError, r"sent \*\*\* and", id="token"),
        pytest.param("thread panicked at src/lib.rs", PassingError, "panicked at", id="panic"),
        pytest.param("", PassingError, "it ended with -9", id="killed"),
        pytest.param("[1]", PassingError, "failed", id="other json"),
        pytest.param("{}", PassingError, "failed", id="empty json"),
    ],
)
def test_what_the_program_says_becomes_an_error_that_tells_whether_to_try_again(tmp_path, said, error, message):
    explained = _xet._explain(XetFile("http://127.0.0.1:1", "model", "a/b", "main", "c", TOKEN), -9, said, tmp_path / "work")
    with pytest.raises(error, match=message):
        raise explained
    assert type(explained) is error
    assert TOKEN not in str(explained) and "hunter2" not in str(explained)
    assert getattr(explained, "pause", None) == (7.0 if '"7"' in said else None)


def test_a_disk_that_fills_is_told_as_such_and_gets_its_room_back(real, hub, file, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        with pytest.raises(OSError, match="No space left on device") as caught:
            fetch(file, real, disk / ".a.0123abcd.4567cdef.part.whole", lambda _size: None)
        assert caught.value.errno == errno.ENOSPC
        assert listed(disk) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_link_in_the_place_of_our_folder_is_removed_and_not_followed(real, file, path, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/thing").touch()
    work_folder(path).symlink_to(tmp_path / "precious")
    fetch(file, real, path, lambda _size: None)
    assert listed(tmp_path / "precious") == ["thing"]
    assert listed(path.parent) == [path.name]


@pytest.mark.parametrize(
    "name, expected",
    [
        (".a.safetensors.0123abcd.4567cdef.part.whole", ".a.safetensors.0123abcd.xet"),
        (".a.safetensors.0123abcd.4567cdef.part", ".a.safetensors.0123abcd.xet"),
        ("a.safetensors", ".a.safetensors.xet"),
    ],
)
def test_the_folder_of_a_file_on_its_way_is_the_same_for_the_next_process(tmp_path, name, expected):
    assert work_folder(tmp_path / name) == tmp_path / expected
