# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from fixtures.scripted_server import scripted_server
from support.hub_api import civitai_file, civitai_version

SHA256, OTHER = "ab" * 32, "cd" * 32
DOWNLOAD = "https://civitai.com/api/download/models/20"


@pytest.fixture(autouse=True)
def fixture_versions(hub):
    config = civitai_file(301, "a.yaml", "ef" * 32, type="Config", metadata={"format": "Other"})
    full = civitai_file(302, "a full.safetensors", OTHER, metadata={"format": "SafeTensor", "size": "full", "fp": "fp32"})
    hub.civitai[20] = civitai_version(20, 10, config, full, civitai_file(300, "a.safetensors", SHA256, primary=True))


@pytest.mark.parametrize(
    "url",
    [
        DOWNLOAD,
        f"{DOWNLOAD}?fileId=300",
        f"{DOWNLOAD}?type=Model&format=SafeTensor&size=pruned&fp=fp16",
        "https://civitai.com/models/10?modelVersionId=20",
        "https://civitai.com/models/10/the-name-of-it?modelVersionId=20",
        "https://civitai.red/models/10?modelVersionId=20",
        "https://civitai.com/api/v1/model-versions/20",
        "urn:air:sdxl:checkpoint:civitai:10@20",
        None,
    ],
)
def test_every_way_to_name_a_file_leads_to_it(hub, ask_one, url):
    row = ask_one(url, sha256=SHA256 if url is None else None)
    assert row == {
        "name": "a.safetensors",
        "directory": "checkpoints",
        "source": "civitai",
        "url": f"{hub.url}/api/download/models/20?fileId=300",
        "sha256": SHA256,
        "size": None,
        "approximate_size": 2132625894,
        "file_name": "a.safetensors",
        "gated": None,
        "pickle_scan": "safe",
        "suggestions": [],
        "warnings": [],
        "error": None,
    }


def test_the_answer_is_an_address_that_means_the_same(hub, ask_one):
    row = ask_one(DOWNLOAD)
    assert ask_one(row["url"]) == row


def test_a_page_without_a_version_means_the_first_and_says_so(ask_one):
    row = ask_one("https://civitai.com/models/10")
    assert row["url"].endswith("/20?fileId=300")
    assert row["warnings"] == ["the page names no version, and the first there today is 20: name it with modelVersionId"]


@pytest.mark.parametrize(
    "query, number",
    [("?fileId=302", 302), ("?size=full", 302), ("?type=config", 301), ("?format=SafeTensor&fp=fp32", 302)],
)
def test_an_address_chooses_among_the_files(ask_one, query, number):
    assert ask_one(DOWNLOAD + query)["url"].endswith(f"?fileId={number}")


def test_a_digest_chooses_before_the_publisher_does(ask_one):
    assert ask_one(DOWNLOAD, sha256=OTHER.upper())["url"].endswith("?fileId=302")
    assert "has a file with the sha256" in ask_one(f"{DOWNLOAD}?fileId=300", sha256=OTHER)["error"]


@pytest.mark.parametrize(
    "url, message",
    [
        (f"{DOWNLOAD}?fileId=999", "no file of the kind"),
        (f"{DOWNLOAD}?type=VAE", "no file of the kind"),
        ("https://civitai.com/api/download/models/999", "CivitAI knows no version 999"),
        ("https://civitai.com/models/999", "CivitAI knows no model 999"),
        ("https://civitai.com/models/11?modelVersionId=20", "is of model 10, not of 11"),
        ("https://civitai.com/models/10?modelVersionId=latest", "not a number"),
        ("urn:air:sdxl:checkpoint:civitai:11@20", "is of model 10, not of 11"),
        ("https://civitai.com/user/someone", "neither a download nor a model's page"),
        ("https://civitai.com/api/download/models/9999999999999999999", "neither a download nor a model's page"),
    ],
)
def test_what_cannot_be_had_is_an_error(ask_one, url, message):
    row = ask_one(url)
    assert message in row["error"] and row["url"] is None


def test_a_digest_nobody_has_is_an_error(ask_one):
    assert "CivitAI knows no file with the digest" in ask_one(None, sha256="00" * 32)["error"]


def test_two_files_without_a_first_are_for_a_person_to_choose_from(hub, ask_one):
    hub.civitai[21] = civitai_version(21, 10, civitai_file(1, "a", SHA256), civitai_file(2, "b", OTHER))
    assert "add fileId= one of 1 (a), 2 (b)" in ask_one("https://civitai.com/api/download/models/21")["error"]


def test_what_the_publisher_or_a_scan_says_is_passed_on(hub, ask_one):
    file = civitai_file(1, "other.ckpt", SHA256, pickleScanResult="Danger")
    hub.civitai[21] = civitai_version(21, 10, file, status="Scheduled", paidAccess={"price": 5})
    row = ask_one("https://civitai.com/api/download/models/21")
    assert (row["gated"], row["pickle_scan"]) == (True, "unsafe")
    assert row["warnings"] == [
        "CivitAI calls this version Scheduled",
        "the source's own scan calls this file unsafe",
        "the source calls the file other.ckpt",
    ]


@pytest.mark.parametrize("size, agrees", [(2132625894, True), (2132000000, True), (1000000000, False)])
def test_a_rounded_size_contradicts_only_what_is_far_off(ask_one, size, agrees):
    row = ask_one(DOWNLOAD, size=size)
    assert (row["error"] is None) is agrees
    assert row["size"] == size


@pytest.mark.parametrize("name", ["../../custom_nodes/a.py", "/etc/passwd", "a\x00b", "{{ lookup('pipe', 'id') }}", "", 7, None, "x" * 300])
def test_a_name_that_no_file_may_have_is_not_repeated(hub, ask_one, name):
    hub.civitai[21] = civitai_version(21, 10, civitai_file(1, name, SHA256))
    row = ask_one("https://civitai.com/api/download/models/21")
    assert (row["file_name"], row["error"]) == (None, None)
    assert row["warnings"] == ["the source's name for the file is none that a file may have here"]


def test_versions_with_the_file_are_proposed(hub, ask_one):
    row = ask_one(None, search=True)
    (suggestion,) = row["suggestions"]
    assert suggestion == {
        "source": "civitai",
        "url": f"{hub.url}/models/10?modelVersionId=20",
        "file_name": "a.safetensors",
        "sha256": SHA256,
    }
    assert row["url"] is None


@pytest.mark.parametrize(
    "answer, message",
    [
        pytest.param(b"[]", "not about the version", id="a list"),
        pytest.param({"id": "20", "files": []}, "not about the version", id="a text for a number"),
        pytest.param({"id": 21, "files": []}, "not about the version", id="another version"),
        pytest.param({"id": True, "files": []}, "not about the version", id="a truth"),
        pytest.param({"id": 20, "files": []}, "no file of this version any more", id="archived"),
        pytest.param({"id": 20, "files": {"0": {}}}, "no file of this version any more", id="an object for a list"),
        pytest.param({"id": 20, "files": [None, 5, []]}, "no file of this version any more", id="no objects"),
        pytest.param({"id": 20, "files": [{"id": -1}]}, "which number the file has", id="a number below zero"),
        pytest.param({"id": 20, "files": [{"id": 10**30}]}, "which number the file has", id="a huge number"),
        pytest.param({"id": 20, "modelId": {}, "files": [{"id": 5, "hashes": [], "sizeKB": 1e308, "name": {}}]}, None, id="odd values"),
        pytest.param(b'{"id": 20, "files": [{"id": 5, "sizeKB": NaN, "hashes": {"SHA256": 5}}]}', None, id="not a number"),
        pytest.param(b'{"id": 20, "files": [{"id": 5, "sizeKB": Infinity, "primary": "yes"}]}', None, id="infinite"),
    ],
)
def test_an_answer_of_another_shape_is_an_error_or_less_is_known(ask, answer, message):
    with scripted_server({"GET /api/v1/model-versions/20": answer}) as server:
        (row,) = ask(DOWNLOAD, url=server.url)
    if message:
        assert message in row["error"]
    else:
        known = (row["error"], row["url"], row["sha256"], row["approximate_size"])
        assert known == (None, f"{server.url}/api/download/models/20?fileId=5", None, None)
