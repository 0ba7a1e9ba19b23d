# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from ansible_collections.emprops.comfyui.plugins.filter import check_model_paths, render_model_paths

CHECK = check_model_paths.FilterModule().filters()["check_model_paths"]
RENDER = render_model_paths.FilterModule().filters()["render_model_paths"]


def test_what_is_rendered_passes_the_check_without_a_warning(monkeypatch):
    warned = []
    monkeypatch.setattr(Display, "warning", lambda _self, text: warned.append(text))
    text = RENDER({"loras": ["models/loras"], "clip": ["models/text_encoders", "models/clip"]}, "/srv")
    assert CHECK(text, "ours", "/srv") == text
    assert warned == []


def test_oddities_become_warnings_that_name_the_file(monkeypatch):
    warned = []
    monkeypatch.setattr(Display, "warning", lambda _self, text: warned.append(text))
    text = "a:\n  base_path: /srv\n  output: o/\n"
    assert CHECK(text, "comfy_dir_config.yaml", "/srv") == text
    assert warned == ["comfy_dir_config.yaml: a.output is no type of model"]


@pytest.mark.parametrize(
    "text, message",
    [
        pytest.param("", "comfy.yaml cannot be used:\nthe file must hold", id="nothing in it"),
        pytest.param("a: [", "comfy.yaml cannot be used:\nwhile parsing", id="no YAML"),
        pytest.param("a: !!python/object/apply:os.getpid []", "comfy.yaml cannot be used:\ncould not determine a constructor", id="code"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(text, message):
    with pytest.raises(AnsibleFilterError) as failure:
        CHECK(text, "comfy.yaml")
    assert message in str(failure.value)


def test_a_bad_table_is_told_in_words():
    with pytest.raises(AnsibleFilterError, match="loras: it has no folder"):
        RENDER({"loras": []}, "/srv")
