# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
import yaml
from ansible_collections.emprops.comfyui.plugins.module_utils._model_paths import (
    ModelPathsError,
    check_model_paths,
    check_relative,
    render_model_paths,
)


def test_the_file_is_one_section_of_text_values():
    text = render_model_paths({"checkpoints": ["models/checkpoints"], "clip": ["models/text_encoders", "models/clip"]}, "/workspace/shared")
    assert yaml.safe_load(text) == {
        "comfyui": {
            "base_path": "/workspace/shared",
            "is_default": True,
            "checkpoints": "models/checkpoints",
            # ComfyUI puts one default folder before the other, so the last one is where new files go.
            "clip": "models/clip\nmodels/text_encoders\n",
        }
    }


@pytest.mark.parametrize(
    "folders, expected",
    [
        pytest.param("models/loras", "models/loras", id="one folder need not be a list"),
        pytest.param("models/loras/", "models/loras", id="a slash at the end goes"),
        pytest.param(["models/1.0"], "models/1.0", id="a name like a number"),
        pytest.param(["yes"], "yes", id="a name like a boolean"),
        pytest.param(['my "own" loras: best #1'], 'my "own" loras: best #1', id="quotes, colons and blanks"),
        pytest.param(["modelle/Größe"], "modelle/Größe", id="other alphabets"),
        pytest.param(["models/loras", "models/loras/"], "models/loras", id="the same folder twice is one"),
    ],
)
def test_a_folder_comes_out_as_it_went_in(folders, expected):
    assert yaml.safe_load(render_model_paths({"loras": folders}, "/srv"))["comfyui"]["loras"] == expected


@pytest.mark.parametrize(
    "table, message",
    [
        pytest.param({}, "empty", id="no types"),
        pytest.param({"loras": []}, "loras: it has no folder", id="no folders"),
        pytest.param({"loras": None}, "loras: it has no folder", id="null"),
        pytest.param({"loras": [7]}, "loras: a path must be text, not a number", id="a number"),
        pytest.param({"loras": [None]}, "loras: a path must be text, not null", id="null in a list"),
        pytest.param({"loras": [""]}, "loras: '' is no path", id="an empty path"),
        pytest.param({"loras": ["../secrets"]}, "loras: '../secrets' does not lead straight down", id="upwards"),
        pytest.param({"loras": ["/etc"]}, "loras: '/etc' is no relative path", id="absolute"),
        pytest.param({"loras": ["~/x"]}, "loras: '~/x' is no relative path", id="a home"),
        pytest.param({"loras": ["$HOME"]}, "no relative path", id="a variable"),
        pytest.param({"lo ras": ["x"]}, "lo ras: this cannot be the name", id="a blank in a type"),
        pytest.param({"x: y": ["x"]}, "cannot be the name", id="YAML in a type"),
        pytest.param({"on": ["x"]}, "cannot be the name", id="a type that YAML reads as true"),
        pytest.param({"custom_nodes": ["x"]}, "custom_nodes: this is no type of model", id="code"),
        pytest.param({"output": ["x"], "user": ["x"]}, "output: .*\nuser: ", id="all problems at once"),
        pytest.param({"base_path": ["x"]}, "base_path: this is no type", id="an option"),
    ],
)
def test_a_table_that_comfyui_cannot_use_is_refused(table, message):
    with pytest.raises(ModelPathsError, match=message):
        render_model_paths(table, "/srv")


@pytest.mark.parametrize("base", ["", "shared", "/srv\nx", "$HOME", None])
def test_the_base_path_is_absolute(base):
    with pytest.raises(ModelPathsError, match="base path"):
        render_model_paths({"loras": ["x"]}, base)


def test_the_owners_file_passes_with_warnings():
    section = {"base_path": "/workspace/ComfyUI", "is_default": True, "loras": "models/loras/\nmodels/more/\n", "custom_nodes": "c/"}
    assert check_model_paths({"comfyui": section}, "/workspace/shared") == [
        "comfyui.custom_nodes is no type of model; ComfyUI runs the code in there",
        "no section has /workspace/shared as its base_path, so the models there are not found",
    ]
    assert check_model_paths({"a": {"base_path": "/srv/", "loras": "l"}}, "/srv") == []


@pytest.mark.parametrize(
    "data, message",
    [
        pytest.param(None, "not null; ComfyUI crashes", id="an empty file"),
        pytest.param({}, "not nothing", id="no section"),
        pytest.param([], "not nothing", id="a list"),
        pytest.param({"a": None}, "a: a section must hold paths by type, not null", id="an empty section"),
        pytest.param({"a": {"loras": None}}, "a.loras: must be text with a path, not null", id="null"),
        pytest.param({"a": {"loras": ""}}, "a.loras: must be text with a path, not nothing", id="nothing"),
        pytest.param({"a": {"loras": " \n"}}, "a.loras: must be text", id="blanks"),
        pytest.param({"a": {"loras": ["x", "y"]}}, "a.loras: must be text with a path, not a list", id="a list of paths"),
        pytest.param({"a": {"loras": True}}, "a.loras: must be text with a path, not true or false", id="a boolean"),
        pytest.param({"a": {True: "x"}}, "a.True: this cannot be the name", id="a key that YAML reads as true"),
        pytest.param({"a": {"loras": "../../etc"}}, "a.loras: '../../etc' does not", id="upwards"),
        pytest.param({"a": {"loras": "x\n/etc"}}, "a.loras: '/etc' is no relative", id="absolute in a second line"),
        pytest.param({"a": {"base_path": "~"}}, "a.base_path: '~' is no absolute path", id="a home"),
        pytest.param({"a": {"is_default": "yes"}}, "a.is_default: must be true or false", id="a word for true"),
        pytest.param({"a": {"x": None}, "b": {"y": []}}, "a.x.*\nb.y", id="all problems at once"),
    ],
)
def test_a_file_that_comfyui_crashes_on_is_refused(data, message):
    with pytest.raises(ModelPathsError, match=message):
        check_model_paths(data)


@pytest.mark.parametrize(
    "path", ["", ".", "..", "/", "a//b", "a/./b", "a/../b", "a/..", "\\\\server", "a\nb", " a", "a ", "a\0b", None, 3, ["a"], {}]
)
def test_a_path_that_does_not_stay_below_is_refused(path):
    with pytest.raises(ModelPathsError):
        check_relative(path)
