# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import parse_catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._core_nodes import builtins, parse_object_info
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_packs import Evidence, PackResolver, class_problem, needed_version
from support.workflows import GITHUB, UNDEFINED, sample_registry

BOATS = f"{GITHUB}/maker/ComfyUI-Boats"
FORK = {"name": "ComfyUI-Boats", "url": f"{GITHUB}/us/ComfyUI-Boats-forked"}


def judge(classes, *, version=None, object_info=None, packs=(), **options):
    """Verdicts by class; `classes` is what a node of each declares."""
    resolver = PackResolver(
        builtins=builtins(version),
        object_info=parse_object_info(object_info) if object_info is not None else None,
        catalogue=parse_catalogue({"custom_nodes": list(packs)}),
        registry=sample_registry(),
        **{"ambiguous": "best", "allow_unlisted": False, **options},
    )
    return resolver.judge({name: evidence(properties) for name, properties in classes.items()})


def evidence(*declared):
    """What nodes of one class declare together."""
    found = Evidence("1")
    for properties in declared:
        found.add(properties)
    return found


def verdict(name, properties=(), **options):
    return judge({name: dict(properties)}, **options)[name]


def chosen(*args, **options):
    """(kind, repository) of one class."""
    found = verdict(*args, **options)
    return found.kind, found.choice.repository if found.choice else None


@pytest.mark.parametrize(
    "name, properties, expected",
    [
        pytest.param("KSampler", {}, ("builtin", None), id="builtin-though-a-pack-claims-it"),
        pytest.param("VAELoader", {}, ("builtin", None), id="builtin-though-a-pattern-fits"),
        pytest.param("Harbour", {}, ("pack", BOATS), id="only-one-claims-it"),
        pytest.param("Sail", {}, ("pack", BOATS), id="a-blank-in-the-list"),
        pytest.param("Sail ", {}, ("pack", BOATS), id="a-blank-in-the-workflow"),
        pytest.param("Blade (rowing)", {}, ("pack", f"{GITHUB}/maker/rowing"), id="only-a-pattern"),
        pytest.param("Boat", {}, ("pack", BOATS), id="most-stars"),
        pytest.param("Boat", {"cnr_id": "boats-again"}, ("pack", f"{GITHUB}/copycat/boats-again"), id="declared-by-repository-name"),
        pytest.param("Boat", {"cnr_id": "BOATS"}, ("pack", BOATS), id="declared-by-id-in-capitals"),
        pytest.param("Boat", {"cnr_id": "comfyui_boats"}, ("pack", BOATS), id="declared-with-other-punctuation"),
        pytest.param("Unheard", {"cnr_id": "boats"}, ("pack", BOATS), id="declared-and-in-no-list"),
        pytest.param("Boat", {"aux_id": "copycat/boats-again"}, ("pack", f"{GITHUB}/copycat/boats-again"), id="declared-by-repository"),
        pytest.param("Unheard", {}, ("unresolved", None), id="nobody"),
        pytest.param(UNDEFINED, {}, ("unresolved", None), id="an-undefined-subgraph"),
        pytest.param("workflow/lost", {}, ("unresolved", None), id="an-undefined-group"),
        pytest.param("## old [abc]", {}, ("unresolved", None), id="an-old-component"),
        pytest.param("Note", {}, ("frontend", None), id="note"),
        pytest.param("Reroute", {}, ("frontend", None), id="reroute"),
        pytest.param("PrimitiveNode", {}, ("frontend", None), id="primitive"),
    ],
)
def test_evidence_is_believed_in_its_order(name, properties, expected):
    assert chosen(name, properties) == expected


@pytest.mark.parametrize("name", ["GetNode", "SetNode", "Fast Groups Muter (rgthree)", "Label (rgthree)", "Bookmark (rgthree)"])
def test_nodes_that_only_the_editor_needs_are_told_apart(name):
    found = verdict(name, {"cnr_id": "comfyui-kjnodes"})
    assert found.kind == "frontend"
    assert found.choice is not None


def test_a_stale_id_on_a_builtin_is_told_of_and_does_no_harm():
    found = verdict("ConditioningConcat", {"cnr_id": "boats"})
    assert (found.kind, found.choice, found.finding[0]) == ("builtin", None, "misdeclared")
    assert verdict("ConditioningConcat", {"cnr_id": "comfy-core"}).finding is None


@pytest.mark.parametrize("name", ["Boat", "Kayak", "Unheard"])
def test_a_class_that_is_declared_as_comfyuis_own_is_never_a_packs(name):
    found = verdict(name, {"cnr_id": "comfy-core", "ver": "99.0.0"}, version="0.3.64")
    assert (found.kind, found.choice) == ("too_new", None)


def test_a_class_of_another_version_is_too_new_and_never_a_packs():
    newer = "LatentUpscaleModelLoader"
    assert verdict(newer).kind == "builtin"
    found = verdict(newer, version="0.3.12")
    assert (found.kind, found.choice) == ("too_new", None)
    assert "needs ComfyUI" in found.words


def test_the_running_instance_stands_above_all():
    object_info = {
        "KSampler": {"python_module": "nodes", "input": {}},
        "Boat": {"python_module": "custom_nodes.ComfyUI-Boats", "input": {}},
        "Private": {"python_module": "custom_nodes.private-pack", "input": {}},
        "NewerThanAll": {"python_module": "comfy_extras.nodes_new", "input": {}},
    }
    found = judge(
        {"KSampler": {}, "Boat": {"cnr_id": "boats-again"}, "Private": {}, "NewerThanAll": {"cnr_id": "boats"}},
        object_info=object_info,
    )
    assert {name: one.kind for name, one in found.items()} == {
        "KSampler": "builtin",
        "Boat": "pack",
        "Private": "pack",
        "NewerThanAll": "builtin",
    }
    assert (found["Boat"].choice.repository, found["Boat"].choice.installed) == (BOATS, True)
    assert (found["Private"].choice.name, found["Private"].choice.repository, found["Private"].choice.sure) == ("private-pack", None, True)


@pytest.mark.parametrize("ambiguous", ["best", "best_any"])
@pytest.mark.parametrize("name", ["LatentUpscaleModelLoader", "VAELoader", "VAEDecode"])
def test_a_class_of_comfyuis_own_that_the_instance_does_not_have_is_never_a_packs(name, ambiguous):
    found = verdict(name, object_info={"KSampler": {"python_module": "nodes", "input": {}}}, ambiguous=ambiguous)
    assert (found.kind, found.choice) == ("too_new", None)


def test_what_the_instance_does_not_have_may_be_a_packs():
    object_info = {"KSampler": {"python_module": "nodes", "input": {}}}
    assert chosen("Harbour", object_info=object_info) == ("pack", BOATS)
    assert verdict("Harbour", object_info=object_info).choice.installed is False


def test_a_class_in_the_catalogue_is_that_packs_whatever_is_declared():
    pack = {"name": "own", "url": f"{GITHUB}/us/own", "classes": ["Boat"]}
    found = verdict("Boat", {"cnr_id": "boats"}, packs=[pack])
    assert (found.choice.name, found.choice.repository, found.choice.sure) == ("own", f"{GITHUB}/us/own", True)


@pytest.mark.parametrize(
    "name, properties",
    [
        pytest.param("Boat", {}, id="by-stars"),
        pytest.param("Harbour", {}, id="by-the-list"),
        pytest.param("Boat", {"cnr_id": "boats"}, id="declared"),
        pytest.param("Boat", {"aux_id": "maker/ComfyUI-Boats"}, id="declared-by-repository"),
    ],
)
@pytest.mark.parametrize("folder", ["ComfyUI-Boats", "comfyui-boats"])
def test_a_fork_in_the_catalogue_takes_the_packs_place(name, properties, folder):
    found = verdict(name, properties, packs=[{**FORK, "name": folder}])
    assert (found.choice.name, found.choice.repository) == (folder, FORK["url"])


def test_of_several_the_one_in_the_catalogue_is_meant():
    pack = {"name": "tugs-too", "url": f"{GITHUB}/copycat/tugs-too"}
    assert chosen("Tug", packs=[pack], ambiguous="fail") == ("pack", pack["url"])


@pytest.mark.parametrize(
    "name, fail, best, best_any",
    [
        pytest.param("Boat", None, BOATS, BOATS, id="a-clear-margin"),
        pytest.param("Tug", None, "low", f"{GITHUB}/maker/tugs", id="a-narrow-margin"),
        pytest.param("Float", None, "low", "any", id="no-stars"),
        pytest.param("Kayak", None, "low", f"{GITHUB}/lonely/kayak", id="only-one-that-few-people-use"),
        pytest.param("Buoy", None, "low", f"{GITHUB}/hidden/unrated", id="only-one-of-unknown-stars"),
        pytest.param("Harbour", BOATS, BOATS, BOATS, id="only-one"),
    ],
)
def test_the_operator_decides_what_doubt_does(name, fail, best, best_any):
    assert chosen(name, ambiguous="fail") == (("pack", fail) if fail else ("unresolved", None))
    found = verdict(name, ambiguous="best")
    if best == "low":
        assert found.kind == "unresolved" and found.choice is not None and not found.choice.sure
        assert found.suggestion == found.choice.repository and "claim" in found.words
    else:
        assert (found.kind, found.choice.repository, found.choice.sure) == ("pack", best, True)
    found = verdict(name, ambiguous="best_any")
    assert found.kind == "pack" and (best_any == "any" or found.choice.repository == best_any)


def test_all_candidates_are_told_with_the_best_first():
    choice = verdict("Boat").choice
    assert [pack.repository for pack in choice.candidates][:2] == [BOATS, f"{GITHUB}/copycat/boats-again"]


@pytest.mark.parametrize("ambiguous", ["fail", "best", "best_any"])
@pytest.mark.parametrize(
    "siblings",
    [
        pytest.param({"Anchor": {}}, id="another-class-of-its"),
        pytest.param({"Unheard": {"cnr_id": "boats-again"}}, id="a-declared-class"),
    ],
)
def test_a_pack_that_the_file_needs_anyway_is_the_one(siblings, ambiguous):
    found = judge({"Boat": {}, **siblings}, ambiguous=ambiguous)["Boat"]
    assert (found.kind, found.choice.repository, found.choice.how) == ("pack", f"{GITHUB}/copycat/boats-again", "sibling")


def test_a_sibling_in_another_file_says_nothing():
    resolver = PackResolver(
        builtins=builtins(None),
        object_info=None,
        catalogue=parse_catalogue({}),
        registry=sample_registry(),
        ambiguous="best",
        allow_unlisted=False,
    )
    both = {"Boat": evidence(), "Anchor": evidence()}
    assert resolver.judge(both)["Boat"].choice.repository == f"{GITHUB}/copycat/boats-again"
    assert resolver.judge({"Boat": evidence()})["Boat"].choice.repository == BOATS


def test_a_doubtful_sibling_decides_nothing():
    found = judge({"Float": {}, "Buoy": {}})["Float"]
    assert found.kind == "unresolved"


@pytest.mark.parametrize(
    "properties, allow, expected",
    [
        pytest.param({"aux_id": "stranger/evil"}, False, ("unresolved", None), id="repository"),
        pytest.param({"aux_id": "stranger/evil"}, True, ("pack", f"{GITHUB}/stranger/evil"), id="repository-allowed"),
        pytest.param({"cnr_id": "evil-pack"}, False, ("unresolved", None), id="id"),
        pytest.param({"cnr_id": "evil-pack"}, True, ("unresolved", None), id="an-id-is-no-repository"),
    ],
)
def test_a_pack_that_only_the_workflow_names_is_not_taken_unless_allowed(properties, allow, expected):
    found = verdict("Unheard", properties, allow_unlisted=allow)
    assert (found.kind, found.choice.repository if found.choice else None) == expected
    assert found.finding[0] == "unlisted_pack"
    assert found.choice is None or not found.choice.sure


def test_an_unlisted_repository_does_not_take_a_listed_class_from_its_pack():
    found = verdict("Harbour", {"aux_id": "stranger/evil"})
    assert found.choice is None or found.choice.repository == BOATS


def test_an_unlisted_repository_that_the_catalogue_has_is_the_operators():
    pack = {"name": "evil", "url": f"{GITHUB}/us/evil"}
    assert chosen("Unheard", {"aux_id": "stranger/evil"}, packs=[pack]) == ("pack", pack["url"])


@pytest.mark.parametrize(
    "properties",
    [
        {"aux_id": "../../etc"},
        {"aux_id": "a/b/c"},
        {"aux_id": "https://evil.example/a/b"},
        {"aux_id": "-oProxyCommand=x/y"},
        {"aux_id": "owner/{{ x }}"},
        {"aux_id": "owner/re po"},
        {"aux_id": "owner/.."},
        {"aux_id": "owner/."},
        {"aux_id": "owner/.git"},
        {"aux_id": "owner/repo\n"},
        {"aux_id": 5},
        {"aux_id": ["a/b"]},
        {"cnr_id": "a b"},
        {"cnr_id": "../x"},
        {"cnr_id": "{{ x }}"},
        {"cnr_id": ""},
        {"cnr_id": {"x": 1}},
    ],
    ids=str,
)
def test_a_declared_identity_that_cannot_be_one_is_passed_over(properties):
    found = verdict("Unheard", properties, allow_unlisted=True)
    assert (found.kind, found.choice, found.finding) == ("unresolved", None, None)


def test_versions_are_kept_by_identity():
    found = evidence(
        {"cnr_id": "Boats", "ver": "1.0.0"},
        {"cnr_id": "boats", "ver": "2.0.0"},
        {"cnr_id": "comfy-core", "ver": "0.3.64"},
        {"cnr_id": "boats", "ver": "{{ x }}"},
        {"cnr_id": "boats", "ver": 5},
        {"cnr_id": "boats", "ver": ["x"]},
    )
    assert found.versions == {"boats": {"1.0.0", "2.0.0"}, "comfy-core": {"0.3.64"}}


@pytest.mark.parametrize(
    "name, fine",
    [
        ("KSampler", True),
        ("Power Lora Loader (rgthree)", True),
        ("Тест $x & é | //Inspire", True),
        ("", False),
        ("  ", False),
        ("x" * 257, False),
        ("a\nb", False),
        ("a\x00b", False),
        ("{{ x }}", False),
        ("{% x %}", False),
        ("{# x #}", False),
    ],
)
def test_what_cannot_be_a_class_is_known(name, fine):
    assert (class_problem(name) == "") is fine


@pytest.mark.parametrize(
    "versions, expected",
    [([], None), (["0.3.64"], "0.3.64"), (["0.10.0", "0.9.0"], "0.9.0"), (["1a2b3c"], None), (["0.3.64", "nightly"], "0.3.64")],
)
def test_the_lowest_version_that_had_a_class_is_enough(versions, expected):
    assert needed_version(versions) == expected
