# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: render_catalogue
short_description: Write what workflows need as a catalogue for the inventory
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Turns what M(emprops.comfyui.workflow_info) found into the text of a YAML file that sets C(comfyui_catalogue).
  - Rows that the catalogue has are kept as they are, in a stable order; comments are written anew.
  - A row is added where the evidence is strong. Where a person must decide, the possible rows are comments under the word DECIDE,
    without effect until somebody uncomments one.
  - Read the workflows without the catalogue for this, so that what they say about a row can stand beside it.
positional: catalogue
options:
  _input:
    description: What M(emprops.comfyui.workflow_info) returned.
    type: dict
    required: true
  catalogue:
    description: Text of the file as it is; empty where there is none.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Keep the catalogue
  ansible.builtin.copy:
    content: "{{ needed | emprops.comfyui.render_catalogue(text) }}"
    dest: inventories/lab/group_vars/all/catalogue.yml
    mode: "0644"
"""

RETURN = r"""
_value:
  description: Text of the file.
  type: str
"""

import json
import textwrap

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import SECTIONS, CatalogueError
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue_draft import draft_catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import printable

VARIABLE = "comfyui_catalogue"
HEADER = f"""\
---
# The custom-node packs and models that workflows need, reviewed by a person.
# Written by emprops.comfyui.write_catalogue; run it again when workflows change:
#   ansible-playbook emprops.comfyui.write_catalogue -e workflow_paths=<files, folders> -e workflow_catalogue_file=<this file>
# Rows stay as they are, comments are written anew: remarks of your own belong in a row's `note`.
# DECIDE: pick one of the rows below it, complete it, and take the "# " away from its lines.
# yamllint disable rule:line-length
{VARIABLE}:
"""


class _Tagged:
    """A value such as !unsafe or !vault, which only Ansible can read."""

    def __init__(self, node):
        self.tag, self.value, self.style = node.tag, node.value, node.style


class _Loader(yaml.SafeLoader):
    """The safe loader, which keeps Ansible's own tags."""


class _Dumper(yaml.SafeDumper):
    """The safe dumper, with the rows of lists indented and every value written out."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data):
        return True


def _represent_text(dumper, text):
    # Escaped, every kind of line break stays where it is when the rows are indented.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)
for _tag in ("!unsafe", "!vault"):
    _Loader.add_constructor(_tag, lambda _loader, node: _Tagged(node))
_Dumper.add_representer(_Tagged, lambda dumper, data: dumper.represent_scalar(data.tag, data.value, data.style))


def _render_catalogue(result, catalogue=""):
    try:
        previous = _read(catalogue)
        # Ansible's own kinds of text and lists become plain ones.
        sections = draft_catalogue(json.loads(json.dumps(result)), previous)
    except CatalogueError as error:
        raise AnsibleFilterError(f"the catalogue cannot be used: {error}") from error
    text = HEADER
    for name in SECTIONS:
        rows = "".join(_row(row) for row in sections[name])
        # A section of questions alone is null, so that uncommenting one of them is all there is to do.
        text += f"  {name}:{'' if rows else ' []'}\n{textwrap.indent(rows, '    ')}"
    more = {key: value for key, value in previous.items() if key not in SECTIONS}
    return text + (textwrap.indent(_dump(more), "  ") if more else "")


def _read(text):
    try:
        data = yaml.load(text, _Loader) or {}  # noqa: S506 - it is a safe loader
    except (yaml.YAMLError, RecursionError) as error:
        raise CatalogueError(f"it is not YAML: {error}") from error
    others = sorted(str(key) for key in data if key != VARIABLE) if isinstance(data, dict) else ["no variables"]
    if others:
        raise CatalogueError(f"its file is to hold {VARIABLE} and nothing else; it holds {', '.join(others)}")
    previous = data.get(VARIABLE) or {}
    if not isinstance(previous, dict):
        raise CatalogueError(f"{VARIABLE} is no object")
    return previous


def _row(row):
    comments = "".join(f"# {_comment(text)}\n" for text in row.comments)
    entries = "".join(_dump([entry]) for entry in row.entries)
    return comments + (textwrap.indent(entries, "# ", lambda _line: True) if row.open else entries)


def _comment(text):
    return "".join(character if character.isprintable() else "\ufffd" for character in printable(text))


def _dump(data):
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))


class FilterModule:
    def filters(self):
        return {"render_catalogue": _render_catalogue}
