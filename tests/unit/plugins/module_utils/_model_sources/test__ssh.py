# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Against a real sshd on the loopback, once with a shell behind the key and once with serve_models.py."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources import _ssh
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._ssh import (
    SshDownload,
    SshOptions,
    is_allowed,
    is_ssh_address,
    parse_address,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, PassingError
from support import sshd

SERVER = Path(__file__).parents[5] / "roles/models/files/serve_models.py"
# Larger than what fits into all the pipes and windows on the way.
CONTENT = os.urandom(9_000_001)
# A shell, or an option, would make something else of it.
NAME = "-a b'$(touch x);\"é#%41.safetensors"
needs_sshd = pytest.mark.skipif(sshd.PROGRAM is None, reason="there is no sshd here; its package is openssh-server")


@pytest.fixture(name="server", scope="module")
def fixture_server():
    with sshd.Sshd() as server:
        yield server


@pytest.fixture(name="store")
def fixture_store(tmp_path):
    store = tmp_path / "store"
    (store / "loras").mkdir(parents=True)
    (store / "loras" / NAME).write_bytes(CONTENT)
    (tmp_path / "secret").write_text("s3cret-value")
    return store


class Peer:
    """The other machine, as the scheme of an address reaches it."""

    def __init__(self, scheme, server, store):
        self.scheme, self.server, self.store = scheme, server, store
        self.origin = f"{scheme}://{server.user}@127.0.0.1:{server.port}"
        self.options = SshOptions(server.key_file, server.known_hosts_file, 10)

    def download(self, path=f"loras/{NAME}", **options):
        path = f"/{path}" if self.scheme == "ssh+store" else f"{self.store}/{path}"
        return SshDownload(self.origin + quote(path), [self.origin], replace(self.options, **options), lambda action: action())


@pytest.fixture(name="peer", params=["ssh", "ssh+store"])
def fixture_peer(request, server, store):
    command = f"{sys.executable} {SERVER} {store}"
    server.allow(f'restrict,command="{command}"' if request.param == "ssh+store" else "")
    return Peer(request.param, server, store)


@pytest.fixture(name="answers")
def fixture_answers(server, store):
    """A peer that runs this instead of what it is asked."""

    def answers(script):
        server.allow(f'command="{script}"')
        return Peer("ssh", server, store)

    return answers


def read(download, start=0):
    content, buffer = bytearray(), memoryview(bytearray(1 << 20))
    with download.stream(start) as stream:
        while count := stream.readinto(buffer):
            content += buffer[:count]
        assert stream.readinto(buffer) == 0
    return bytes(content)


def processes(text):
    """Those of this machine that have a text on their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "cmdline").read_bytes():
                found.append(folder.name)
        except OSError:
            continue
    return found


@needs_sshd
@pytest.mark.parametrize("start", [0, 4_000_000, len(CONTENT)])
def test_the_bytes_come_from_where_one_asks(peer, start):
    download = peer.download()
    offer = download.look("a.safetensors")
    assert (offer.size, offer.sha256, offer.ranges) == (len(CONTENT), None, False)
    assert (offer.address, download.transport, download.source) == (download.printable, "stream", "ssh")
    assert read(download, start) == CONTENT[start:]
    assert not (Path.home() / "x").exists()


@needs_sshd
def test_a_file_that_was_replaced_after_the_look_is_not_mixed_with_it(peer):
    download = peer.download()
    before = download.look("a").etag
    assert download.look("a").etag == before
    (peer.store / "new").write_bytes(CONTENT[::-1])
    (peer.store / "new").replace(peer.store / "loras" / NAME)
    with pytest.raises(PassingError, match="another file now"):
        read(download, 100)
    assert download.look("a").etag != before


@needs_sshd
def test_a_file_that_is_written_to_while_it_is_read_is_noticed(peer):
    buffer = memoryview(bytearray(1000))
    with pytest.raises(PassingError, match="written to while|cut short while"), peer.download().stream(0) as stream:
        stream.readinto(buffer)
        with (peer.store / "loras" / NAME).open("ab") as file:
            file.write(b"more")
        while stream.readinto(buffer):
            pass


@needs_sshd
def test_who_reads_no_further_leaves_no_process_behind(peer):
    mark = str(peer.server.port)
    with peer.download().stream(0) as stream:
        assert stream.readinto(memoryview(bytearray(10))) == 10
        assert processes(f"Port={mark}")
    assert not processes(f"Port={mark}")


@needs_sshd
@pytest.mark.parametrize(
    "path, message",
    [
        pytest.param("loras/none.gguf", "No such file or directory", id="none"),
        pytest.param("loras", "is not a file", id="folder"),
        pytest.param("pipe", "is not a file", id="pipe"),
    ],
)
def test_what_is_no_file_is_told(peer, path, message):
    os.mkfifo(peer.store / "pipe")
    with pytest.raises(DownloadError, match=message) as caught:
        peer.download(path).look("a")
    assert not isinstance(caught.value, PassingError)


# what ssh says


def refusal(download):
    """Why there is nothing to be had; never worth another try."""
    with pytest.raises(DownloadError) as caught:
        download.look("a")
    assert not isinstance(caught.value, PassingError)
    return str(caught.value)


@needs_sshd
def test_a_host_that_is_not_known_is_not_spoken_to(peer, tmp_path):
    assert f"its host key is not in {tmp_path}/none" in refusal(peer.download(known_hosts_file=tmp_path / "none"))


@needs_sshd
def test_a_host_with_another_key_is_not_spoken_to(peer, tmp_path):
    known = peer.server.known_hosts_file.read_text().split()[0]
    other = (peer.server.make_key(f"other-{peer.scheme}").with_suffix(".pub")).read_text()
    file = tmp_path / "known hosts"
    file.write_text(f"{known} {other}")
    assert f"its host key is not the one that {file} has" in refusal(peer.download(known_hosts_file=file))


@needs_sshd
def test_a_key_that_does_not_open_is_named(peer):
    key = peer.server.make_key(f"stranger-{peer.scheme}")
    assert f"it does not let us in with {key}" in refusal(peer.download(key_file=key))


@needs_sshd
def test_a_key_that_others_may_read_is_named(peer, tmp_path):
    key = tmp_path / "open"
    key.write_bytes(peer.server.key_file.read_bytes())
    key.chmod(0o644)
    assert f"ssh does not take {key}, because others may read it" in refusal(peer.download(key_file=key))


@needs_sshd
def test_a_key_that_is_not_there_is_named(peer, tmp_path):
    assert f"the key {tmp_path}/none for ssh cannot be read" in refusal(peer.download(key_file=tmp_path / "none"))


@needs_sshd
@pytest.mark.parametrize("path", ["relative", '/a"b', "/a%h", "/a${HOME}", "/a\nProxyCommand=x"])
def test_a_path_that_ssh_would_read_as_something_else_is_refused(peer, path):
    assert "ssh cannot be told the path" in refusal(peer.download(known_hosts_file=Path(path)))


def test_a_host_that_does_not_answer_may_do_so_later(tmp_path):
    download = SshDownload("ssh://127.0.0.1:1/a", ["ssh://127.0.0.1:1"], SshOptions(timeout=2), lambda action: action())
    with pytest.raises(PassingError, match=r"ssh to 127\.0\.0\.1:1 broke: .*Connection refused"):
        download.look("a")
    with pytest.raises(PassingError, match="Connection refused"), download.stream(0):
        pass


def test_a_host_that_was_tried_for_one_file_is_not_tried_for_the_next():
    options = SshOptions(timeout=2)
    tries = []

    def patiently(action):
        tries.append(action)
        try:
            return action()
        except PassingError as error:
            raise DownloadError(f"{error} (tried enough)") from error

    for name in ("a", "b"):
        with pytest.raises(DownloadError, match="tried enough"):
            SshDownload(f"ssh://127.0.0.1:1/{name}", ["ssh://127.0.0.1:1"], options, patiently).look(name)
    assert len(tries) == 1
    # Another machine is another matter.
    with pytest.raises(DownloadError):
        SshDownload("ssh://127.0.0.1:2/a", ["ssh://127.0.0.1:2"], options, patiently).look("a")
    assert len(tries) == 2


def test_where_there_is_no_ssh_its_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_ssh, "machine_environment", lambda: {"PATH": str(tmp_path)})
    download = SshDownload("ssh://127.0.0.1:1/a", ["ssh://127.0.0.1:1"], SshOptions(), lambda action: action())
    with pytest.raises(DownloadError, match="openssh-client"):
        download.look("a")


LINE = "echo 81a4 1000 1700000000 7"


@needs_sshd
@pytest.mark.parametrize(
    "script, error, message",
    [
        pytest.param(f"{LINE}; head -c 10 /dev/zero; kill -9 $PPID", PassingError, "broke", id="connection"),
        pytest.param(f"{LINE}; head -c 10 /dev/zero; kill -9 $$", PassingError, "broke", id="program"),
        pytest.param(f"{LINE}; head -c 10 /dev/zero", PassingError, "was cut short", id="too few bytes"),
        pytest.param(f"{LINE}; head -c 1010 /dev/zero", PassingError, "written to while", id="too many bytes"),
        pytest.param(f"{LINE}; head -c 1000 /dev/zero", PassingError, "written to while", id="no last line"),
        pytest.param(f"{LINE}; echo oh no >&2; exit 1", DownloadError, "cannot be read: oh no", id="words"),
        pytest.param("echo Welcome", DownloadError, r"does not answer as agreed \(does a login script", id="a greeting"),
        pytest.param("cat /dev/zero", DownloadError, "does not answer as agreed", id="no line at all"),
        pytest.param("exit 0", DownloadError, "does not answer as agreed", id="silence"),
        pytest.param("head -c 200000 /dev/zero >&2; exit 1", DownloadError, "cannot be read", id="more errors than fit"),
    ],
)
def test_a_peer_that_answers_otherwise_is_an_error(answers, script, error, message):
    with pytest.raises(error, match=message):
        read(answers(script).download(timeout=5))


@needs_sshd
def test_a_peer_that_falls_silent_is_given_up(answers):
    with pytest.raises(PassingError, match=r"sent nothing for 0\.5 seconds"):
        read(answers(f"{LINE}; sleep 30").download(timeout=0.5))


@needs_sshd
def test_a_look_is_as_patient_as_the_client(server, store):
    """The server comes back while the client waits."""
    server.allow('command="exit 255"')
    peer = Peer("ssh", server, store)
    waited = []

    def patiently(action):
        try:
            return action()
        except PassingError as error:
            waited.append(str(error))
            server.allow()
            return action()

    download = SshDownload(f"{peer.origin}{quote(str(store))}/loras/{quote(NAME)}", [peer.origin], peer.options, patiently)
    assert download.look("a").size == len(CONTENT)
    assert len(waited) == 1


# addresses


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("ssh://-oProxyCommand=touch/a", id="an option as host"),
        pytest.param("ssh://-l@host/a", id="an option as user"),
        pytest.param("ssh://user:hunter2@host/a", id="password"),
        pytest.param("ssh://a@b@host/a", id="two users"),
        pytest.param("ssh://host:0/a", id="port 0"),
        pytest.param("ssh://host:65536/a", id="no port"),
        pytest.param("ssh://host:-1/a", id="negative port"),
        pytest.param("ssh://ho st/a", id="blank"),
        pytest.param("ssh://host%20name/a", id="escaped host"),
        pytest.param("ssh://$(touch x)/a", id="shell"),
        pytest.param("ssh://host", id="no path"),
        pytest.param("ssh://host/a/../b", id="up"),
        pytest.param("ssh://host/a/%2e%2e/b", id="up in disguise"),
        pytest.param("ssh://host//a", id="empty part"),
        pytest.param("ssh://host/a%0ab", id="line break"),
        pytest.param("ssh://host/a%00b", id="nul"),
        pytest.param("ssh://host/%ff", id="no utf-8"),
        pytest.param("ssh://host/a?b", id="query"),
        pytest.param("ssh://host/a#b", id="fragment"),
        pytest.param("ssh+store://host/loras/.a.0123.part", id="a file on its way"),
        pytest.param("ssh+store://host/.quarantine/a", id="a hidden folder"),
        pytest.param("sftp://host/a", id="another scheme"),
    ],
)
def test_an_address_is_what_it_seems_or_is_refused(url):
    with pytest.raises(DownloadError) as caught:
        parse_address(url)
    assert "hunter2" not in str(caught.value)
    assert not is_allowed(url, [url, "ssh://host", "ssh+store://host"])


def test_nothing_of_an_address_is_an_option_or_a_second_command():
    address = parse_address(f"ssh://me@host:2200/{quote(NAME)}")
    argv = SshOptions().argv(address, "look")
    assert argv[-3:] == ["--", "host", "look"]
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "Port=2200", "User=me"} <= set(argv)
    assert argv[:3] == ["ssh", "-F", "none"]
    assert str(address) == f"ssh://me@host:2200/{quote(NAME)}"


@pytest.mark.parametrize(
    "url, entries, allowed",
    [
        pytest.param("ssh://me@host/a", ["ssh://me@host"], True, id="same"),
        pytest.param("ssh://me@Host:22/a", ["default", "ssh://me@hOst/"], True, id="spelling"),
        pytest.param("ssh://[FD00::1]/a", ["ssh://[fd00::1]:22"], True, id="IPv6"),
        pytest.param("ssh+store://me@host/a", ["ssh+store://me@host"], True, id="store"),
        pytest.param("ssh://me@host/a", ["ssh+store://me@host"], False, id="a store is not the whole machine"),
        pytest.param("ssh://me@host/a", ["ssh://host"], False, id="user"),
        pytest.param("ssh://me@host/a", ["ssh://you@host"], False, id="another user"),
        pytest.param("ssh://me@host:2200/a", ["ssh://me@host"], False, id="port"),
        pytest.param("ssh://host/a", ["host", "https://host", "file:///"], False, id="other schemes"),
    ],
)
def test_an_entry_of_the_list_means_exactly_itself(url, entries, allowed):
    assert is_allowed(url, entries) is allowed
    if not allowed:
        with pytest.raises(DownloadError, match="is not on the list of allowed hosts"):
            SshDownload(url, entries, SshOptions(), lambda action: action())


@pytest.mark.parametrize(
    "url, expected", [("ssh://a/b", True), ("SSH+store://a/b", True), ("https://a/b", False), ("/ssh:", False), ("git+ssh://a/b", False)]
)
def test_addresses_of_ssh_are_told_from_others(url, expected):
    assert is_ssh_address(url) is expected


# the other end


@pytest.mark.parametrize(
    "command, message",
    [
        pytest.param("", "only reads models", id="a shell"),
        pytest.param("cat /etc/passwd", "only reads models", id="a program"),
        pytest.param("emprops-models look", "only reads models", id="no path"),
        pytest.param("emprops-models look a b", "only reads models", id="two paths"),
        pytest.param("emprops-models look 'a", "only reads models", id="half a quote"),
        pytest.param("emprops-models look loras/x; cat /etc/passwd", "only reads models", id="a second command"),
        pytest.param("emprops-models write 0 loras/x", "only reads models", id="write"),
        pytest.param("emprops-models read -1 loras/x", "only reads models", id="before the beginning"),
        pytest.param("emprops-models read 1e9 loras/x", "only reads models", id="no number"),
        pytest.param("emprops-models read ٣ loras/x", "only reads models", id="digits of another script"),
        pytest.param(f"emprops-models read {'9' * 19} loras/x", "only reads models", id="too large"),
        pytest.param("emprops-models look ../secret", "straight down", id="up"),
        pytest.param("emprops-models look loras/../../secret", "straight down", id="up from below"),
        pytest.param("emprops-models look /etc/passwd", "straight down", id="absolute"),
        pytest.param("emprops-models look ''", "straight down", id="empty"),
        pytest.param("emprops-models look loras/.x.part", "straight down", id="hidden"),
        pytest.param("emprops-models look out", "a link leads out of the store", id="link"),
        pytest.param("emprops-models look beside", "a link leads out of the store", id="link to what begins alike"),
        pytest.param("emprops-models look folder/secret", "a link leads out of the store", id="link of a folder"),
        pytest.param("emprops-models look shown", "a link leads to a hidden file", id="link to a hidden file"),
        pytest.param("emprops-models read 0 seen/x", "a link leads to a hidden file", id="link to a hidden folder"),
        pytest.param("emprops-models read 0 pipe", "not a file", id="pipe"),
        pytest.param("emprops-models look loras", "not a file", id="folder"),
        pytest.param("emprops-models look none", "none: No such file", id="none"),
    ],
)
def test_a_key_for_the_store_opens_nothing_else(store, tmp_path, command, message):
    (tmp_path / "store2").write_text("s3cret-value")
    (store / "out").symlink_to(tmp_path / "secret")
    (store / "beside").symlink_to(tmp_path / "store2")
    (store / "folder").symlink_to(tmp_path)
    (store / ".quarantine").mkdir()
    (store / ".quarantine/x").write_text("s3cret-value")
    (store / "shown").symlink_to(".quarantine/x")
    (store / "seen").symlink_to(".quarantine")
    os.mkfifo(store / "pipe")
    before = sorted(tmp_path.rglob("*"))
    environment = {**os.environ, "SSH_ORIGINAL_COMMAND": command}
    answer = subprocess.run([sys.executable, SERVER, store], env=environment, capture_output=True, text=True)
    assert answer.returncode == 1 and answer.stdout == ""
    assert message in answer.stderr and "Traceback" not in answer.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_the_store_hands_out_what_a_link_inside_of_it_leads_to(store):
    (store / "vae").mkdir()
    (store / "vae/b.safetensors").symlink_to(f"../loras/{NAME}")
    environment = {**os.environ, "SSH_ORIGINAL_COMMAND": shlex.join(["emprops-models", "read", "8999999", "vae/b.safetensors"])}
    answer = subprocess.run([sys.executable, SERVER, store], env=environment, capture_output=True, check=True).stdout
    first, rest = answer.split(b"\n", 1)
    assert first.split()[1] == str(len(CONTENT)).encode()
    assert rest == CONTENT[8_999_999:] + first + b"\n"


@needs_sshd
def test_a_key_for_the_store_runs_no_other_command(server, store):
    peer = Peer("ssh+store", server, store)
    server.allow(f'restrict,command="{sys.executable} {SERVER} {store}"')
    argv = peer.options.argv(parse_address(f"{peer.origin}/a"), f"cat {store.parent}/secret; touch {store}/x")
    answer = subprocess.run(argv, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (1, "") and "this key only reads models" in answer.stderr
    assert not (store / "x").exists()
