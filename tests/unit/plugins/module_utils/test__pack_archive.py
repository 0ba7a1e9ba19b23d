# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _pack_archive
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_archive import (
    Archive,
    ArchiveError,
    RegistryAccess,
    fetch_archive,
    resolve_archive,
    unpack_archive,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.comfy_registry import Registry, zip_of

PACK = {"__init__.py": "NODE_CLASS_MAPPINGS = {}\n", "pyproject.toml": '[project]\nname = "good-pack"\n', "web/js/good.js": "//\n"}
SOMEBODY = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture(name="registry")
def fixture_registry():
    with Registry() as registry:
        registry.publish("good-pack", "1.0.0", {**PACK, "old.py": ""})
        registry.publish("good-pack", "1.2.0", PACK)
        yield registry


@pytest.fixture(name="access")
def fixture_access(registry):
    return RegistryAccess(registry.url, [registry.storage_url], timeout=10, patient=False)


@pytest.fixture(name="cache")
def fixture_cache(tmp_path):
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture(name="nodes")
def fixture_nodes(tmp_path):
    (tmp_path / "custom_nodes").mkdir()
    return tmp_path / "custom_nodes"


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cached(cache, content):
    """As if it had been fetched."""
    digest = hashlib.sha256(content).hexdigest()
    (cache / "archives").mkdir(exist_ok=True)
    (cache / "archives" / f"{digest}.zip").write_bytes(content)
    return Archive("good-pack", "1.2.0", digest)


def member(name, mode=0, **values):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    for key, value in values.items():
        setattr(info, key, value)
    return info


def zip_with(*members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for info in members:
            archive.writestr(info, b"" if info.is_dir() else b"content")
    return content.getvalue()


# --- which version -----------------------------------------------------------------------------------------------


def test_a_version_is_resolved_without_counting_as_an_installation(registry, access):
    url = f"{registry.storage_url}/good-pack/{{}}/node.zip"
    assert resolve_archive("good-pack", None, access) == ("1.2.0", url.format("1.2.0"), [])
    assert resolve_archive("Good-Pack", "1.0.0", access) == ("1.0.0", url.format("1.0.0"), [])
    assert registry.installations == 0
    assert not any(path.endswith("node.zip") for path in registry.requests)


@pytest.mark.parametrize(
    "status, warning",
    [
        ("Flagged", "the registry calls version 2.0.0 flagged"),
        ("Pending", "the registry calls version 2.0.0 pending"),
        ("Invented", "the registry calls version 2.0.0 unknown"),
    ],
)
def test_a_doubtful_version_is_a_warning_which_another_version_does_not_get(registry, access, status, warning):
    registry.publish("good-pack", "2.0.0", PACK, status)
    assert resolve_archive("good-pack", None, access)[2] == [warning]
    assert resolve_archive("good-pack", "2.0.0", access)[2] == [warning]
    assert resolve_archive("good-pack", "1.0.0", access)[2] == []


@pytest.mark.parametrize("status", ["Banned", "Deleted"])
def test_a_version_that_the_registry_refuses_is_refused(registry, access, cache, status):
    registry.publish("good-pack", "2.0.0", PACK, status)
    word = status.lower()
    for ask in (lambda: resolve_archive("good-pack", "2.0.0", access), lambda: fetch_archive("good-pack", "2.0.0", cache, access)):
        with pytest.raises(ArchiveError, match=f"^the registry has {word} version 2.0.0$"):
            ask()
    with pytest.raises(ArchiveError, match=f"no version of it that can be had; .*the registry has {word} version 2.0.0"):
        resolve_archive("good-pack", None, access)
    assert not any(path.endswith("node.zip") for path in registry.requests)


def test_no_version_of_a_banned_pack_is_had(registry, access):
    registry.nodes["good-pack"]["status"] = "NodeStatusBanned"
    with pytest.raises(ArchiveError, match="^the registry has banned this pack$"):
        resolve_archive("good-pack", "1.0.0", access)


@pytest.mark.parametrize(
    "cnr_id, version, message",
    [
        ("no-pack", None, "the registry knows no such pack"),
        ("good-pack", "9.9.9", "the registry has no version 9.9.9"),
        ("../nodes", None, "no pack of the registry has such an id"),
        ("good-pack", "../../x", "no version has the name '../../x'"),
        ("good-pack", "1.0.0?x=1", "no version has the name '1.0.0[?]x=1'"),
    ],
)
def test_what_is_not_there_or_cannot_be_is_said(access, cache, cnr_id, version, message):
    with pytest.raises(ArchiveError, match=f"^{message}$"):
        resolve_archive(cnr_id, version, access)
    if version:
        with pytest.raises(ArchiveError, match=f"^{message}$"):
            fetch_archive(cnr_id, version, cache, access)


@pytest.mark.parametrize("change", [{"version": "1.2.1"}, {"node_id": "another-pack"}])
def test_an_answer_about_something_else_is_not_taken(registry, access, change):
    registry.versions["good-pack", "1.0.0"].update(change)
    with pytest.raises(ArchiveError, match="asked for version 1.0.0 and answers with another one"):
        resolve_archive("good-pack", "1.0.0", access)


@pytest.mark.parametrize(
    "url, why",
    [
        ("http://cdn.example.com/x.zip", "not https"),
        ("https://10.0.0.7/x.zip", "private network"),
        ("https://user:secret@cdn.example.com/x.zip", "without a user name"),
        ("https://cdn.example.com:8443/x.zip", "port of its own"),
        ("file:///etc/passwd", "https://host/path"),
        ("https://[x", "refused"),
        ("", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_an_archive_at_an_odd_address_is_not_fetched(registry, access, url, why):
    registry.versions["good-pack", "1.0.0"]["downloadUrl"] = url
    with pytest.raises(ArchiveError, match=f"archive of version 1.0.0.*{why}"):
        resolve_archive("good-pack", "1.0.0", access)


def test_any_public_host_is_good_enough_for_an_archive(registry, access):
    registry.versions["good-pack", "1.0.0"]["downloadUrl"] = "https://cdn.example.com/x/node.zip"
    assert resolve_archive("good-pack", "1.0.0", access)[1] == "https://cdn.example.com/x/node.zip"


def test_an_unencrypted_storage_has_to_be_named(registry):
    with pytest.raises(ArchiveError, match="address that is refused: the host is an IP address"):
        resolve_archive("good-pack", None, RegistryAccess(registry.url, patient=False))


# --- its bytes ---------------------------------------------------------------------------------------------------


def test_an_archive_is_fetched_once_and_unpacked_as_it_is(registry, access, cache, nodes):
    archive = fetch_archive("good-pack", "1.2.0", cache, access)
    assert archive == Archive("good-pack", "1.2.0", hashlib.sha256(zip_of(PACK)).hexdigest())
    asked = len(registry.requests)
    assert fetch_archive("good-pack", "1.2.0", cache, access, sha256=archive.sha256) == archive
    assert len(registry.requests) == asked
    unpack_archive(archive, cache, nodes / "good-pack")
    tracking = b"__init__.py\npyproject.toml\nweb/js/good.js\n"
    files = files_of(nodes)
    mark = json.loads(files.pop("good-pack/.emprops-archive"))
    assert mark == {"cnr_id": "good-pack", "version": "1.2.0", "sha256": archive.sha256}
    assert files == {f"good-pack/{name}": text.encode() for name, text in PACK.items()} | {"good-pack/.tracking": tracking}
    assert registry.installations == 0


def test_other_bytes_under_a_locked_version_are_refused_and_not_kept(registry, access, cache):
    archive = fetch_archive("good-pack", "1.2.0", cache, access)
    (cache / "archives" / f"{archive.sha256}.zip").unlink()
    registry.faults["good-pack@1.2.0"] = "other"
    with pytest.raises(
        ArchiveError, match=rf"^version 1.2.0 was sha256 {archive.sha256[:12]}… when it was locked and is [0-9a-f]{{12}}… now;"
    ):
        fetch_archive("good-pack", "1.2.0", cache, access, sha256=archive.sha256)
    assert list((cache / "archives").iterdir()) == []


@pytest.mark.parametrize("spoil", ["bytes", "link", "folder link", "pipe"])
def test_a_cached_archive_that_is_not_what_it_was_is_fetched_anew(registry, access, cache, tmp_path, nodes, spoil):
    archive = fetch_archive("good-pack", "1.2.0", cache, access)
    path = cache / "archives" / f"{archive.sha256}.zip"
    elsewhere = tmp_path / "elsewhere"
    if spoil == "bytes":
        path.write_bytes(b"something else")
    elif spoil == "link":
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
    elif spoil == "pipe":
        path.unlink()
        os.mkfifo(path)
    else:
        path.unlink()
        path.symlink_to(tmp_path)
    with pytest.raises(ArchiveError, match="is not in the cache"):
        unpack_archive(archive, cache, nodes / "good-pack")
    assert fetch_archive("good-pack", "1.2.0", cache, access, sha256=archive.sha256) == archive
    assert path.read_bytes() == zip_of(PACK) and not path.is_symlink()


@pytest.mark.parametrize(
    "fault, message",
    [
        ("404", "there is no such file: 404"),
        ("503", "127.0.0.1 answered 503"),
        ("truncate", "ended its answer .* bytes too soon"),
        ("half", "no whole zip file"),
        ("html", "sent a web page instead of an archive"),
        ("gzip", "compressed once more"),
        ("elsewhere", "redirects to .* which is refused: it is not https"),
        ("loop", "more than 5 redirects"),
    ],
)
def test_what_goes_wrong_on_the_way_is_said_and_nothing_is_kept(registry, access, cache, fault, message):
    registry.faults["good-pack@1.2.0"] = fault
    with pytest.raises(ArchiveError, match=message):
        fetch_archive("good-pack", "1.2.0", cache, access)
    assert list((cache / "archives").iterdir()) == []


def test_a_storage_that_drips_is_given_up(registry, access, cache):
    registry.faults["good-pack@1.2.0"] = "slow"
    hasty = RegistryAccess(registry.url, access.allowed_hosts, archive_timeout=1)
    with pytest.raises(ArchiveError, match="127.0.0.1 did not send the archive within 1 seconds"):
        fetch_archive("good-pack", "1.2.0", cache, hasty)


def test_a_passing_failure_is_tried_again_from_the_beginning(registry, access, cache):
    registry.faults["good-pack@1.2.0"] = ["truncate"]
    patient = RegistryAccess(registry.url, access.allowed_hosts)
    archive = fetch_archive("good-pack", "1.2.0", cache, patient)
    assert (cache / "archives" / f"{archive.sha256}.zip").read_bytes() == zip_of(PACK)


def test_a_redirect_to_another_host_that_was_named_is_followed(registry, access, cache):
    registry.faults["good-pack@1.2.0"] = "elsewhere"
    named = RegistryAccess(registry.url, [registry.storage_url, registry.elsewhere_url], patient=False)
    assert fetch_archive("good-pack", "1.2.0", cache, named).sha256 == hashlib.sha256(zip_of(PACK)).hexdigest()


@pytest.mark.parametrize("fault", ["", "chunked"])
def test_an_archive_has_a_largest_size_whether_it_says_so_or_not(registry, access, cache, monkeypatch, fault):
    monkeypatch.setattr(_pack_archive, "LARGEST_ARCHIVE", len(zip_of(PACK)))
    registry.faults["good-pack@1.2.0"] = fault
    fetch_archive("good-pack", "1.2.0", cache, access)
    monkeypatch.setattr(_pack_archive, "LARGEST_ARCHIVE", len(zip_of(PACK)) - 1)
    with pytest.raises(ArchiveError, match="the archive at 127.0.0.1 is larger than"):
        fetch_archive("good-pack", "1.2.0", cache, access)


def test_packs_are_fetched_and_unpacked_side_by_side(registry, access, cache, nodes):
    names = [f"pack-{number}" for number in range(8)]
    for name in names:
        registry.publish(name, "1.0", {"__init__.py": f"# {name}\n"})

    def bring(name):
        unpack_archive(fetch_archive(name, "1.0", cache, access), cache, nodes / name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(bring, names))
    assert {name: (nodes / name / "__init__.py").read_text() for name in names} == {name: f"# {name}\n" for name in names}


@pytest.mark.parametrize("bad", ["x", "A" * 64, "../" + "a" * 61])
def test_only_a_digest_is_looked_for_in_the_cache(access, cache, bad):
    with pytest.raises(ArchiveError, match="which is no sha256"):
        fetch_archive("good-pack", "1.2.0", cache, access, sha256=bad)


# --- its files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members, why",
    [
        pytest.param([member("/etc/cron.d/x")], "is an absolute path", id="absolute"),
        pytest.param([member("C:/x.py")], "is an absolute path", id="drive"),
        pytest.param([member("../x.py")], "does not lead straight down", id="up"),
        pytest.param([member("a/../../x.py")], "does not lead straight down", id="up inside"),
        pytest.param([member("a//x.py")], "does not lead straight down", id="empty part"),
        pytest.param([member("/")], "is an absolute path", id="root"),
        pytest.param([member("./x.py")], "does not lead straight down", id="dot"),
        pytest.param([member("a\\..\\x.py")], "backslash", id="backslash"),
        pytest.param([member("a\nb.py")], "control character", id="line break"),
        pytest.param([member("x.py", stat.S_IFLNK | 0o777)], "is a link or a device", id="link"),
        pytest.param([member("x.py", stat.S_IFLNK | 0o777, create_system=0)], "is a link or a device", id="link of DOS"),
        pytest.param([member("x.py", stat.S_IFCHR | 0o666)], "is a link or a device", id="device"),
        pytest.param([member("x.py", stat.S_IFIFO | 0o666)], "is a link or a device", id="pipe"),
        pytest.param([member("x" * 256)], "has too long a name", id="long part"),
        pytest.param([member("/".join(["folder"] * 200))], "has too long a name", id="long"),
        pytest.param([member(".git/config")], "would make a repository of it", id="repository"),
        pytest.param([member("sub/.GIT/hooks/post-checkout")], "would make a repository of it", id="repository below"),
        pytest.param([member("x.py", compress_type=zipfile.ZIP_BZIP2)], "compressed in an unusual way", id="bzip2"),
        pytest.param([member("a/x.py"), member("a/x.py")], "is in it twice", id="twice"),
        pytest.param([member("a"), member("a/x.py")], "is in it twice|is a file and a folder", id="file and folder"),
        pytest.param([member("a/x.py"), member("a")], "is in it twice|is a file and a folder", id="folder and file"),
        pytest.param([member("a/"), member("b/")], "holds no file", id="folders alone"),
        pytest.param([], "holds no file", id="nothing"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_would_harm_is_refused_before_anything_is_written(registry, access, cache, nodes, members, why):
    content = zip_with(*members, *([member("good.py")] if "holds no file" not in why else []))
    with pytest.raises(ArchiveError, match=why):
        unpack_archive(cached(cache, content), cache, nodes / "bad")
    assert list(nodes.iterdir()) == []
    registry.publish("bad", "1.0", content)
    with pytest.raises(ArchiveError, match=why):
        fetch_archive("bad", "1.0", cache, access)


def test_a_name_that_ends_at_a_nul_is_refused(cache, nodes):
    content = zip_with(member("good.py#../../x")).replace(b"good.py#../../x", b"good.py\0../../x")
    with pytest.raises(ArchiveError, match="control character"):
        unpack_archive(cached(cache, content), cache, nodes / "bad")


def test_a_second_name_in_the_extra_fields_leads_nowhere(cache, nodes):
    hidden = b"\1" + struct.pack("<I", zlib.crc32(b"good.py")) + b"../../evil.py"
    archive = cached(cache, zip_with(member("good.py", extra=struct.pack("<HH", 0x7075, len(hidden)) + hidden)))
    with suppress(ArchiveError):  # older versions of Python do not know of it
        unpack_archive(archive, cache, nodes / "pack")
        assert sorted(files_of(nodes)) == ["pack/.emprops-archive", "pack/.tracking", "pack/good.py"]
    assert not list(nodes.parent.rglob("evil.py"))


def test_an_encrypted_member_is_refused(cache, nodes):
    content = bytearray(zip_with(member("x.py")))
    for place in (6, content.index(b"PK\1\2") + 8):
        content[place] |= 1
    with pytest.raises(ArchiveError, match="'x.py' is encrypted"):
        unpack_archive(cached(cache, bytes(content)), cache, nodes / "bad")


def test_bombs_are_refused_by_what_they_say(cache, nodes, monkeypatch):
    content = zip_of({"zeros.bin": bytes(3 * 1024**2), "x.py": ""})
    unpack_archive(cached(cache, content), cache, nodes / "harmless")
    monkeypatch.setattr(_pack_archive, "HARMLESS", 1024**2)
    with pytest.raises(ArchiveError, match="more than 200 times its size"):
        unpack_archive(cached(cache, content), cache, nodes / "bad")
    monkeypatch.setattr(_pack_archive, "LARGEST_PACK", 2 * 1024**2)
    with pytest.raises(ArchiveError, match="would unpack to more than"):
        unpack_archive(cached(cache, content), cache, nodes / "bad")
    monkeypatch.setattr(_pack_archive, "MOST_MEMBERS", 1)
    with pytest.raises(ArchiveError, match="more than 1 members"):
        unpack_archive(cached(cache, content), cache, nodes / "bad")


def test_a_member_that_says_less_than_it_is_ends_where_it_said(cache, nodes):
    content = bytearray(zip_of({"zeros.bin": bytes(1024**2)}))
    for place in (22, content.index(b"PK\1\2") + 24):
        content[place : place + 4] = struct.pack("<I", 10)
    with pytest.raises(ArchiveError, match="'zeros.bin' in the archive is damaged"):
        unpack_archive(cached(cache, bytes(content)), cache, nodes / "bad")
    assert list(nodes.iterdir()) == []


def test_a_flipped_bit_in_a_file_is_found_and_nothing_appears(cache, nodes):
    content = zip_with(member("first.py"), member("second.py"))
    place = content.rindex(b"content")
    with pytest.raises(ArchiveError, match="'second.py' in the archive is damaged: Bad CRC-32"):
        unpack_archive(cached(cache, content[:place] + b"C" + content[place + 1 :]), cache, nodes / "bad")
    assert list(nodes.iterdir()) == []


def test_of_the_permissions_only_the_right_to_run_is_taken(cache, nodes):
    content = zip_with(
        member("run.sh", stat.S_IFREG | 0o6777), member("secret.txt", stat.S_IFREG | 0o600), member("plain.py"), member("a/", 0o40000)
    )
    before = os.umask(0o077)
    try:
        unpack_archive(cached(cache, content), cache, nodes / "pack")
    finally:
        os.umask(before)
    modes = {path.relative_to(nodes).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in nodes.rglob("*")}
    assert modes == {
        "pack": 0o755,
        "pack/a": 0o755,
        "pack/run.sh": 0o755,
        "pack/secret.txt": 0o644,
        "pack/plain.py": 0o644,
        "pack/.emprops-archive": 0o644,
        "pack/.tracking": 0o644,
    }


def test_names_that_differ_in_case_alone_are_two_files_and_a_given_list_is_not_taken(cache, nodes):
    lies = {".tracking": "a lie\n", ".emprops-archive": "a lie\n"}
    archive = cached(cache, zip_of({"A.py": "1", "a.py": "2", **lies, "sub/.tracking": "kept\n"}))
    unpack_archive(archive, cache, nodes / "pack")
    assert "a lie" not in (nodes / "pack/.emprops-archive").read_text()
    assert (nodes / "pack/.tracking").read_text() == "A.py\na.py\nsub/.tracking\n"
    assert (nodes / "pack/sub/.tracking").read_text() == "kept\n"


def test_one_folder_around_everything_is_kept(cache, nodes):
    unpack_archive(cached(cache, zip_of({"pack-main/__init__.py": ""})), cache, nodes / "pack")
    assert (nodes / "pack/pack-main/__init__.py").exists()


@pytest.mark.parametrize("there", ["folder", "file", "dead link"])
def test_what_is_there_already_stays_as_it_is(cache, nodes, there):
    target = nodes / "pack"
    if there == "folder":
        target.mkdir()
    elif there == "file":
        target.write_text("mine")
    else:
        target.symlink_to("nowhere")
    with pytest.raises(ArchiveError, match="is there already"):
        unpack_archive(cached(cache, zip_of(PACK)), cache, target)
    assert [one.name for one in nodes.iterdir()] == ["pack"]


@pytest.mark.parametrize("left", ["folder", "link", "file"])
def test_what_a_killed_run_left_is_replaced_and_a_link_is_not_followed(cache, nodes, tmp_path, left):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("kept")
    partial = nodes / ".pack.partial"
    if left == "folder":
        partial.mkdir()
        (partial / "half.py").write_text("")
        (partial / "out").symlink_to(elsewhere)
    elif left == "link":
        partial.symlink_to(elsewhere)
    else:
        partial.write_text("")
    unpack_archive(cached(cache, zip_of(PACK)), cache, nodes / "pack")
    assert files_of(elsewhere) == {"precious": b"kept"}
    names = sorted(path.name for path in (nodes / "pack").iterdir())
    assert names == [".emprops-archive", ".tracking", "__init__.py", "pyproject.toml", "web"]
    assert [one.name for one in nodes.iterdir()] == ["pack"]


def test_links_in_place_of_our_folders_are_not_followed(registry, access, cache, nodes, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    archive = cached(cache, zip_of(PACK))
    nodes.rmdir()
    nodes.symlink_to(elsewhere)
    with pytest.raises(OSError, match="custom_nodes"):
        unpack_archive(archive, cache, nodes / "pack")
    shutil.rmtree(cache / "archives")
    (cache / "archives").symlink_to(elsewhere)
    with pytest.raises(OSError, match="archives"):
        fetch_archive("good-pack", "1.2.0", cache, access)
    assert list(elsewhere.iterdir()) == []


@as_root
def test_everything_belongs_to_whoever_owns_the_folder_around_it(registry, access, cache, nodes):
    os.chown(cache, SOMEBODY, SOMEBODY)
    os.chown(nodes, SOMEBODY, SOMEBODY)
    unpack_archive(fetch_archive("good-pack", "1.2.0", cache, access), cache, nodes / "pack")
    paths = [*cache.rglob("*"), *nodes.rglob("*")]
    assert len(paths) == 10
    assert {(path.stat().st_uid, path.stat().st_gid) for path in paths} == {(SOMEBODY, SOMEBODY)}


WHOLE = zip_of({**PACK, "blob.bin": bytes(range(256)) * 8})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=4),
    cut=st.just(len(WHOLE)) | st.integers(0, len(WHOLE)),
)
def test_no_bytes_do_more_than_fail(cache, nodes, changes, cut):
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    target = nodes / "pack"
    try:
        unpack_archive(cached(cache, bytes(content[:cut])), cache, target)
    except ArchiveError:
        assert list(nodes.iterdir()) == []
    else:
        assert [one.name for one in nodes.iterdir()] == ["pack"]
        assert not any(path.is_symlink() for path in target.rglob("*"))
        shutil.rmtree(target)
