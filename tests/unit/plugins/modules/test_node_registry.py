# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils import _registry_refresh
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import KINDS, RegistryError, load_registry
from ansible_collections.emprops.comfyui.plugins.modules import node_registry
from unit.fixtures.run_module import run_module


def content(stars):
    """The four files of a day; the stars tell the days apart."""
    boats = "https://github.com/maker/boats"
    return {
        "extension-node-map.json": {boats: [["Boat"], {}]},
        "custom-node-list.json": {"custom_nodes": [{"title": "Boats", "files": [boats], "install_type": "git-clone"}]},
        "model-list.json": {"models": [{"filename": "a.pth", "save_path": "vae", "url": "https://example.com/a.pth"}]},
        "github-stats.json": {boats: {"stars": stars, "last_update": "2026-02-03 04:05:06"}},
    }


class Mirror:
    """A web server of the files that knows ETags, as GitHub's does; `answers` replaces one by a function of the handler."""

    def __init__(self):
        self.files = {name: json.dumps(data).encode() for name, data in content(1).items()}
        self.answers = {}
        self.seen = []
        self.packs = False
        self.etags = True
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rpartition("/")[2]
                mirror.seen.append((self.command, self.path, dict(self.headers)))
                if name in mirror.answers:
                    mirror.answers[name](self)
                    return
                body = mirror.files[name]
                etag = f'W/"{hashlib.sha256(body).hexdigest()}"'
                if mirror.etags and self.headers.get("If-None-Match") == etag:
                    self.reply(b"", 304)
                    return
                headers = {"ETag": etag} if mirror.etags else {}
                if mirror.packs and "gzip" in self.headers.get("Accept-Encoding", ""):
                    body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
                self.reply(body, **headers)

            do_HEAD = do_GET

            def reply(self, body, status=200, **headers):
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(key.replace("_", "-"), value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def put(self, stars):
        self.files = {name: json.dumps(data).encode() for name, data in content(stars).items()}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def asked(self):
        seen, self.seen = self.seen, []
        return sorted((method, path) for method, path, _headers in seen)


@pytest.fixture(name="mirror")
def fixture_mirror():
    mirror = Mirror()
    yield mirror
    mirror.stop()


@pytest.fixture(name="warned", autouse=True)
def fixture_warned(monkeypatch):
    """What the module warned of; in a process that has loaded parts of the controller it is not in the answer."""
    warned = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _self, text: warned.append(text))
    return warned


@pytest.fixture(name="refresh")
def fixture_refresh(mirror, tmp_path, monkeypatch):
    """Run the module with a folder and a cache of this test's own; every run asks the server unless it says otherwise."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def refresh(check_mode=False, **options):
        usual = {"base_url": mirror.url, "cache_dir": str(tmp_path / "cache"), "minimum_bytes": 20, "max_age_hours": 0}
        return run_module(node_registry, check_mode=check_mode, **{**usual, **options})

    return refresh


def stars(folder):
    return load_registry("auto", folder).exact("Boat")[0].stars


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


ALL = [("GET", f"/{kind}.json") for kind in sorted(KINDS)]


def test_the_files_come_once_and_then_only_when_they_changed(mirror, refresh, tmp_path):
    first = refresh()
    assert (first["changed"], first["state"], first["folder"]) == (True, "updated", str(tmp_path / "cache"))
    assert (first["registry"]["packs"], first["registry"]["date"]) == (1, "2026-02-03T04:05:06+00:00")
    assert mirror.asked() == ALL and stars(tmp_path / "cache") == 1
    before = everything(tmp_path / "cache")

    again = refresh()
    assert (again["changed"], again["state"]) == (False, "unchanged")
    assert mirror.asked() == ALL and everything(tmp_path / "cache") == before

    mirror.put(stars=2)
    newer = refresh()
    assert (newer["changed"], newer["state"]) == (True, "updated") and stars(tmp_path / "cache") == 2
    changed = [line for line in newer["diff"]["after"].splitlines() if line not in newer["diff"]["before"]]
    assert [line.split()[0] for line in changed] == ["github-stats.json"]
    # What did not change was not sent again, and is there all the same.
    assert load_registry("auto", tmp_path / "cache").models("a.pth")


def test_nobody_is_asked_before_the_time_is_over(mirror, refresh, tmp_path):
    refresh()
    mirror.asked()
    mirror.put(stars=2)
    assert refresh(max_age_hours=6)["state"] == "fresh" and mirror.asked() == []
    state = tmp_path / "cache/current/state.json"
    os.utime(state, (0, time.time() - 7 * 3600))
    assert refresh(max_age_hours=6)["state"] == "updated"
    # Asking starts the time anew, whatever the answer.
    os.utime(tmp_path / "cache/current/state.json", (0, time.time() - 7 * 3600))
    assert [refresh(max_age_hours=6)["state"], refresh(max_age_hours=6)["state"]] == ["unchanged", "fresh"]
    os.utime(tmp_path / "cache/current/state.json", (0, time.time() + 7 * 3600))
    assert refresh(max_age_hours=6)["state"] == "unchanged"


def test_check_mode_asks_what_would_change_and_writes_nothing(mirror, refresh, tmp_path):
    assert (refresh(check_mode=True)["changed"], list(tmp_path.iterdir())) == (True, [])
    assert {method for method, _path in mirror.asked()} == {"HEAD"}
    refresh()
    before = everything(tmp_path)
    assert refresh(check_mode=True)["state"] == "unchanged"
    mirror.put(stars=2)
    answer = refresh(check_mode=True)
    assert (answer["changed"], answer["state"]) == (True, "updated") and "github-stats.json another version" in answer["diff"]["after"]
    assert everything(tmp_path) == before


def test_packed_answers_are_unpacked(mirror, refresh, tmp_path):
    mirror.packs = True
    refresh()
    assert json.loads((tmp_path / "cache/current/github-stats.json").read_bytes()) == content(1)["github-stats.json"]
    assert refresh()["state"] == "unchanged"


def test_a_server_without_etags_changes_nothing_with_the_same_files(mirror, refresh, tmp_path):
    mirror.etags = False
    assert refresh()["changed"]
    before = everything(tmp_path / "cache")
    assert not refresh()["changed"] and everything(tmp_path / "cache") == before
    assert not any("If-None-Match" in headers for _method, _path, headers in mirror.seen)


def test_another_address_is_asked_for_everything(mirror, refresh):
    refresh()
    mirror.seen.clear()
    assert refresh(base_url=f"{mirror.url}/elsewhere/", max_age_hours=99)["state"] == "unchanged"
    assert mirror.seen[0][1].startswith("/elsewhere/")
    assert not any("If-None-Match" in headers for _method, _path, headers in mirror.seen)


@pytest.mark.parametrize(
    "answer, reason",
    [
        pytest.param(lambda handler: handler.reply(b"", 404), "the server answers 404", id="not found"),
        pytest.param(lambda handler: handler.reply(b"", 503), "the server answers 503", id="overloaded"),
        pytest.param(lambda handler: handler.reply(b"<html>Please sign in" + b" " * 99), "it is a web page", id="a web page"),
        pytest.param(lambda handler: handler.reply(b'{"https://github.com/a/b": [["A"'), "it is not JSON", id="half a file"),
        pytest.param(lambda handler: handler.reply(b"{}"), "it has none of the entries", id="an empty one"),
        pytest.param(lambda handler: handler.reply(b"[]" + b" " * 99), "does not have the shape", id="another shape"),
        pytest.param(lambda handler: handler.reply(b'{"https://github.com/a/b":[["A"],{}]}'), "37 bytes only", id="a short one"),
        pytest.param(lambda handler: handler.reply(b"", Content_Length="999"), "it is not JSON", id="a connection that ends early"),
        pytest.param(lambda handler: handler.reply(b" " * (25 * 1024**2)), "more than 25165824 bytes", id="a large one"),
        pytest.param(lambda handler: handler.reply(b"", 302, Location="ftp://127.0.0.1/x"), "redirects from http to ftp", id="a redirect"),
        pytest.param(lambda handler: handler.wfile.write(b"nonsense\r\n"), "does not speak HTTP", id="nonsense"),
        pytest.param(
            lambda handler: handler.reply(gzip.compress(b" " * (25 * 1024**2)), Content_Encoding="gzip"), "more than 25165824", id="a bomb"
        ),
    ],
)
def test_one_bad_answer_leaves_the_whole_set_as_it_was(mirror, refresh, tmp_path, warned, answer, reason):
    refresh(minimum_bytes=40)
    before = everything(tmp_path / "cache")
    mirror.put(stars=2)
    mirror.answers["extension-node-map.json"] = answer
    done = refresh(minimum_bytes=40)
    assert (done.get("failed"), done["changed"], done["state"]) == (None, False, "stale")
    assert done["problem"].startswith("extension-node-map.json: ") and reason in done["problem"]
    assert f"The registry is {done['registry']['age_days']} days old and cannot be refreshed" in warned[0]
    assert everything(tmp_path / "cache") == before and stars(tmp_path / "cache") == 1
    del mirror.answers["extension-node-map.json"]
    assert refresh()["state"] == "updated" and stars(tmp_path / "cache") == 2 and len(warned) == 1


def test_a_dead_network_is_a_warning_as_long_as_there_is_a_set(mirror, refresh, tmp_path, warned):
    refresh()
    mirror.stop()
    done = refresh(required=True)
    assert (done["state"], done["changed"]) == ("stale", False) and "nothing listens there" in warned[0]
    assert refresh(check_mode=True)["state"] == "stale"
    assert stars(tmp_path / "cache") == 1


def test_a_dead_network_without_a_set_is_a_failure_only_when_there_must_be_one(mirror, refresh, warned):
    mirror.stop()
    done = refresh()
    assert (done.get("failed"), done["state"], done.get("registry")) == (None, "none", None)
    assert "There is no registry, and none can be downloaded" in warned[0]
    failed = refresh(required=True)
    assert failed["failed"] and all(kind in failed["msg"] for kind in KINDS) and "nothing listens there" in failed["msg"]


@pytest.mark.parametrize("damage", [b"", b'{"models": []}', None], ids=["emptied", "replaced", "removed"])
def test_a_damaged_file_is_put_right_though_the_set_is_young(mirror, refresh, tmp_path, damage):
    refresh()
    path = tmp_path / "cache/current/model-list.json"
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert refresh(max_age_hours=99)["state"] == "updated"
    assert load_registry("auto", tmp_path / "cache").models("a.pth")


def test_a_run_that_was_killed_leaves_the_old_set_and_the_next_one_tidies_up(mirror, refresh, tmp_path):
    refresh()
    mirror.put(stars=2)
    # Killed after all but the last step, when most is written.
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from ansible_collections.emprops.comfyui.plugins.module_utils import _registry_refresh as it\n"
        "Path.symlink_to = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "it.refresh(Path(sys.argv[1]), sys.argv[2], max_age_seconds=0, timeout=9, minimum_bytes=20)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "cache"), mirror.url]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "cache").glob("set-*"))) == 2 and stars(tmp_path / "cache") == 1

    mirror.put(stars=3)
    assert refresh()["state"] == "updated" and stars(tmp_path / "cache") == 3
    # The one before stays for who is reading it.
    kept = {path.name for path in (tmp_path / "cache").glob("set-*")}
    assert len(kept) == 2 and (tmp_path / "cache/current").readlink().name in kept
    mirror.put(stars=4)
    refresh()
    assert len(list((tmp_path / "cache").glob("set-*"))) == 2


def test_two_at_once_take_turns_and_the_second_has_nothing_to_do(mirror, refresh, tmp_path):
    held, go_on = threading.Event(), threading.Event()

    def hold(handler):
        held.set()
        go_on.wait(30)
        handler.reply(mirror.files["model-list.json"])

    mirror.answers["model-list.json"] = hold
    states = []
    options = {"max_age_seconds": 3600, "timeout": 60, "minimum_bytes": 20}

    def run():
        states.append(_registry_refresh.refresh(tmp_path / "cache", mirror.url, **options).state)

    threads = [threading.Thread(target=run) for _run in range(2)]
    threads[0].start()
    assert held.wait(30)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert states == ["updated", "fresh"] and len(mirror.asked()) == 4


@pytest.mark.parametrize(
    "url",
    ["", "ftp://example.com", "file:///etc", "https://", "https://a b", "https://me:secret@example.com", "https://example.com/?t=secret"],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused_without_repeating_it(refresh, url):
    failed = refresh(base_url=url)
    assert failed["failed"] and "the base URL" in failed["msg"] and "secret" not in failed["msg"]


def test_a_folder_that_others_may_write_in_is_refused(refresh, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    failed = refresh()
    assert failed["failed"] and "others may write in it" in failed["msg"]


def test_the_proxy_of_the_environment_is_asked(mirror, refresh, monkeypatch):
    monkeypatch.setenv("http_proxy", mirror.url)
    monkeypatch.setenv("no_proxy", "")
    assert refresh(base_url="http://registry.invalid/main")["state"] == "updated"
    assert mirror.asked()[0] == ("GET", "http://registry.invalid/main/custom-node-list.json")


def test_the_certificates_of_the_environment_are_trusted_and_no_others(mirror, refresh, monkeypatch, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    mirror.server.socket = context.wrap_socket(mirror.server.socket, server_side=True)
    url = mirror.url.replace("http:", "https:")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert "TLS fails" in refresh(base_url=url)["problem"]
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert refresh(base_url=url)["state"] == "updated"


def test_a_redirect_from_https_never_leads_to_plain_http():
    request = urllib.request.Request("https://example.com/model-list.json")
    with pytest.raises(RegistryError, match="redirects from https to http"):
        _registry_refresh._Redirects().redirect_request(request, None, 302, "Found", {}, "http://example.com/model-list.json")
