# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64
import hashlib

import pytest

CONTENT = b"GGUF" + bytes(100)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BASE64 = base64.b64encode(bytes.fromhex(SHA256)).decode()


@pytest.mark.parametrize(
    "headers, sha256",
    [
        pytest.param({}, None, id="says nothing"),
        pytest.param({"ETag": f'"{SHA256}"'}, None, id="an ETag is no digest"),
        pytest.param({"Repr-Digest": f"sha-256=:{BASE64}:"}, SHA256, id="of the representation"),
        pytest.param({"Repr-Digest": f"sha-512=:AAAA:, sha-256=:{BASE64}:"}, SHA256, id="among others"),
        pytest.param({"Digest": f"SHA-256={BASE64}"}, SHA256, id="the older header"),
        pytest.param({"X-Checksum-Sha256": SHA256.upper()}, SHA256, id="of a repository manager"),
        pytest.param({"Content-Digest": f"sha-256=:{BASE64}:"}, None, id="of the range alone"),
        pytest.param({"Repr-Digest": "sha-256=:%%%:"}, None, id="malformed"),
    ],
)
def test_only_an_honest_digest_is_one(hub, ask_one, headers, sha256):
    hub.files["a.gguf"] = (CONTENT, headers)
    row = ask_one(f"{hub.url}/files/a.gguf", name="a.gguf")
    assert (row["source"], row["url"], row["sha256"]) == ("https", f"{hub.url}/files/a.gguf", sha256)
    assert (row["size"], row["file_name"], row["warnings"], row["error"]) == (len(CONTENT), "a.gguf", [], None)


def test_the_server_may_call_the_file_otherwise(hub, ask_one):
    hub.files["7"] = (CONTENT, {"Content-Disposition": 'attachment; filename="b.gguf"'})
    row = ask_one(f"{hub.url}/files/7", name="a.gguf")
    assert (row["file_name"], row["warnings"]) == ("b.gguf", ["the source calls the file b.gguf"])


@pytest.mark.parametrize("name", ["../../x.gguf", "{{ x }}", "."])
def test_a_name_that_no_file_may_have_is_not_repeated(hub, ask_one, name):
    hub.files["7"] = (CONTENT, {"Content-Disposition": f'attachment; filename="{name}"'})
    row = ask_one(f"{hub.url}/files/7", name="a.gguf")
    assert row["file_name"] is None and name not in str(row["warnings"])


def test_a_web_page_is_no_model(hub, ask_one):
    hub.files["a.gguf"] = (b"<html>", {"Content-Type": "text/html; charset=utf-8"})
    assert "answered with text/html" in ask_one(f"{hub.url}/files/a.gguf", name="a.gguf")["error"]


def test_what_contradicts_the_server_is_an_error(hub, ask_one):
    hub.files["a.gguf"] = (CONTENT, {"X-Checksum-Sha256": SHA256})
    row = ask_one(f"{hub.url}/files/a.gguf", sha256="00" * 32)
    assert (row["error"], row["url"]) == (f"the source has a file with the sha256 {SHA256}, wanted is {'00' * 32}", None)
    assert ask_one(f"{hub.url}/files/a.gguf", size=5)["error"] == f"the source has {len(CONTENT)} bytes, wanted are 5"
    assert ask_one(f"{hub.url}/files/a.gguf", size=len(CONTENT), sha256=SHA256.upper())["error"] is None
