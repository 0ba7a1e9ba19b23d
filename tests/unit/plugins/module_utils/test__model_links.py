# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_links import explain, hide_tokens, is_readable, lacking, sign_links
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._downloads import DownloadOptions, Downloads
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client
from support.hub import Hub

CONTENT = b"GGUF\x03\0\0\0" + bytes(5000)
TOKEN = "t0ken-s3cret"


@pytest.fixture(name="hub")
def fixture_hub(tmp_path):
    (tmp_path / "org/gated").mkdir(parents=True)
    (tmp_path / "org/gated/.gated").touch()
    (tmp_path / "civitai/7").mkdir(parents=True)
    for name in ("a.gguf", "org/gated/c.gguf", "civitai/7/d.gguf"):
        (tmp_path / name).write_bytes(CONTENT)
    with Hub(tmp_path, token=TOKEN) as hub:
        yield hub


@pytest.fixture(name="sign")
def fixture_sign(hub):
    def sign(*urls, name="c.gguf", token=TOKEN):
        client = Client({f"127.0.0.1:{hub.port}": token}, 5, [hub.url, hub.storage_url], lambda _seconds: None)
        downloads = Downloads(client, DownloadOptions(civitai_url=hub.url))
        return sign_links(downloads.open, [{"directory": "unet", "name": name, "url": None, "urls": list(urls)}])

    return sign


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/org/gated/resolve/main/c.gguf", id="Hugging Face"),
        pytest.param("/api/download/models/7", id="CivitAI"),
    ],
)
def test_a_hub_that_signs_gives_a_link_that_opens_without_the_token(hub, sign, path):
    links, refused = sign(hub.url + path)
    link = links["unet/c.gguf"]
    assert refused == {} and link["url"].startswith(f"{hub.storage_url}/cdn/") and TOKEN not in str(link)
    assert (link["size"], link["sha256"]) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert "?" not in link["source"] or "fileId=" in link["source"]
    stranger = Client({}, 5, [hub.url, hub.storage_url])
    with stranger.read(stranger.link(link["url"])[0], 0, 10) as reply:
        assert reply.status == 206


def test_a_plain_address_that_wants_no_token_is_its_own_link(hub, sign):
    links, refused = sign(f"{hub.url}/files/a.gguf", token=None)
    assert links["unet/c.gguf"]["url"] == f"{hub.url}/files/a.gguf" and refused == {}


def test_a_server_that_would_need_the_token_itself_is_refused_by_name(hub, sign):
    links, refused = sign(f"{hub.url}/files/a.gguf")
    assert links == {} and f"{hub.url}/files/a.gguf is not to be had by a signed link" in refused["unet/c.gguf"]
    assert TOKEN not in str(refused)


def test_the_next_address_is_tried_and_all_reasons_are_told_where_none_will_do(hub, sign):
    links, refused = sign(f"{hub.url}/files/none.gguf", f"{hub.url}/org/gated/resolve/main/c.gguf")
    assert list(links) == ["unet/c.gguf"] and refused == {}
    links, refused = sign(f"{hub.url}/files/none.gguf", "https://elsewhere.example/c.gguf")
    assert links == {} and "404" in refused["unet/c.gguf"] and "elsewhere.example" in refused["unet/c.gguf"]


@pytest.mark.parametrize("url", ["file:///srv/c.gguf", "ssh://gpu-1/srv/c.gguf"])
def test_what_the_machine_reads_by_itself_needs_no_link(sign, url):
    assert sign(url) == ({}, {})


def test_a_token_in_an_address_does_not_go_to_the_machine():
    entries = [
        {"name": "a", "url": "https://hub.example/a?token=s3cret&x=1", "urls": ["https://user:s3cret@hub.example/a"], "size": 3},
        {"name": "b", "url": "https://s3.example/b?X-Amz-Signature=abc"},
        {"name": "c", "url": "ssh://copier@gpu-1/srv/c", "urls": ["https://hub.example/[c?token=s3cret", "file:///srv/c"]},
        {"name": "d"},
    ]
    clean = hide_tokens(entries)
    assert "s3cret" not in str(clean)
    assert clean[0] == {"name": "a", "url": "https://hub.example/a?x=1", "urls": ["https://hub.example/a"], "size": 3}
    # A signature is good for this one file, and an account is no secret.
    assert clean[1] == entries[1] and clean[2]["url"] == entries[2]["url"] and clean[3] == entries[3]


@pytest.mark.parametrize(
    "url, expected",
    [
        pytest.param(" https://h/f?token=s3cret", "https://h/f", id="a blank in front"),
        pytest.param("\x01https://h/f?token=s3cret", "https://h/f", id="a control character in front"),
        pytest.param("ht\ntps://h/f?token=s3cret", "https://h/f", id="a line break in the middle"),
        pytest.param("\u00a0HTTPS://h/f?token=s3cret", "https://h/f", id="a blank of another kind"),
        pytest.param("h/f?token=s3cret", "h/f", id="no scheme"),
        pytest.param("https://h/f?a=1;token=s3cret", "https://h/f", id="a semicolon"),
        pytest.param("https://h/f#token=s3cret", "https://h/f", id="a fragment"),
        pytest.param("https://user:pa/s3cret@h/f?download=true", "https://h/f", id="a slash in a password"),
        pytest.param(" urn:air:sdxl:lora:civitai:1@2", "urn:air:sdxl:lora:civitai:1@2", id="no address of the web"),
    ],
)
def test_a_token_does_not_go_to_the_machine_however_its_address_begins(url, expected):
    assert hide_tokens([{"name": "a", "url": url, "urls": [url]}]) == [{"name": "a", "url": expected, "urls": [expected]}]


def test_a_list_of_addresses_that_is_written_as_a_text_is_one():
    clean = hide_tokens([{"name": "a", "urls": "https://h/f?token=s3cret, https://h/g"}, {"name": "b", "url": 5, "urls": 6}])
    assert clean == [{"name": "a", "urls": ["https://h/f", "https://h/g"]}, {"name": "b", "url": "5", "urls": ["6"]}]


@pytest.mark.parametrize("rows", ["text", 5, None, {}, ["text"], [{}], [{"state": 5}], [{"name": "a", "state": "missing"}, None]])
def test_what_a_machine_says_of_its_models_is_looked_at_first(rows):
    assert not is_readable({"models": rows})


def test_an_answer_without_models_is_one():
    assert is_readable({"failed": True}) and is_readable({"models": [row("a", "missing")]})


def row(name, state, **more):
    return {"directory": "unet", "name": name, "state": state, **more}


def test_a_link_helps_what_is_missing_and_what_lost_its_link():
    rows = [row("a", "missing"), row("b", "failed", expired=True), row("c", "failed"), row("d", "present")]
    assert lacking({"models": rows}) == {"unet/a", "unet/b"}
    assert lacking({"failed": True}) == set()


def test_who_got_no_link_is_told_why():
    result = {"changed": True, "models": [row("a", "failed", error="no link", expired=True), row("b", "downloaded")]}
    assert explain(result, {"unet/a": "gated", "unet/b": "never asked again"}) == {
        "changed": True,
        "failed": True,
        "msg": "1 of 2 models failed:\nunet/a: gated",
        "models": [row("a", "failed", error="gated"), row("b", "downloaded")],
    }
    assert explain(result, {}) == result
