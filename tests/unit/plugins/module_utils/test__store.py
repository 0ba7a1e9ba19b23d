# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_inputs import CORE_FOLDERS
from ansible_collections.emprops.comfyui.plugins.module_utils._store import (
    LEGACY_FOLDERS,
    Declarations,
    Declared,
    StoreError,
    _mapped,
    canonical_directory,
    canonical_path,
    keeps_times_of_use,
    last_use,
    open_inodes,
    parse_declared,
    parse_time,
    time_words,
    walk,
)


@pytest.fixture(name="store")
def fixture_store(tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    return store


@pytest.fixture(name="odd_times")
def fixture_odd_times():
    # Most file systems on disks end in the year 2446; this one takes any time.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        probe = put(Path(folder) / "probe")
        os.utime(probe, (2**41, 2**41))
        if probe.stat().st_mtime != 2**41:
            pytest.skip("no file system here takes such a time")
        probe.unlink()
        yield Path(folder)


def put(path, content=b"weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def found(store):
    return {file.relative: file for file in walk(store).files}


# --- walk ---------------------------------------------------------------------------------------------------------


def test_every_file_is_listed_with_what_the_disk_says_of_it(store):
    path = put(store / "loras/portraits/a b.safetensors")
    [file] = walk(store).files
    assert (file.path, file.relative, file.directory, file.name) == (
        path,
        "loras/portraits/a b.safetensors",
        "loras/portraits",
        "a b.safetensors",
    )
    seen = path.stat()
    assert (file.size, file.inode, file.nlink) == (7, (seen.st_dev, seen.st_ino), 1)
    assert (file.mtime_ns, file.atime_ns, file.ctime_ns) == (seen.st_mtime_ns, seen.st_atime_ns, seen.st_ctime_ns)
    assert file.allocated == seen.st_blocks * 512
    assert (file.link, file.dangling, file.outside) == (None, False, False)


def test_a_sparse_file_holds_less_than_its_size(store):
    with put(store / "vae/x.pt").open("wb") as file:
        file.truncate(10**11)
    [file] = walk(store).files
    assert file.size == 10**11 and file.allocated < 10**6


def test_a_link_is_listed_with_its_target(store):
    target = put(store / "Stable-diffusion/base.safetensors")
    (store / "checkpoints").mkdir()
    (store / "checkpoints/base.safetensors").symlink_to("../Stable-diffusion/base.safetensors")
    files = found(store)
    link = files["checkpoints/base.safetensors"]
    assert link.link == target and not link.dangling and not link.outside
    assert link.inode == files["Stable-diffusion/base.safetensors"].inode


@pytest.mark.parametrize("target", ["nowhere", "gone/x.pt", "x.pt", "/nowhere/at/all"])
def test_a_link_to_nothing_dangles(store, target):
    (store / "vae").mkdir()
    (store / "vae/x.pt").symlink_to(target)
    [file] = walk(store).files
    assert file.dangling and file.outside is (target == "/nowhere/at/all")


def test_a_link_out_of_the_store_says_so_and_is_not_followed_into_a_folder(store, tmp_path):
    put(tmp_path / "elsewhere/secret.txt")
    (store / "file.pt").symlink_to(tmp_path / "elsewhere/secret.txt")
    (store / "folder").symlink_to(tmp_path / "elsewhere")
    [file] = walk(store).files
    assert file.relative == "file.pt" and file.outside


def test_links_in_a_circle_are_no_trap(store):
    put(store / "loras/a.pt")
    (store / "loras/round").symlink_to(store)
    (store / "loras/self").symlink_to("self")
    files = found(store)
    assert set(files) == {"loras/a.pt", "loras/self"} and files["loras/self"].dangling


def test_a_store_that_is_a_link_itself_is_walked(store, tmp_path):
    put(store / "vae/a.pt")
    (store / "vae/b.pt").symlink_to(store / "vae/a.pt")
    link = tmp_path / "models"
    link.symlink_to(store)
    files = found(link)
    assert set(files) == {"vae/a.pt", "vae/b.pt"} and not files["vae/b.pt"].outside
    assert files["vae/a.pt"].path == link / "vae/a.pt"


def test_what_downloads_leave_is_apart_and_other_hidden_names_are_not_looked_at(store):
    put(store / "loras/a.pt")
    for name in (".a.pt.0a1b.77.part", ".a.pt.0a1b.77.part.json", ".a.pt.claim", ".notes", ".git/config", ".quarantine/x/a.pt", ".partly"):
        put(store / "loras" / name)
    os.utime(store / "loras/.a.pt.claim", (1000, 1000))
    contents = walk(store)
    assert [file.relative for file in contents.files] == ["loras/a.pt"]
    assert [(leftover.relative, leftover.kind) for leftover in contents.leftovers] == [
        ("loras/.a.pt.0a1b.77.part", "part"),
        ("loras/.a.pt.0a1b.77.part.json", "part.json"),
        ("loras/.a.pt.claim", "claim"),
    ]
    assert contents.leftovers[2].age(1060) == 60 and contents.leftovers[2].age(0) == 0


@pytest.mark.parametrize(
    ("name", "kind", "download"),
    [
        (".a.pt.0123abcd.89abcdef.part", "part", ".a.pt.0123abcd.89abcdef"),
        (".a.pt.0123abcd.89abcdef.part.whole", "part.whole", ".a.pt.0123abcd.89abcdef"),
        (".a.pt.0123abcd.89abcdef.part.json", "part.json", ".a.pt.0123abcd.89abcdef"),
        ("..a.pt.0123abcd.89abcdef.part.json.partial", "part.json.partial", ".a.pt.0123abcd.89abcdef"),
        (".a.pt.0123456789abcdef.link", "link", ".a.pt.0123456789abcdef"),
        (".0123456789abcdef.link", "link", ".0123456789abcdef"),
        (".a.pt.link", None, None),
        (".a.pt.0123abcd.xet", None, None),
        (".whole", None, None),
    ],
)
def test_every_draft_of_a_download_is_told_by_its_name(store, name, kind, download):
    put(store / "loras" / name)
    found = [(one.relative, one.kind, one.download) for one in walk(store).leftovers]
    assert found == ([(f"loras/{name}", kind, f"loras/{download}")] if kind else [])


def test_a_draft_that_is_another_name_of_a_file_holds_no_bytes_and_is_as_old_as_that_name(store):
    model = put(store / "loras/a.pt", bytes(10000))
    os.utime(model, (1000, 1000))
    (store / "loras/.b.pt.0123456789abcdef.link").hardlink_to(model)
    (store / "loras/.0123456789abcdef.link").symlink_to("a.pt")
    (store / "loras/.c.pt.0123456789abcdef.link").mkdir()
    [soft, hard] = walk(store).leftovers
    assert (hard.kind, soft.kind, hard.allocated) == ("link", "link", 0)
    assert hard.age(hard.stat.st_ctime + 60) == 60


def test_a_leftover_that_is_said_to_be_of_the_future_is_as_old_as_its_last_change(store):
    path = put(store / "loras/.a.pt.0123abcd.89abcdef.part")
    later = time.time() + 10**8
    os.utime(path, (later, later))
    [found] = walk(store).leftovers
    assert found.age(found.stat.st_ctime + 60) == 60


def test_the_folder_of_another_programs_download_is_one_leftover_with_all_that_it_holds(store, tmp_path):
    folder = store / "loras/.a.pt.0123abcd.xet"
    one, other = put(folder / "file/a.pt.incomplete", bytes(100_000)), put(folder / "home/deep/b", bytes(50_000))
    (folder / "home/outside").symlink_to(put(tmp_path / "large", bytes(900_000)).parent)
    put(store / "loras/.b.pt.0123abcd.xet")
    for path, when in ((one, 1000), (other, 2000)):
        os.utime(path, (when, when))
    os.utime(folder / "home/outside", (1500, 1500), follow_symlinks=False)
    contents = walk(store)
    [found] = contents.leftovers
    assert (found.relative, found.kind, found.age(2060)) == ("loras/.a.pt.0123abcd.xet", "xet", 60)
    assert 150_000 <= found.allocated < 300_000
    assert {(path.stat().st_dev, path.stat().st_ino) for path in (one, other)} < found.inodes
    assert contents.files == [] and contents.problems == []


def test_what_is_neither_file_nor_folder_is_a_problem_by_name(store):
    (store / "vae").mkdir()
    os.mkfifo(store / "vae/pipe.pt")
    (store / "vae/link.pt").symlink_to("pipe.pt")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(store / "vae/s"))
        contents = walk(store)
    assert contents.files == []
    assert [problem.label for problem in contents.problems] == ["vae/link.pt", "vae/pipe.pt", "vae/s"]


@pytest.fixture(name="somebody")
def fixture_somebody(tmp_path):
    """For a moment, an account without rights of its own."""
    if os.getuid() != 0:
        pytest.skip("only root becomes another account")
    below = tmp_path.relative_to(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents[: len(below.parts) - 1]):
        folder.chmod(0o755)

    @contextlib.contextmanager
    def somebody():
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return somebody


def test_a_folder_that_is_closed_to_us_is_named_and_the_others_are_listed(store, somebody):
    put(store / "loras/a.pt")
    put(store / "vae/b.pt")
    (store / "vae").chmod(0o700)
    with somebody():
        contents = walk(store)
    assert [file.relative for file in contents.files] == ["loras/a.pt"]
    assert [tuple(problem) for problem in contents.problems] == [(store / "vae", "vae", "Permission denied")]


@pytest.mark.parametrize("place", ["missing", "file"])
def test_a_store_that_is_not_there_is_named(store, place):
    put(store / "file")
    with pytest.raises(StoreError, match=f"the store .*{place} cannot be read"):
        walk(store / place)


def test_a_name_that_is_no_text_is_shown_without_harm(store):
    put(store / os.fsdecode(b"\xff\x1b[31m.pt"))
    [file] = walk(store).files
    assert file.label == "\ufffd\ufffd[31m.pt"
    file.label.encode()


@pytest.mark.parametrize(
    ("name", "size", "is_model"),
    [("a.safetensors", 0, True), ("a.GGUF", 1, True), ("put_loras_here", 0, False), ("a.png", 1000, False), ("weights", 1024**2, True)],
)
def test_notes_and_pictures_are_no_models(store, name, size, is_model):
    put(store / "loras" / name, bytes(size))
    assert walk(store).files[0].is_model is is_model


# --- folders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directory", "current"),
    [
        pytest.param("clip", "text_encoders", id="the older of ComfyUI's own names"),
        pytest.param("unet/flux", "diffusion_models/flux", id="what is below stays"),
        pytest.param("Stable-diffusion", "checkpoints", id="another program's name"),
        pytest.param("LORA/x/", "loras/x", id="in whatever case"),
        pytest.param("VAE", "vae", id="only the case differs"),
        pytest.param("ControlNet", "controlnet", id="only the case differs, once more"),
        pytest.param("CLIP", "text_encoders", id="an alias in another case"),
        pytest.param("loras/Lora", "loras/Lora", id="only the first part is a type"),
        pytest.param("sams", "sams", id="a pack's folder"),
        pytest.param("ipadapter/VAE", "ipadapter/VAE", id="below a pack's folder"),
        pytest.param("", "", id="the store itself"),
    ],
)
def test_a_folder_has_one_current_name(directory, current):
    assert canonical_directory(directory) == current
    assert canonical_directory(current) == current


def test_legacy_names_lead_to_folders_of_comfyui_and_hide_none():
    assert set(LEGACY_FOLDERS.values()) <= CORE_FOLDERS
    assert not set(LEGACY_FOLDERS) & CORE_FOLDERS


def test_folder_and_name_share_a_path_as_they_like():
    assert canonical_path("clip", "a\\b.pt") == canonical_path("text_encoders/a", "b.pt") == "text_encoders/a/b.pt"


# --- declarations -------------------------------------------------------------------------------------------------


def owners(store, *declared):
    declarations = Declarations(store, declared)
    return {file.relative: [one.label for one in declarations.owners(file)] for file in walk(store).files}


def test_a_file_belongs_to_all_who_declared_it_under_any_alias(store):
    put(store / "clip/a.pt")
    put(store / "clip/b.pt")
    put(store / "Lora/c.pt")
    assert owners(
        store,
        Declared("text_encoders", "a.pt", "workflow", "one"),
        Declared("clip", "a.pt", "keep", "two"),
        Declared("loras", "c.pt", "static", "three"),
    ) == {"clip/a.pt": ["one", "two"], "clip/b.pt": [], "Lora/c.pt": ["three"]}


def test_what_is_in_a_declared_folder_is_declared(store):
    put(store / "diffusers/sdxl/unet/model.safetensors")
    put(store / "diffusers/sdxl2/model.safetensors")
    assert owners(store, Declared("diffusers", "sdxl", "workflow", "w")) == {
        "diffusers/sdxl/unet/model.safetensors": ["w"],
        "diffusers/sdxl2/model.safetensors": [],
    }


def test_a_target_is_declared_through_the_link_and_so_is_every_link_between(store):
    put(store / "Stable-diffusion/real.pt")
    put(store / "Stable-diffusion/other.pt")
    (store / "checkpoints").mkdir()
    (store / "checkpoints/middle.pt").symlink_to("../Stable-diffusion/real.pt")
    (store / "checkpoints/wanted.pt").symlink_to("middle.pt")
    (store / "checkpoints/more.pt").symlink_to("wanted.pt")
    assert owners(store, Declared("checkpoints", "wanted.pt", "static", "s")) == {
        "Stable-diffusion/real.pt": ["s"],
        "Stable-diffusion/other.pt": [],
        "checkpoints/middle.pt": ["s"],
        "checkpoints/wanted.pt": ["s"],
        "checkpoints/more.pt": [],
    }


def test_a_target_is_declared_through_links_to_folders(store):
    put(store / "by_author/me/a.pt")
    put(store / "by_author/you/b.pt")
    (store / "loras").mkdir()
    (store / "loras/mine").symlink_to("../by_author/me")
    (store / "vae").symlink_to("by_author/you")
    assert owners(store, Declared("loras/mine", "a.pt", "workflow", "a"), Declared("vae", "b.pt", "workflow", "b")) == {
        "by_author/me/a.pt": ["a"],
        "by_author/you/b.pt": ["b"],
    }


def test_a_declared_folder_that_is_a_link_declares_what_is_in_its_target(store):
    put(store / "elsewhere/sdxl/unet/model.safetensors")
    (store / "diffusers").mkdir()
    (store / "diffusers/sdxl").symlink_to("../elsewhere/sdxl")
    assert owners(store, Declared("diffusers", "sdxl", "workflow", "w")) == {"elsewhere/sdxl/unet/model.safetensors": ["w"]}


def test_links_in_a_circle_declare_nothing_more(store):
    (store / "vae").mkdir()
    (store / "vae/a.pt").symlink_to("b.pt")
    (store / "vae/b.pt").symlink_to("a.pt")
    assert owners(store, Declared("vae", "a.pt", "workflow", "w")) == {"vae/a.pt": ["w"], "vae/b.pt": ["w"]}


def test_the_places_of_a_declared_model_are_those_that_exist(store):
    one, two, three = (
        Declared("text_encoders", "a.pt", "workflow"),
        Declared("clip", "b.pt", "workflow"),
        Declared("vae", "c.pt", "workflow"),
    )
    put(store / "clip/a.pt")
    put(store / "text_encoders/a.pt")
    put(store / "clip/b.pt")
    declarations = Declarations(store, [one, two, three])
    assert declarations.places(one) == [store / "text_encoders/a.pt", store / "clip/a.pt"]
    assert declarations.places(two) == [store / "clip/b.pt"]
    assert declarations.places(three) == []


def test_a_list_of_declarations_is_read():
    digest = "AB" * 32
    entry = {
        "directory": "loras/",
        "name": "x\\a.pt",
        "sha256": digest,
        "size": 5,
        "owner": "workflow",
        "label": "portrait.json",
        "url": "u",
    }
    assert parse_declared([entry, {"directory": "vae", "name": "b.pt", "sha256": None, "size": None}]) == [
        Declared("loras", "x/a.pt", "workflow", "portrait.json", digest.lower(), 5),
        Declared("vae", "b.pt", "static"),
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param("vae/a.pt", "it is no object but str", id="no object"),
        pytest.param({"name": "/etc/passwd"}, "(vae//etc/passwd): a name is relative", id="absolute"),
        pytest.param({"directory": "../x"}, "(../x/a.pt): a name leads straight down", id="upwards"),
        pytest.param({"directory": "custom_nodes"}, "it is not a folder for models", id="no folder for models"),
        pytest.param({"directory": None}, "(None/a.pt): a name is a text", id="nothing"),
        pytest.param({"name": "a\x1b[2J.pt"}, "(vae/a\ufffd[2J.pt): a name has no control", id="what breaks a terminal"),
        pytest.param({"owner": "me"}, "its owner is workflow, catalogue, static or keep, not 'me'", id="owner"),
        pytest.param({"owner": ["static"]}, "its owner is workflow", id="several owners"),
        pytest.param({"sha256": "abc"}, "its sha256 is not 64 hexadecimal digits", id="digest"),
        pytest.param({"size": True}, "its size is not a number of bytes", id="size of another type"),
        pytest.param({"size": 0}, "its size is not a number of bytes", id="no size"),
    ],
)
def test_every_wrong_declaration_is_named_in_one_message(change, words):
    good = {"directory": "vae", "name": "a.pt"}
    wrong = change if isinstance(change, str) else {**good, **change}
    with pytest.raises(StoreError) as error:
        parse_declared([good, wrong, good, 5])
    _heading, second, fourth = str(error.value).splitlines()
    assert second.startswith("entry 2") and words in second and fourth == "entry 4: it is no object but int"


# --- use ----------------------------------------------------------------------------------------------------------


@pytest.fixture(name="process")
def fixture_process():
    """Start a process that says when it is ready, and lives until the test ends."""
    started = []

    def start(*command):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        process.stdin.write(b"ready\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.communicate()


def test_files_that_a_process_has_open_are_seen(store, process):
    path, other = put(store / "vae/a.pt"), put(store / "vae/b.pt")
    with path.open("rb") as file:
        ours = {one.relative for one in walk(store).files if one.inode in open_inodes().inodes}
        process("bash", "-c", 'exec 7<"$0"; exec cat', str(other))
        theirs = {one.relative for one in walk(store).files if one.inode in open_inodes().inodes}
        file.read()
    assert ours == {"vae/a.pt"} and theirs == {"vae/a.pt", "vae/b.pt"}


def test_files_that_a_process_has_only_mapped_are_seen(store, process):
    # A running program is a file that is mapped and not open.
    path = put(store / "LLM/cat", Path(shutil.which("cat")).read_bytes())
    path.chmod(0o755)
    [file] = walk(store).files
    assert file.inode not in open_inodes().inodes
    process(str(path))
    assert file.inode in open_inodes().inodes


BREAKS = ["\x0b", "\x0c", "\r", "\x1c", "\x85", "\u2028"]


@pytest.mark.parametrize("character", [*BREAKS, "\n"])
def test_a_mapped_file_whose_name_breaks_lines_is_seen_and_hides_no_other(store, character):
    path = put(store / f"vae/x{character}1-2 r 0 99:99 y.pt")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    with mapped:
        [file] = walk(store).files
        assert file.inode in open_inodes().inodes


@pytest.mark.parametrize("character", BREAKS)
def test_a_name_cannot_tell_of_another_mapped_file(tmp_path, character):
    (tmp_path / "maps").write_bytes(f"7f-8f r 0 8:1 77 /a{character}7f-8f r 0 8:1 78 /b\n".encode())
    assert list(_mapped(tmp_path, {})) == [(os.makedev(8, 1), 77)]


def test_a_line_of_a_map_that_makes_no_sense_is_skipped(tmp_path):
    lines = ["", "7f-8f", "7f-8f r 0 zz:1 5 /a", "7f-8f r 0 8 5 /a", "7f-8f r 0 8:1 five /a", "x r 0 8:1 5 /a", "7f-8f r 0 8:1 77 /a"]
    (tmp_path / "maps").write_text("\n".join(lines))
    assert list(_mapped(tmp_path, {})) == [(os.makedev(8, 1), 77)]


def test_who_may_not_look_at_every_process_says_so(somebody):
    with somebody():
        assert not open_inodes().complete


@pytest.mark.parametrize(
    ("accessed", "written", "atime", "expected"),
    [
        pytest.param(3000, 1000, True, 3000, id="read last"),
        pytest.param(3000, 1000, False, 1000, id="times of reading are not kept"),
        pytest.param(1000, 2000, True, 2000, id="written last"),
    ],
)
def test_the_last_use_is_the_latest_sign_of_it(store, accessed, written, atime, expected):
    os.utime(put(store / "vae/a.pt"), (accessed, written))
    [file] = walk(store).files
    assert last_use(file, atime) == expected


def test_whether_times_of_use_are_kept_is_what_the_mount_says(store):
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    fields = {line.split()[4]: line.split()[5].split(",") for line in mounts}
    for place in [Path("/proc"), Path("/")]:
        assert keeps_times_of_use(place) is ("noatime" not in fields[str(place)])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("0001-01-01T00:00:00+14:00", id="before the calendar"),
        pytest.param("9999-12-31T23:59:59-14:00", id="after the calendar"),
        pytest.param("0001-01-01", id="before the calendar here"),
        pytest.param("1969-12-31T23:59:59+00:00", id="before there were files"),
        pytest.param("never", id="no time"),
        pytest.param(20260101, id="a number"),
        pytest.param(None, id="nothing"),
        pytest.param({"when": []}, id="an object"),
    ],
)
def test_what_is_no_time_is_unknown(text):
    assert parse_time(text) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "1970-01-01T00:00:00+00:00"), (2**41, "9999-12-31T23:59:59+00:00"), (-(2**41), "1970-01-01T00:00:00+00:00")]
)
def test_a_time_out_of_the_calendar_is_told_as_its_nearest(seconds, words):
    assert time_words(seconds) == words


def test_a_time_out_of_the_calendar_is_no_sign_of_use(odd_times):
    os.utime(put(odd_times / "vae/a.pt"), (1000, 2**41))
    os.utime(put(odd_times / "vae/b.pt"), (2**41, 2**41))
    [known, unknown] = walk(odd_times).files
    assert known.stat.st_mtime == 2**41 and last_use(known) == 1000
    assert last_use(unknown) == unknown.stat.st_ctime
