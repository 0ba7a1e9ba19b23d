# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_sources._ask_packs import ask_packs, describe_failures
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_sources._comfy_registry import ComfyRegistry
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions
from fixtures.scripted_server import scripted_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hub_api import HubApi, registry_node, registry_version


@pytest.fixture(name="hub")
def fixture_hub():
    with HubApi() as hub:
        hub.nodes["good-pack"] = registry_node("good-pack", repository="https://github.com/Example/Good_Pack.git")
        hub.classes.update({"GoodNode": "good-pack", "Odd / Näme (x)": "good-pack"})
        yield hub


@pytest.fixture(name="ask")
def fixture_ask(hub):
    def ask(*packs, classes=(), url=hub.url):
        source = ComfyRegistry(Questions({}, 10, [url], pause=lambda _seconds: None), url)
        return ask_packs(classes, packs, source, 2)

    return ask


@pytest.fixture(name="ask_one")
def fixture_ask_one(ask):
    return lambda *arguments, **values: ask(*arguments, **values)[1][0]


def test_a_class_leads_to_its_pack(hub, ask):
    classes, packs = ask(classes=["GoodNode", "NoNode", "Odd / Näme (x)"])
    assert classes == [
        {"class": "GoodNode", "pack": "good-pack", "error": None},
        {"class": "NoNode", "pack": None, "error": "the registry knows no pack with this class"},
        {"class": "Odd / Näme (x)", "pack": "good-pack", "error": None},
    ]
    assert packs == [
        {
            "id": "good-pack",
            "name": "Good_Pack",
            "title": "good-pack for everyone",
            "publisher": "example",
            "repository": "https://github.com/Example/Good_Pack",
            "install_type": "git-clone",
            "latest": {
                "version": "1.2.0",
                "status": "active",
                "download_url": "https://cdn.example.com/1.2.0/node.zip",
                "deprecated": False,
                "dependencies": ["pillow>=10.3.0"],
                "warnings": [],
                "error": None,
            },
            "versions": [],
            "classes": ["GoodNode", "Odd / Näme (x)"],
            "warnings": [],
            "error": None,
        }
    ]
    assert hub.paths.count("/nodes/good-pack") == 1


def test_an_id_is_found_in_any_case_and_once(hub, ask):
    _classes, packs = ask("Good-Pack", "good-pack", classes=["GoodNode"])
    assert [(pack["id"], pack["classes"]) for pack in packs] == [("good-pack", ["GoodNode"])]
    assert hub.installations == 0


def test_versions_are_asked_for_together(hub, ask_one):
    hub.versions[("good-pack", "1.0.0")] = registry_version("1.0.0")
    hub.versions[("good-pack", "1.1.0")] = registry_version("1.1.0", "Flagged", deprecated=True)
    hub.versions[("good-pack", "1.1.1")] = registry_version("1.1.1", "Banned")
    pack = ask_one("good-pack@1.0.0", "good-pack@1.1.0", "good-pack@1.1.1", "good-pack@9", "good-pack@../x", "good-pack@")
    assert [(each["version"], each["status"], each["error"]) for each in pack["versions"]] == [
        ("1.0.0", "active", None),
        ("1.1.0", "flagged", None),
        ("1.1.1", "unknown", "the registry has banned version 1.1.1"),
        ("9", "unknown", "the registry has no version 9"),
        ("../x", "unknown", "no version has such a name"),
        ("", "unknown", "no version has such a name"),
    ]
    assert pack["versions"][1]["warnings"] == ["the registry calls version 1.1.0 flagged", "version 1.1.0 is deprecated"]
    assert pack["versions"][2]["download_url"] is None
    assert hub.paths.count("/bulk/nodes/versions") == 1


@pytest.mark.parametrize("status", ["NodeStatusBanned", "NodeStatusDeleted"])
def test_a_pack_that_the_registry_refuses_is_refused_with_its_versions(hub, ask_one, status):
    hub.nodes["bad-pack"] = registry_node("bad-pack", status=status)
    hub.versions[("bad-pack", "1.0.0")] = registry_version("1.0.0")
    pack = ask_one("bad-pack@1.0.0")
    assert pack["error"].startswith("the registry has ") and pack["versions"][0]["error"] == pack["error"]
    assert "https://" not in json.dumps(pack)


@pytest.mark.parametrize(
    "status, latest, warning",
    [
        ("Flagged", True, "the registry calls version 1.2.0 flagged"),
        ("Pending", True, "the registry calls version 1.2.0 pending"),
        ("Invented", True, "the registry calls version 1.2.0 unknown"),
        ("Banned", False, "its latest version cannot be had: the registry has banned version 1.2.0"),
        ("Deleted", False, "its latest version cannot be had: the registry has deleted version 1.2.0"),
    ],
)
def test_a_doubtful_version_is_a_warning_and_a_refused_one_is_left_out(hub, ask_one, status, latest, warning):
    hub.nodes["new-pack"] = registry_node("new-pack", latest_version=registry_version("1.2.0", status))
    pack = ask_one("new-pack")
    assert (pack["latest"] is not None, pack["warnings"], pack["error"]) == (latest, [warning], None)


@pytest.mark.parametrize(
    "given, repository",
    [
        ("git clone https://github.com/Example/Pack", "https://github.com/Example/Pack"),
        ("https://gitlab.com/a/b/c.git", "https://gitlab.com/a/b/c"),
        ("https://github.com/only-an-owner", None),
        ("https://evil.example/a/b", None),
        ("https://token@github.com/a/b", None),
        ("file:///etc", None),
        ("ext::sh -c id", None),
        ("https://github.com/a/..", None),
        (7, None),
    ],
)
def test_only_a_repository_that_can_be_cloned_safely_is_named(hub, ask_one, given, repository):
    hub.nodes["p"] = registry_node("p", repository=given)
    pack = ask_one("p")
    assert (pack["repository"], pack["install_type"]) == (repository, "git-clone" if repository else "cnr")
    assert bool(pack["warnings"]) is (repository is None)


@pytest.mark.parametrize("url", ["http://cdn.example.com/x", "https://127.0.0.1/x", "https://localhost/x", "file:///x", "https://", "x", "https://[x"])
def test_an_archive_at_a_refused_address_is_left_out(hub, ask_one, url):
    hub.nodes["p"] = registry_node("p", repository="", latest_version=registry_version("1.0", downloadUrl=url))
    pack = ask_one("p")
    assert (pack["latest"]["download_url"], pack["install_type"]) == (None, None)
    assert pack["warnings"] == ["the archive of version 1.0 has an address that is refused"]


@pytest.mark.parametrize("pack_id", ["", "..", "../nodes", "a/b", "a b", "a?b", "ä", "x" * 101, "-x"])
def test_an_id_that_no_pack_has_is_not_asked_about(hub, ask_one, pack_id):
    assert ask_one(pack_id)["error"] == "no pack has such an id"
    assert hub.requests == []


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a\nb", "x" * 256])
def test_a_class_that_nobody_has_is_not_asked_about(hub, ask, name):
    assert ask(classes=[name])[0][0]["error"] == "no class has such a name"
    assert hub.requests == []


def test_failures_are_listed_by_name(ask):
    classes, packs = ask("none", "good-pack@9", classes=["NoNode", "GoodNode"])
    assert describe_failures(classes, packs) == (
        "3 questions about packs have no usable answer:\nNoNode: the registry knows no pack with this class\n"
        "none: the registry knows no such pack\ngood-pack 9: the registry has no version 9"
    )
    assert describe_failures(*ask(classes=["GoodNode"])) is None


NAMES = ["id", "status", "repository", "latest_version", "version", "publisher", "node_versions", "identifier", "node_version"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(node=JSON, by_class=JSON, versions=JSON)
def test_no_answer_is_an_exception(ask, script, node, by_class, versions):
    node = {**node, "id": "p"} if isinstance(node, dict) else node
    answers = {"GET /nodes/p": node, "GET /comfy-nodes/C/node": by_class, "POST /bulk/nodes/versions": versions}
    script.answers.update({key: json.dumps(answer).encode() for key, answer in answers.items()})
    classes, packs = ask("p@1", classes=["C"], url=script.url)
    json.dumps([classes, packs])
    assert all(row["error"] is None or row["latest"] is None for row in packs)


@pytest.fixture(name="script")
def fixture_script():
    with scripted_server({}) as server:
        yield server
