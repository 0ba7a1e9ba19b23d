# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import os

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._file import (
    FileDownload,
    is_file_address,
    parse_path,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, PassingError

CONTENT = os.urandom(3_000_001)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(name="share")
def fixture_share(tmp_path):
    """A mounted share with one model; what lies beside it is nobody's business."""
    share = tmp_path / "my share"
    (share / "loras").mkdir(parents=True)
    (share / "loras/a#1.safetensors").write_bytes(CONTENT)
    (tmp_path / "secret").write_text("s3cret-value")
    return share


@pytest.fixture(name="model")
def fixture_model(share):
    return share / "loras/a#1.safetensors"


@pytest.fixture(name="download")
def fixture_download(share, model):
    return FileDownload(model.as_uri(), [share.as_uri()])


def read(download, start=0):
    content, buffer = bytearray(), memoryview(bytearray(1 << 20))
    with download.stream(start) as stream:
        while count := stream.readinto(buffer):
            content += buffer[:count]
        assert stream.readinto(buffer) == 0
    return bytes(content)


@pytest.mark.parametrize("start", [0, 1, 1_500_000, len(CONTENT) - 1, len(CONTENT)])
def test_the_bytes_come_from_where_one_asks(download, start):
    assert read(download, start) == CONTENT[start:]


def test_a_plain_path_is_an_address_too(share, model):
    download = FileDownload(str(model), [share.as_uri()])
    offer = download.look("a.safetensors")
    assert (offer.size, offer.ranges, offer.address, offer.sha256) == (len(CONTENT), False, model.as_uri(), None)
    assert (download.source, download.transport, download.printable) == ("file", "stream", model.as_uri())
    assert read(download) == CONTENT


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{digest}  a#1.safetensors\n", id="text"),
        pytest.param("{digest} *a#1.safetensors\n", id="binary"),
        pytest.param("{digest}  ./a#1.safetensors\r\n", id="windows"),
        pytest.param("{digest}\n", id="digest alone"),
        pytest.param(f"{'0' * 64}  other.safetensors\n{{upper}}  a#1.safetensors\n", id="among others"),
    ],
)
def test_a_digest_beside_the_file_is_its_published_one(download, model, text):
    model.with_name("a#1.safetensors.sha256").write_text(text.format(digest=SHA256, upper=SHA256.upper()))
    assert download.look("a.safetensors").sha256 == SHA256


@pytest.mark.parametrize("text", ["", f"{'0' * 64}  other.safetensors\n", "0123  a#1.safetensors\n", "\xff\xfe"])
def test_digests_that_do_not_tell_are_an_error_and_not_ignored(download, model, text):
    model.with_name("a#1.safetensors.sha256").write_text(text, encoding="latin-1")
    with pytest.raises(DownloadError, match=r"a#1\.safetensors\.sha256 has no sha256 of a#1\.safetensors"):
        download.look("a.safetensors")


@pytest.mark.parametrize(
    "url, message",
    [
        pytest.param("file:///share/../etc/shadow", "leads straight down", id="up"),
        pytest.param("file:///share/%2e%2e/etc/shadow", "leads straight down", id="up in disguise"),
        pytest.param("/share//a", "leads straight down", id="empty part"),
        pytest.param("/share/./a", "leads straight down", id="dot"),
        pytest.param("file:///share/a%00b", "control", id="nul"),
        pytest.param("/share/a\nb", "control", id="line break"),
        pytest.param("file:///share/%ff", "malformed", id="no utf-8"),
        pytest.param("file://server/share/a", "file:///folder/name", id="server"),
        pytest.param("file:///share/a?b", "file:///folder/name", id="query"),
        pytest.param("file:///share/a#b", "file:///folder/name", id="fragment"),
        pytest.param("file:share/a", "straight down|file:///", id="relative"),
        pytest.param("https://example.com/a", "file:///folder/name", id="another scheme"),
    ],
)
def test_what_is_no_plain_path_is_refused(url, message):
    with pytest.raises(DownloadError, match=message):
        parse_path(url)
    with pytest.raises(DownloadError):
        FileDownload(url, ["file:///"])


@pytest.mark.parametrize(
    "entries, allowed",
    [
        pytest.param(["{share}"], True, id="folder"),
        pytest.param(["https://example.com", "{share}/"], True, id="slash at the end"),
        pytest.param(["{share}/loras"], True, id="folder below"),
        pytest.param(["file:///"], True, id="everything"),
        pytest.param(["{share}/lora"], False, id="beginning of a name"),
        pytest.param(["{share}/checkpoints"], False, id="another folder"),
        pytest.param(["default", "example.com"], False, id="hosts"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_only_what_lies_below_a_folder_of_the_list_is_allowed(share, model, entries, allowed):
    entries = [entry.format(share=share.as_uri()) for entry in entries]
    for url in (model.as_uri(), str(model)):
        if allowed:
            assert FileDownload(url, entries).look("a").size == len(CONTENT)
        else:
            with pytest.raises(DownloadError, match="in no folder that allowed_hosts names"):
                FileDownload(url, entries)


def test_a_link_is_followed_inside_of_the_folder_and_refused_where_it_leads_out(tmp_path, share, model):
    (share / "inside.safetensors").symlink_to(model)
    (share / "outside.safetensors").symlink_to(tmp_path / "secret")
    (share / "loop").symlink_to(share / "loop")
    assert read(FileDownload(f"{share}/inside.safetensors", [share.as_uri()])) == CONTENT
    with pytest.raises(DownloadError, match="in no folder that allowed_hosts names"):
        FileDownload(f"{share}/outside.safetensors", [share.as_uri()])
    with pytest.raises(DownloadError):
        FileDownload(f"{share}/loop", [share.as_uri()]).look("loop")
    # Another entry may be a link itself: what counts is where it leads.
    (tmp_path / "mount").symlink_to(share)
    assert read(FileDownload(str(model), [(tmp_path / "mount").as_uri()])) == CONTENT


def test_a_link_that_appears_after_the_permission_gains_nothing(tmp_path, download, model):
    model.unlink()
    model.symlink_to(tmp_path / "secret")
    for action in (lambda: download.look("a"), lambda: read(download)):
        with pytest.raises(DownloadError, match="in no folder"):
            action()


def test_a_folder_that_becomes_a_link_between_the_look_and_the_opening_gains_nothing(tmp_path, download, share, model, monkeypatch):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / model.name).write_text("s3cret-value")
    opened = os.open

    def open_late(path, flags):
        if not (share / "loras").is_symlink():
            (share / "loras").rename(share / "before")
            (share / "loras").symlink_to(tmp_path / "outside")
        handles.append(opened(path, flags))
        return handles[-1]

    handles = []
    monkeypatch.setattr(os, "open", open_late)
    with pytest.raises(DownloadError, match="in no folder"), download.stream(0):
        pass
    [handle] = handles
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_what_is_no_file_is_told_at_once(share, model):
    os.mkfifo(share / "pipe")
    messages = {"pipe": "is not a file", "loras": "is not a file", "none": r"there is no file .* \(is the share mounted\?\)"}
    for name, message in messages.items():
        with pytest.raises(DownloadError, match=message):
            FileDownload(f"{share}/{name}", [share.as_uri()]).look("a")


def test_a_file_that_was_replaced_after_the_look_is_not_mixed_with_it(download, model):
    before = download.look("a").etag
    model.with_name("new").write_bytes(CONTENT[::-1])
    model.with_name("new").replace(model)
    with pytest.raises(PassingError, match="another file now"):
        read(download, 100)
    assert download.look("a").etag != before
    assert read(download, 100) == CONTENT[::-1][100:]


@pytest.mark.parametrize("change", [pytest.param(b"more", id="longer"), pytest.param(None, id="shorter")])
def test_a_file_that_is_written_to_while_it_is_read_is_noticed(download, model, change):
    download.look("a")
    buffer = memoryview(bytearray(1000))
    with pytest.raises(PassingError, match="written to while|cut short while"), download.stream(0) as stream:
        stream.readinto(buffer)
        if change is None:
            os.truncate(model, 2000)
        else:
            with model.open("ab") as file:
                file.write(change)
        while stream.readinto(buffer):
            pass


@pytest.mark.parametrize(
    "url, expected",
    [("/a", True), ("file:///a", True), ("FILE:///a", True), ("a", False), ("https://a/b", False), ("ssh://a/b", False)],
)
def test_addresses_of_files_are_told_from_others(url, expected):
    assert is_file_address(url) is expected
