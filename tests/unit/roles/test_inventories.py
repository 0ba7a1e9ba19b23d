# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""An inventory says what its machines should be in words that some role listens to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[3]
ROLES = [path.parents[1].name for path in CHECKOUT.glob("roles/*/defaults/main.yml")]
DEFAULTS = "".join(path.read_text(encoding="utf-8") for path in CHECKOUT.glob("roles/*/defaults/main.yml"))
FILES = sorted(CHECKOUT.glob("inventories/*/group_vars/all/*.yml"))


def _set_in(path):
    """Variables that a file sets or, in a comment, shows how to set."""
    return re.findall(r"^(?:# )?([a-z]\w*):(?: |$)", path.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parents[2].name}/{path.name}")
def test_a_file_sets_the_variables_of_the_role_that_it_is_named_after(path):
    names = _set_in(path)
    assert names
    assert [name for name in names if not re.match(rf"{path.stem}(_|$)", name)] == []
    if path.stem != "sandbox":
        assert [name for name in names if not re.search(rf"\b{name}\b", DEFAULTS)] == []


@pytest.mark.parametrize("path", sorted(CHECKOUT.glob("inventories/*/hosts.yml")), ids=lambda path: path.parent.name)
def test_a_machine_gets_every_role_by_being_in_the_group_of_its_name(path):
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))
    with_group = [role for role in ROLES if role not in ("preflight", "workspace", "node_registry")]  # the last is the controller's
    assert {name for name in groups if name != "comfyui"} == set(with_group)
    assert all(groups[name] == {"children": {"comfyui": None}} for name in with_group)
