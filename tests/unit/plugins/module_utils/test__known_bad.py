# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re
from datetime import date

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._data.known_bad import PACK, PACKAGE, REFUSE, ROWS, WARN
from ansible_collections.emprops.comfyui.plugins.module_utils._known_bad import bad_packages, judge_pack, refused_packages
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.kind} {row.name}" for row in ROWS])
def test_every_row_says_where_it_comes_from_and_can_match_something(row):
    assert row.kind in (PACKAGE, PACK) and row.verdict in (REFUSE, WARN)
    assert re.fullmatch(r"https://[^/\s]+/\S+", row.source)
    assert date(2024, 1, 1) < date.fromisoformat(row.read)
    assert row.what and row.what[-1] not in "." and "\n" not in row.what
    for versions in row.versions:
        SpecifierSet(versions)
        # What the functions understand, which is less.
        assert re.fullmatch(r"(==|<|>=)[0-9.]+(,(==|<|>=)[0-9.]+)*", versions)
    if row.kind == PACKAGE:
        assert row.name == canonicalize_name(row.name)
        assert row.versions and all(re.fullmatch(r"==[0-9.]+", version) for version in row.versions)
    else:
        assert row.repositories or row.cnr_ids
        assert all(re.fullmatch(r"[\w.-]+/[\w.-]+", one) and not one.endswith(".git") for one in row.repositories)
        assert all(one == one.lower() for one in row.cnr_ids)


def test_no_package_is_listed_twice():
    names = [row.name for row in ROWS if row.kind == PACKAGE]
    assert len(names) == len(set(names))


def test_the_resolver_gets_a_line_for_each_package_that_forbids_the_bad_versions_alone():
    lines = refused_packages()
    assert "ultralytics!=8.3.41,!=8.3.42,!=8.3.45,!=8.3.46" in lines
    requirements = {requirement.name: requirement.specifier for requirement in map(Requirement, lines)}
    assert len(requirements) == len(lines)
    assert [requirements["litellm"].contains(version) for version in ("1.82.6", "1.82.7", "1.82.8", "1.82.9")] == [True, False, False, True]


@pytest.mark.parametrize(
    "version, bad",
    [
        ("8.3.41", True),
        ("8.3.41.0", True),
        ("8.03.41", True),
        ("v8.3.41", True),
        ("0!8.3.41", True),
        ("8.3.41+cu128", True),
        ("8.3.40", False),
        ("8.3.410", False),
        ("8.3.4", False),
        ("8.3.41rc1", False),
        ("8.3.41.post1", False),
        ("1!8.3.41", False),
        ("unknown", False),
    ],
)
def test_a_bad_version_is_found_however_it_is_written_and_no_other(version, bad):
    said = bad_packages({"torch": "2.9.0", "ultralytics": version})
    assert bool(said) is bad
    if version != "unknown":
        assert SpecifierSet("==8.3.41", prereleases=True).contains(version) is bad
    if bad:
        assert said[0].startswith(f"ultralytics {version} is refused: these releases bring a crypto miner (https://github.com/ultralytics/")


def test_each_bad_package_of_a_resolution_is_named():
    said = bad_packages({"litellm": "1.82.8", "lightning": "2.6.3", "openai": "1.30.2", "numpy": "2.0.0"})
    assert [sentence.split(" is ")[0] for sentence in said] == ["litellm 1.82.8", "lightning 2.6.3"]
    assert bad_packages({}) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/AppleBotzz/ComfyUI_LLMVISION",
        "https://github.com/applebotzz/comfyui_llmvision.git",
        "https://GitHub.com/AppleBotzz/ComfyUI_LLMVISION.git/",
        "http://www.github.com/AppleBotzz//ComfyUI_LLMVISION/",
        "git@github.com:AppleBotzz/ComfyUI_LLMVISION.git",
        "ssh://git@ssh.github.com:443/AppleBotzz/ComfyUI_LLMVISION",
        "https://github.com/%41ppleBotzz/ComfyUI_LLMVISION",
        "https://mirror.example/https://github.com/AppleBotzz/ComfyUI_LLMVISION",
        "AppleBotzz/ComfyUI_LLMVISION",
    ],
)
def test_a_bad_repository_is_known_by_any_address(url):
    refusal, warning = judge_pack("innocent", url, None)
    assert "steal passwords" in refusal and "read on 2026-12-01" in refusal and warning is None


@pytest.mark.parametrize(
    "name, url, cnr_id, refused",
    [
        ("ComfyUI_LLMVISION", "https://github.com/somebody/else", None, True),
        ("comfyui_llmvision", "", "some-pack", True),
        ("anything", "", "upscaler-4k", True),
        ("anything", "", "LoneMilk-UpscalerNew-4k", True),
        ("Upscaler_4K", "https://github.com/somebody/Upscaler_4K", "upscaler", False),
        ("ComfyUI_LLMVISION-2", "https://github.com/AppleBotzz/ComfyUI_LLMVISION-2", None, False),
        ("pack", "https://github.com/notAppleBotzz/ComfyUI_LLMVISION", None, False),
        ("pack", "https://github.com/bmad4ever/comfyui_quilting", "quilting", False),
        ("pack", "https://github.com/bmad4ever/comfyui_bmad_nodes", None, True),
        ("pack", "", None, False),
        ("", "", "", False),
    ],
)
def test_a_pack_is_judged_by_its_id_and_its_folder_too_but_by_nothing_else(name, url, cnr_id, refused):
    refusal, warning = judge_pack(name, url, cnr_id)
    assert (refusal is not None, warning) == (refused, None)


@pytest.mark.parametrize(
    "version, warned",
    [
        (None, True),
        ("nightly", True),
        ("2.55.5", True),
        ("3.39.1", True),
        ("3.39.2", False),
        ("3.41", False),
        ("4.0", True),
        ("4.0.4", True),
        ("4.0.5", False),
        ("4.3", False),
    ],
)
def test_of_what_was_mended_one_is_warned_unless_the_version_is_known_to_be_later(version, warned):
    refusal, warning = judge_pack("ComfyUI-Manager", "https://github.com/ltdrdata/ComfyUI-Manager.git", None, version=version)
    assert (refusal, warning is not None) == (None, warned)


def test_most_packs_are_not_on_the_list():
    assert judge_pack("ComfyUI-KJNodes", "https://github.com/kijai/ComfyUI-KJNodes", "comfyui-kjnodes") == (None, None)
