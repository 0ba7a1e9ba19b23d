# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A role's documented options and its defaults are one interface, told twice: they must agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROLES = sorted(path for path in Path(__file__).parents[3].glob("roles/*") if path.is_dir())


def _load(path):
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def _options(role):
    return _load(role / "meta/argument_specs.yml")["argument_specs"]["main"].get("options", {})


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_match_the_argument_specs(role):
    documented = {name: option["default"] for name, option in _options(role).items() if "default" in option}
    assert documented == _load(role / "defaults/main.yml")


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_an_option_without_a_default_is_still_listed_among_the_defaults(role):
    text = (role / "defaults/main.yml").read_text(encoding="utf-8")
    assert [name for name in _options(role) if not re.search(rf"^(# )?{name}:", text, re.MULTILINE)] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_default_has_its_line_of_meaning(role):
    lines = (role / "defaults/main.yml").read_text(encoding="utf-8").splitlines()
    bare = [line for above, line in zip(lines, lines[1:], strict=False) if re.match(r"\w+:", line) and not above.startswith("# ")]
    assert bare == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_variable_carries_the_name_of_its_role(role):
    names = [*_load(role / "defaults/main.yml"), *_load(role / "vars/main.yml")]
    assert [name for name in names if not re.match(rf"(__)?{role.name}_", name)] == []


def test_preflight_assumes_what_the_owning_roles_default_to():
    owned = {name: value for role in ROLES for name, value in _load(role / "defaults/main.yml").items()}
    folder = next(role for role in ROLES if role.name == "preflight")
    text = "".join((folder / file).read_text(encoding="utf-8") for file in ("vars/main.yml", "tasks/main.yml"))
    assumed = {name: yaml.safe_load(value) for name, value in re.findall(r"(\w+) \| default\(('[^']*'|\d+|\[\])\)", text)}
    assert len(assumed) > 3
    assert {name: owned[name] for name in assumed if name in owned and "{{" not in str(owned[name])} == {
        name: value for name, value in assumed.items() if name in owned and "{{" not in str(owned[name])
    }
