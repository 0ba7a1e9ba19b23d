# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._ask_models import ask_models, model_sources, parse_models
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import DEFAULT_HOSTS
from support.hub_api import HubApi


@pytest.fixture(name="hub")
def fixture_hub():
    with HubApi() as hub:
        yield hub


@pytest.fixture(name="ask")
def fixture_ask(hub):
    """The rows of some models, asked about where the hub of the test is."""

    def ask(*models, url=hub.url, tokens=None, search=False, connections=2):
        questions = Questions(tokens or {}, 10, [*DEFAULT_HOSTS, url], pause=lambda _seconds: None)
        usual = {"name": "a.safetensors", "directory": "checkpoints"}
        rows = [model if isinstance(model, dict) else {**usual, "url": model} for model in models]
        return ask_models(parse_models(rows), model_sources(questions, url, url), questions, connections, search)

    return ask


@pytest.fixture(name="ask_one")
def fixture_ask_one(ask):
    def ask_one(url=None, name="a.safetensors", **values):
        options = {key: values.pop(key) for key in ("tokens", "search") if key in values}
        (row,) = ask({"name": name, "directory": "checkpoints", "url": url, **values}, **options)
        return row

    return ask_one
