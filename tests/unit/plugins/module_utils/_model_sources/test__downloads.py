# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import ContentError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources import _hugging_face
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._downloads import DownloadOptions, Downloads
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, LinkExpiredError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client
from fixtures.scripted_server import scripted_server
from support.hub import COMMIT, Hub

CONTENT = bytes(index % 251 for index in range(10_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MODEL = "org/repo/resolve/main/deep/w.safetensors"


@pytest.fixture(name="hub")
def fixture_hub(tmp_path):
    for place in ("a.gguf", "org/repo/deep/w.safetensors", "new/name/w.safetensors", "civitai/7/first.gguf"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(CONTENT)
    (tmp_path / "org/repo/config.json").write_text("{}")
    (tmp_path / "civitai/7/second.gguf").write_bytes(CONTENT[:-1])
    (tmp_path / "old/name").mkdir(parents=True)
    (tmp_path / "old/name/.moved").write_text("new/name")
    with Hub(tmp_path) as hub:
        yield hub


class Site:
    """The sources as one run has them, and how long it would have waited."""

    def __init__(self, *hosts, tokens=None, **options):
        self.pauses = []
        self.client = Client(tokens or {}, 10, hosts, self.pauses.append)
        self.open = Downloads(self.client, DownloadOptions(**options)).open

    def read(self, download):
        with self.client.read(download.link()) as reply:
            return reply.read(1 << 20)


@pytest.fixture(name="site")
def fixture_site(hub):
    host = hub.url.removeprefix("http://")
    return Site(hub.url, hub.storage_url, tokens={host: "s3cret"}, civitai_url=hub.url)


def asked(hub):
    return [request["path"] for request in hub.requests]


@pytest.mark.parametrize(
    "path, source, address",
    [
        pytest.param("files/a.gguf", "https", "files/a.gguf", id="plain"),
        pytest.param(MODEL, "huggingface", MODEL.replace("main", COMMIT), id="Hugging Face"),
        pytest.param(MODEL.replace("resolve", "blob"), "huggingface", MODEL.replace("main", COMMIT), id="its page"),
        pytest.param("api/download/models/7", "civitai", "api/download/models/7?fileId=700", id="CivitAI"),
        pytest.param("api/download/models/7?fileId=700&type=Model", "civitai", "api/download/models/7?fileId=700", id="one of several"),
    ],
)
def test_each_source_knows_its_addresses_and_says_what_it_has(hub, site, path, source, address):
    download = site.open(f"{hub.url}/{path}")
    assert hub.requests == []  # only shape and policy so far
    offer = download.look("w.safetensors")
    assert (download.source, download.transport, offer.size, offer.ranges) == (source, "ranges", len(CONTENT), True)
    assert offer.sha256 == (None if source == "https" else SHA256)
    assert offer.address == f"{hub.url}/{address}"
    assert site.read(download) == CONTENT


def test_the_link_of_the_first_look_is_used_once_and_then_asked_for_anew(hub, site):
    download = site.open(f"{hub.url}/{MODEL}")
    download.look("w.safetensors")
    first, count = download.link(), len(hub.requests)
    assert count == 1
    again = download.link()
    assert (first.host, again.host, len(hub.requests)) == (again.host, first.host, 2)
    # What `main` is by now is no matter.
    assert f"/resolve/{COMMIT}/" in asked(hub)[-1]


def test_a_renamed_repository_is_followed_with_its_token(hub, site):
    download = site.open(f"{hub.url}/old/name/resolve/main/w.safetensors")
    assert download.look("w.safetensors").sha256 == SHA256
    assert [request["headers"]["Authorization"] for request in hub.requests] == ["Bearer s3cret"] * 2


def test_a_small_file_of_a_repository_has_no_digest_but_a_commit(hub, site):
    offer = site.open(f"{hub.url}/org/repo/resolve/main/config.json").look("config.json")
    assert (offer.size, offer.sha256) == (2, None)
    assert offer.etag and COMMIT in offer.address


@pytest.mark.parametrize(
    "url",
    ["https://huggingface.co/org/repo", "https://huggingface.co/org/repo/tree/main", "https://hf.co/org/repo/commit/main"],
)
def test_a_page_of_the_hub_that_is_no_file_is_refused(url):
    with pytest.raises(DownloadError, match="not that of a file on Hugging Face"):
        Site("default").open(url)


def test_a_raw_address_of_the_hub_would_be_a_pointer_and_is_not_asked_for():
    download = Site("default").open("https://huggingface.co/datasets/o/r/raw/refs%2Fpr%2F1/w.gguf")
    assert download._url == "https://huggingface.co/datasets/o/r/resolve/refs%2Fpr%2F1/w.gguf"


def test_a_file_too_large_for_plain_http_is_fetched_by_the_hubs_own_library(hub, site, monkeypatch, tmp_path):
    monkeypatch.setattr(_hugging_face, "LARGEST_PLAIN_FILE", 100)
    download = site.open(f"{hub.url}/{MODEL}")
    download.look("w.safetensors")
    assert download.transport == "file"
    asked_for = []
    monkeypatch.setattr(_hugging_face, "fetch", lambda *values: asked_for.append(values))
    download.fetch(tmp_path / "w", print)
    (file, _tools, path, progress) = asked_for[0]
    assert (file.base, file.kind, file.repository, file.revision) == (hub.url, "model", "org/repo", COMMIT)
    assert (file.path, file.token, path, progress) == ("deep/w.safetensors", "s3cret", tmp_path / "w", print)
    # What git itself keeps comes over HTTP however large it is.
    plain = site.open(f"{hub.url}/files/a.gguf")
    plain.look("a.gguf")
    assert plain.transport == "ranges"


@pytest.mark.parametrize("path", ["urn:air:sdxl:checkpoint:civitai:7@7", "https://civitai.com/models/7/name?modelVersionId=7"])
def test_what_people_copy_from_civitai_becomes_the_address_of_a_file(hub, path):
    site = Site("default", hub.url, hub.storage_url, tokens={hub.url.removeprefix("http://"): "s3cret"}, civitai_url=hub.url)
    download = site.open(path)
    offer = download.look("w.gguf")
    assert (offer.size, offer.sha256) == (len(CONTENT), SHA256)
    assert hub.requests[-1]["headers"].get("Authorization") is None  # the storage
    assert "/api/download/models/7" in asked(hub) and "fileId=700" in hub.requests[1]["target"]
    assert site.read(download) == CONTENT


def test_a_page_that_civitai_does_not_know_is_refused(hub):
    site = Site("default", hub.url, civitai_url=hub.url)
    with pytest.raises(DownloadError, match="CivitAI knows no version 9"):
        site.open("https://civitai.com/models/7?modelVersionId=9").look("w.gguf")
    with pytest.raises(DownloadError, match="neither a download nor a model's page"):
        site.open("https://civitai.com/images/7").look("w.gguf")


def test_a_download_address_is_good_without_the_interface(hub, site):
    hub.faults["/api/v1/model-versions/7"] = "404"
    offer = site.open(f"{hub.url}/api/download/models/7").look("w.gguf")
    assert (offer.size, offer.sha256) == (len(CONTENT), None)


def test_a_file_that_is_listed_and_yet_not_there_is_asked_for_a_little_longer(hub, site):
    hub.faults["/api/download/models/7"] = ["404", "404"]
    assert site.open(f"{hub.url}/api/download/models/7").look("w.gguf").sha256 == SHA256
    assert len(site.pauses) == 2
    hub.faults["/api/download/models/7"] = "404"
    with pytest.raises(DownloadError, match="no such file: 404.*though CivitAI lists the file"):
        site.open(f"{hub.url}/api/download/models/7").look("w.gguf")


def test_the_login_page_of_civitai_means_that_a_token_is_needed():
    with scripted_server({"GET /api/download/models/7": lambda handler: handler.reply(b"<html>", **{"Content-Type": "text/html"})}) as page:
        with pytest.raises(DownloadError, match="does not hand out the file without a token"):
            Site(page.url).open(f"{page.url}/api/download/models/7").look("w.gguf")
        # With one it is something else.
        with pytest.raises(ContentError, match="text/html instead of a model"):
            Site(page.url).open(f"{page.url}/api/download/models/7?token=abc").look("w.gguf")


def test_early_access_is_told_with_its_end(hub, site):
    hub.faults["/api/download/models/7"] = "early"
    with pytest.raises(DownloadError, match="early access, for those who paid for it .*403, 'Early Access: .*20[0-9][0-9]-"):
        site.open(f"{hub.url}/api/download/models/7").look("w.gguf")


@pytest.mark.parametrize("kind", ["html", "json"])
def test_an_answer_that_is_no_model_is_refused_before_the_first_byte(hub, site, kind):
    with pytest.raises(ContentError, match="instead of a model"):
        site.open(f"{hub.url}/files/a.gguf?fault={kind}").look("a.gguf")


@pytest.mark.parametrize("url", ["{url}?token=from-address&b=1", "{scheme}from-address@{host}"])
@pytest.mark.parametrize("path", ["files/a.gguf", MODEL, "api/download/models/7?fileId=700"])
def test_a_token_in_the_address_becomes_a_header_for_its_origin_and_is_never_shown(hub, url, path):
    site = Site(hub.url, hub.storage_url)
    plain = f"{hub.url}/{path}"
    wanted = url.format(url=plain, scheme="http://", host=plain.removeprefix("http://")).replace("?fileId=700?", "?fileId=700&")
    download = site.open(wanted)
    offer = download.look("a.gguf")
    assert site.read(download) == CONTENT
    sent = {(request["port"] == hub.port, request["headers"].get("Authorization")) for request in hub.requests}
    # The interface of CivitAI needs none.
    assert sent - {(True, None)} <= {(True, "Bearer from-address"), (False, None)} and (True, "Bearer from-address") in sent
    shown = [download.printable, offer.address, repr(download.link()), *(request["target"] for request in hub.requests)]
    assert "from-address" not in " ".join(shown)


def test_a_digest_in_the_headers_of_any_server_counts():
    headers = {"Content-Range": "bytes 0-0/5", "X-Checksum-Sha256": SHA256.upper()}
    with scripted_server({"GET /a": lambda handler: handler.reply(b"x", 206, **headers)}) as server:
        assert Site(server.url).open(f"{server.url}/a").look("a").sha256 == SHA256


def test_a_signed_link_keeps_its_signature_and_shows_none(hub, site):
    site.open(f"{hub.url}/{MODEL}").look("w.safetensors")
    signed = site.client.link(f"{hub.url}/{MODEL}")[0].url
    download = site.open(signed)
    offer = download.look("w.safetensors")
    assert (download.source, offer.size, offer.etag != "") == ("https", len(CONTENT), True)
    assert "X-Amz" not in offer.address + download.printable
    assert site.read(download) == CONTENT


def test_a_signed_link_that_a_person_gave_too_late_is_told_with_its_end(hub, site):
    late = f"{hub.storage_url}/cdn/a?X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-Signature=abc"
    with pytest.raises(LinkExpiredError, match="ended at 2026-01-02 03:05:05 UTC"):
        site.open(late).look("a.gguf")
    assert hub.requests == []


@pytest.mark.parametrize(
    "url, message",
    [
        ("https://other.example/a", "not on the list of allowed hosts"),
        ("http://huggingface.co/a/b/resolve/main/w", "not https"),
        ("https://127.0.0.1/a", "IP address"),
        ("ftp://huggingface.co/a", "neither http nor https"),
        ("https://huggingface.co/a/b/resolve/main/../../x", "straight down"),
        ("file:///etc/passwd", "in no folder that allowed_hosts names"),
        ("/etc/passwd", "in no folder that allowed_hosts names"),
        ("ssh://host/etc/passwd", "not on the list of allowed hosts"),
        ("", "neither http nor https"),
        ("urn:air:sdxl:checkpoint:other:7@7", "neither http nor https"),
    ],
)
def test_what_the_inventory_does_not_allow_is_refused_without_asking(url, message):
    with pytest.raises(DownloadError, match=message):
        Site("default").open(url)


def test_an_air_needs_civitai_on_the_list():
    with pytest.raises(DownloadError, match="civitai.com/? is not asked"):
        Site("huggingface.co").open("urn:air:sdxl:checkpoint:civitai:7@7")


def test_a_mounted_share_and_another_machine_are_sources_too(tmp_path):
    (tmp_path / "a.gguf").write_bytes(CONTENT)
    site = Site(f"file://{tmp_path}", "ssh://seed@10.0.0.2:22")
    download = site.open(str(tmp_path / "a.gguf"))
    assert (download.source, download.transport, download.look("a.gguf").size) == ("file", "stream", len(CONTENT))
    assert site.open("ssh://seed@10.0.0.2:22/models/a.gguf").source == "ssh"
