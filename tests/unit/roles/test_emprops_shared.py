# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
import yaml
from ansible_collections.emprops.comfyui.plugins.module_utils._model_paths import render_model_paths

ROLE = Path(__file__).parents[3] / "roles/emprops_shared"


@pytest.mark.parametrize("text", ["-----BEGIN\nabc\n-----END", "-----BEGIN\nabc\n-----END\n", "\r\n-----BEGIN\r\nabc\r\n-----END\r\n\r\n"])
def test_a_key_gets_the_line_breaks_that_ssh_wants(text):
    tasks = yaml.safe_load((ROLE / "tasks/keys.yml").read_text())
    content = next(task["ansible.builtin.copy"]["content"] for task in tasks if task["name"] == "keys | Install the deploy key")
    template = jinja2.Environment(keep_trailing_newline=True, autoescape=False).from_string(content)  # noqa: S701 (no web page)
    assert template.render(__emprops_shared_key=text) == "-----BEGIN\nabc\n-----END\n"


def test_the_table_of_the_defaults_is_one_that_comfyui_can_use():
    table = yaml.safe_load((ROLE / "defaults/main.yml").read_text())["emprops_shared_model_paths"]
    paths = yaml.safe_load(render_model_paths(table, "/workspace/shared"))["comfyui"]
    assert paths["clip"].splitlines()[-1] == paths["text_encoders"].splitlines()[-1] == "text_encoders"
    assert all(isinstance(value, str) for name, value in paths.items() if name != "is_default")
