# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
from fixtures.scripted_server import scripted_server
from support.hub_api import COMMIT, Repository, stored_file

SHA256 = "ab" * 32
URL = "https://huggingface.co/example/base/resolve/main/a.safetensors"


@pytest.fixture(autouse=True)
def fixture_repository(hub):
    files = {"a.safetensors": stored_file(SHA256, 5000), "sub dir/b+c.bin": stored_file("cd" * 32, 7, "unsafe")}
    files["README.md"] = {"type": "file", "oid": "0" * 40, "size": 12}
    files["sub dir"] = {"type": "directory", "oid": "0" * 40, "size": 0}
    hub.repositories["example/base"] = Repository(files)


def test_a_file_gets_its_digest_and_an_address_that_stays(hub, ask_one):
    row = ask_one(URL)
    assert row == {
        "name": "a.safetensors",
        "directory": "checkpoints",
        "source": "huggingface",
        "url": f"{hub.url}/example/base/resolve/{COMMIT}/a.safetensors",
        "sha256": SHA256,
        "size": 5000,
        "approximate_size": 5000,
        "file_name": "a.safetensors",
        "gated": False,
        "pickle_scan": "safe",
        "suggestions": [],
        "warnings": [],
        "error": None,
    }
    assert ask_one(row["url"]) == row


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://huggingface.co/example/base/blob/main/a.safetensors", id="a page"),
        pytest.param("https://hf.co/example/base/resolve/main/a.safetensors?download=true", id="the short name"),
        pytest.param("https://huggingface.co/example/base/raw/main/a.safetensors", id="a pointer"),
        pytest.param(f"https://huggingface.co/example/base/resolve/{COMMIT}/a.safetensors", id="a commit"),
        pytest.param("https://huggingface.co/example/base/resolve/refs%2Fpr%2F3/a.safetensors", id="a request, quoted"),
        pytest.param("https://huggingface.co/example/base/resolve/refs/pr/3/a.safetensors", id="a request"),
    ],
)
def test_every_address_of_a_file_is_understood(ask_one, url):
    assert ask_one(url)["url"].endswith(f"/example/base/resolve/{COMMIT}/a.safetensors")


@pytest.mark.parametrize("kind, name", [("datasets", "example/data"), ("spaces", "example/room"), ("models", "gpt2")])
def test_every_kind_of_repository_has_its_place(hub, ask_one, kind, name):
    hub.repositories[name] = Repository({"x/a.safetensors": stored_file(SHA256, 5)}, kind=kind)
    place = name if kind == "models" else f"{kind}/{name}"
    row = ask_one(f"https://huggingface.co/{place}/resolve/main/x/a.safetensors")
    assert (row["url"], row["sha256"]) == (f"{hub.url}/{place}/resolve/{COMMIT}/x/a.safetensors", SHA256)


def test_odd_names_are_quoted_once(hub, ask_one):
    row = ask_one("https://huggingface.co/example/base/resolve/main/sub%20dir/b%2Bc.bin", name="sub dir/b+c.bin")
    assert row["url"] == f"{hub.url}/example/base/resolve/{COMMIT}/sub%20dir/b%2Bc.bin"
    assert (row["file_name"], row["pickle_scan"]) == ("b+c.bin", "unsafe")
    assert row["warnings"] == ["the source's own scan calls this file unsafe"]


def test_what_is_not_in_lfs_has_no_sha256(ask_one):
    row = ask_one("https://huggingface.co/example/base/resolve/main/README.md", name="README.md")
    assert (row["size"], row["sha256"], row["error"]) == (12, None, None)


def test_many_files_of_a_repository_are_few_questions(hub, ask):
    files = {f"{number}.bin": stored_file(f"{number:064x}", number) for number in range(60)}
    hub.repositories["example/base"] = Repository(files)
    rows = ask(*(f"https://huggingface.co/example/base/resolve/main/{name}" for name in files))
    assert [row["sha256"] for row in rows] == [f"{number:064x}" for number in range(60)]
    assert [len(parse_qs(request.body.decode()).get("paths", [])) for request in hub.requests] == [0, 50, 10]


def test_a_renamed_repository_is_called_by_its_name(hub, ask_one):
    hub.repositories["old/base"] = Repository(renamed="example/base")
    row = ask_one("https://huggingface.co/old/base/resolve/main/a.safetensors")
    assert row["url"] == f"{hub.url}/example/base/resolve/{COMMIT}/a.safetensors"
    assert row["warnings"] == ["the repository old/base is called example/base now"]


def test_a_gated_repository_may_still_say_what_it_has(hub, ask_one):
    hub.repositories["example/base"].gated = "manual"
    row = ask_one(URL)
    assert (row["gated"], row["sha256"]) == (True, SHA256)
    assert "needs a token" in row["warnings"][0]


@pytest.mark.parametrize("token, told", [(None, "no token was sent"), ("s3cret", "was sent")])
def test_a_locked_repository_says_what_to_do(hub, ask_one, token, told):
    hub.repositories["example/base"].locked = True
    row = ask_one(URL, tokens={hub.host: token})
    assert (row["url"], row["gated"]) == (None, True)
    assert row["error"].startswith("the repository is gated: accept its terms") and told in row["error"]


@pytest.mark.parametrize(
    "url, message",
    [
        ("https://huggingface.co/example/none/resolve/main/a", "there is no such repository, or it is private"),
        ("https://huggingface.co/example/base/resolve/v9/a", "the repository has no such revision"),
        ("https://huggingface.co/example/base/resolve/main/none", "example/base has no file none"),
        ("https://huggingface.co/example/base/resolve/main/sub%20dir", "is not a file"),
        ("https://huggingface.co/example/base", "is not that of a file"),
        ("https://huggingface.co/example/base/resolve/main/..%2F..%2Fx", "a path that is refused"),
        ("https://huggingface.co/example/b%20ase/resolve/main/x", "a repository that Hugging Face cannot have"),
    ],
)
def test_what_cannot_be_had_is_an_error_of_that_model_alone(ask, url, message):
    bad, good = ask(url, URL)
    assert message in bad["error"] and bad["url"] is None
    assert good["error"] is None and good["sha256"] == SHA256


def test_files_of_the_same_name_are_proposed_and_nothing_is_filled_in(hub, ask_one):
    hub.repositories["someone/a"] = Repository({"x/a.safetensors": {}, "b.safetensors": {}, "../a.safetensors": {}})
    row = ask_one(None, name="sub/a.safetensors", search=True)
    found = [suggestion for suggestion in row["suggestions"] if "someone" in suggestion["url"]]
    assert found == [
        {"source": "huggingface", "url": f"{hub.url}/someone/a/blob/main/x/a.safetensors", "file_name": "a.safetensors", "sha256": None}
    ]
    assert row["url"] is None and row["error"]


@pytest.mark.parametrize(
    "about, paths, message",
    [
        pytest.param([], [], "which commit", id="a list for an object"),
        pytest.param({"sha": "../../x"}, [], "which commit", id="a commit that leads away"),
        pytest.param({"sha": COMMIT, "disabled": True}, [], "has disabled", id="disabled"),
        pytest.param({"sha": COMMIT, "id": "../evil"}, {"error": 1}, "has no file", id="an object for a list"),
        pytest.param({"sha": COMMIT}, [None, 1, "x", {"path": 1}, {"path": "b"}], "has no file", id="odd entries"),
        pytest.param({"sha": COMMIT}, [{"path": "a.safetensors"}], "not a file", id="no type"),
    ],
)
def test_an_answer_of_another_shape_is_an_error(ask, about, paths, message):
    base = "/api/models/example/base"
    answers = {f"GET {base}/revision/main": about, f"POST {base}/paths-info/{COMMIT}": paths}
    with scripted_server({question: json.dumps(answer).encode() for question, answer in answers.items()}) as server:
        (row,) = ask(URL, url=server.url)
    assert message in row["error"] and row["url"] is None


def test_odd_values_are_left_out(ask):
    base = "/api/models/example/base"
    entry = {"path": "a.safetensors", "type": "file", "size": "5", "lfs": {"oid": "sha256:x", "size": -1}, "securityFileStatus": "safe"}
    files = json.dumps([entry]).encode()
    answers = {f"GET {base}/revision/main": {"sha": COMMIT, "id": 7, "gated": []}, f"POST {base}/paths-info/{COMMIT}": files}
    with scripted_server(answers) as server:
        (row,) = ask(URL, url=server.url)
    assert (row["sha256"], row["size"], row["pickle_scan"], row["gated"], row["error"]) == (None, None, None, False, None)
    assert row["url"] == f"{server.url}/example/base/resolve/{COMMIT}/a.safetensors"
