# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_graph import Graph
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_models import ModelReader, addresses_in, find_secrets, note_texts
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import DEFAULT_HOSTS
from support.workflows import HUB, INSIDE, api, call, document, inner_link, link, node, slot, subgraph, ui, widget

CHECKPOINT = "CheckpointLoaderSimple"
POWER = "Power Lora Loader (rgthree)"
DOWNLOADER = "EmProps_Asset_Downloader"
SHA256 = "ab" * 32
# Of the shape that Hugging Face gives out, and nobody's.
TOKEN = "hf_" + "aB3dE5gH7j" * 4


class Reading:
    """What was found in one document, and what was said about it."""

    def __init__(self, data, *, hosts=DEFAULT_HOSTS, allow_renames=False, combos=None):
        self.findings = []
        graph = Graph(document(data))
        reader = ModelReader(
            graph,
            lambda *finding: self.findings.append(finding),
            allowed_hosts=hosts,
            allow_renames=allow_renames,
            folder_of_combo=lambda kind, name: (combos or {}).get((kind, name)),
        )
        self.uses = list(reader.read(graph.nodes))
        find_secrets(graph.nodes, lambda *finding: self.findings.append(finding))

    @property
    def places(self):
        """directory/name of every model, the ones that were refused aside."""
        return [f"{use.directory or '?'}/{use.name}" for use in self.uses if not use.refused]

    @property
    def active_places(self):
        return [f"{use.directory or '?'}/{use.name}" for use in self.uses if not use.refused and use.active]

    @property
    def urls(self):
        return [use.url for use in self.uses]

    @property
    def kinds(self):
        return [finding[0] for finding in self.findings]

    @property
    def everything(self):
        return json.dumps([[vars(use) for use in self.uses], self.findings], default=str)


def loader(name="a.safetensors", kind=CHECKPOINT, **more):
    return node(kind, name, **more)


def declared(name="a.safetensors", url=f"{HUB}/a.safetensors", directory="checkpoints", **more):
    return {"models": [{"name": name, "url": url, "directory": directory, **more}]}


@pytest.mark.parametrize(
    "data, places",
    [
        pytest.param(ui(loader()), ["checkpoints/a.safetensors"], id="ui"),
        pytest.param(api(call(CHECKPOINT, ckpt_name="a.safetensors")), ["checkpoints/a.safetensors"], id="api"),
        pytest.param(ui(node(CHECKPOINT, widgets_values={"ckpt_name": "a.ckpt"})), ["checkpoints/a.ckpt"], id="values-by-name"),
        pytest.param(ui(node(CHECKPOINT, widgets_values=None)), [], id="no-values"),
        pytest.param(ui(node(CHECKPOINT, 5)), [], id="a-number"),
        pytest.param(ui(node(CHECKPOINT, None)), [], id="null"),
        pytest.param(ui(node(CHECKPOINT, [])), [], id="a-list"),
        pytest.param(ui(node("CheckpointLoader", "v1-inference.yaml", "a.ckpt")), ["checkpoints/a.ckpt"], id="config-is-shipped"),
        pytest.param(
            ui(node("DualCLIPLoader", "l.safetensors", "t5.safetensors", "flux", "default")),
            ["text_encoders/l.safetensors", "text_encoders/t5.safetensors"],
            id="two-names",
        ),
        pytest.param(ui(node("CLIPVisionLoader", "v.safetensors")), ["clip_vision/v.safetensors"], id="clip-vision"),
        pytest.param(ui(node("VAELoader", "taesd")), [], id="taesd-is-no-file"),
        pytest.param(ui(node("VAELoader", "taef1")), [], id="taef-is-no-file"),
        pytest.param(ui(node("VAELoader", "pixel_space")), [], id="pixel-space"),
        pytest.param(ui(node("LoraLoader", "None", 1, 1)), [], id="none"),
        pytest.param(ui(node("VAELoader", "Baked VAE")), [], id="baked"),
        pytest.param(ui(node("LoraLoader", "", 1, 1)), [], id="empty"),
        pytest.param(ui(node("KSampler", 1, "fixed", 20, 7, "euler", "normal", 1)), [], id="sampler-name"),
        pytest.param(ui(node("KSampler", 1, "fixed", 20, 7, "odd.pt", "normal", 1)), [], id="a-builtin-that-loads-nothing"),
        pytest.param(ui(node("LoadImage", "a.png", "image")), [], id="image"),
        pytest.param(ui(node("SaveImage", "a.safetensors")), [], id="prefix"),
        pytest.param(ui(node("LoraLoader", "XL\\a (v2) $x & é.safetensors", 1, 1)), ["loras/XL/a (v2) $x & é.safetensors"], id="odd"),
        pytest.param(ui(node("LoraLoader", " a.safetensors ", 1, 1)), ["loras/a.safetensors"], id="blanks-around"),
        pytest.param(ui(node("LoraLoader", "${lora:a.safetensors}", 1, 1)), [], id="a-placeholder-to-be-filled"),
    ],
)
def test_a_loader_names_the_file_and_its_folder(data, places):
    assert Reading(data).places == places


def test_a_preview_decoder_that_no_file_is_named_for_is_told_of():
    reading = Reading(ui(node("VAELoader", "taesdxl")))
    assert reading.kinds == ["implicit_models"]
    assert "vae_approx/taesdxl_encoder" in reading.findings[0][2] and "taesdxl_decoder" in reading.findings[0][2]


def test_positional_values_win_over_named_ones():
    named = {"ckpt_name": "named.safetensors"}
    assert Reading(ui(loader(widgets_values_named=named))).places == ["checkpoints/a.safetensors"]


@pytest.mark.parametrize(
    "origin, links, places, kinds",
    [
        pytest.param(node("Switch", id=2), [link(1, 2, 1)], [], ["stale_value"], id="stale"),
        pytest.param(node("PrimitiveNode", "a.safetensors", id=2), [link(1, 2, 1)], ["checkpoints/a.safetensors"], [], id="in-step"),
        pytest.param(node("Switch", id=2), [], ["checkpoints/a.safetensors"], [], id="the-link-is-gone"),
    ],
)
def test_a_linked_widget_shows_a_stale_value(origin, links, places, kinds):
    reading = Reading(ui(loader(inputs=[widget("ckpt_name", 1)]), origin, links=links))
    assert (sorted(set(reading.places)), reading.kinds) == (places, kinds)


def test_a_name_that_comes_from_a_text_is_looked_for_where_the_loader_looks():
    data = ui(loader("stale.pt", inputs=[widget("ckpt_name", 1)]), node("AText", "other.safetensors", id=2), links=[link(1, 2, 1)])
    assert "checkpoints/other.safetensors" in Reading(data).places
    assert "checkpoints/stale.pt" not in Reading(data).places


def test_a_name_that_comes_from_a_downloader_is_the_downloaders():
    data = ui(
        loader("stale.safetensors", inputs=[widget("ckpt_name", 1)]),
        node(DOWNLOADER, f"{HUB}/new.safetensors", "checkpoints", "new.safetensors", "", "", id=2),
        links=[link(1, 2, 1)],
    )
    reading = Reading(data)
    assert reading.places == ["checkpoints/new.safetensors"]
    assert reading.urls == [f"{HUB}/new.safetensors"]


def test_a_prompt_names_nothing_where_it_links():
    assert Reading(api(call(CHECKPOINT, ckpt_name=["2", 0]), call("Switch"))).places == []


def test_the_value_that_a_subgraph_shows_is_the_one_that_counts():
    inner = subgraph(
        INSIDE,
        loader("inner.safetensors", id=3, inputs=[widget("ckpt_name", 8)]),
        inputs=["name"],
        links=[inner_link(8, -10, 3)],
    )
    data = ui(node(INSIDE, "outer.safetensors", inputs=[widget("name")]), subgraphs=[inner])
    assert Reading(data).places == ["checkpoints/outer.safetensors"]


def test_a_value_that_comes_into_a_subgraph_along_a_link_is_not_what_its_widgets_show():
    inner = subgraph(
        INSIDE,
        loader("inner.safetensors", id=3, inputs=[widget("ckpt_name", 8)]),
        inputs=["name"],
        links=[inner_link(8, -10, 3)],
    )
    instance = node(INSIDE, "outer.safetensors", inputs=[widget("name", 1)])
    assert Reading(ui(instance, node("Switch", id=20), links=[link(1, 20, 1)], subgraphs=[inner])).places == []


ROW = {"on": True, "lora": "a.safetensors", "strength": 1}
OFF = {"on": False, "lora": "b.safetensors", "strength": 1}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ui(node(POWER, {}, {"type": "PowerLoraLoaderHeaderWidget"}, ROW, OFF, {}, "")), id="ui"),
        pytest.param(api(call(POWER, PowerLoraLoaderHeaderWidget={"type": "x"}, lora_1=ROW, lora_2=OFF, model=["4", 0])), id="api"),
    ],
)
def test_a_row_of_the_power_loader_can_be_off(data):
    reading = Reading(data)
    assert set(reading.places) == {"loras/a.safetensors", "loras/b.safetensors"}
    assert set(reading.active_places) == {"loras/a.safetensors"}


def test_a_power_loader_without_rows_names_nothing():
    assert Reading(ui(node(POWER, {}, {"type": "x"}, {"on": True, "lora": None}, {"on": True, "lora": "None"}, ""))).places == []


@pytest.mark.parametrize("kind", ["LoadLoraModel", "LoadLoraTextEncoder"])
def test_a_growing_list_of_loras_is_read_and_each_can_be_off(kind):
    inputs = {"loras.0.lora_name": "a.safetensors", "loras.0.enabled": True, "loras.1.lora_name": "b.safetensors", "loras.1.enabled": False}
    reading = Reading(api(call(kind, **inputs)))
    assert set(reading.places) == {"loras/a.safetensors", "loras/b.safetensors"}
    assert set(reading.active_places) == {"loras/a.safetensors"}


def downloader(url=f"{HUB}/a.safetensors", save_to="loras", filename="a.safetensors", provider="HF", token=""):
    return node(DOWNLOADER, url, save_to, filename, provider, token)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ui(downloader()), id="ui"),
        pytest.param(api(call(DOWNLOADER, url=f"{HUB}/a.safetensors", save_to="loras", filename="a.safetensors", token="")), id="api"),
        pytest.param(ui(downloader(url=f"{HUB.replace('/resolve/', '/blob/')}/a.safetensors?download=true")), id="page"),
        pytest.param(ui(downloader(filename=" a.safetensors")), id="blank"),
    ],
)
def test_a_downloader_says_all(data):
    (use,) = Reading(data).uses
    assert (use.directory, use.name, use.url, use.source) == ("loras", "a.safetensors", f"{HUB}/a.safetensors", "downloader")


@pytest.mark.parametrize("save_to, folder", [("clip_gguf", "text_encoders"), ("unet", "diffusion_models"), ("loras/SDXL", "loras/SDXL")])
def test_a_downloader_may_name_a_key_of_a_folder(save_to, folder):
    assert Reading(ui(downloader(save_to=save_to))).places == [f"{folder}/a.safetensors"]


def test_a_downloader_that_renames_is_not_believed_unless_allowed():
    data = ui(downloader(filename="b.safetensors"))
    reading = Reading(data)
    assert (reading.places, reading.urls, reading.kinds) == (["loras/b.safetensors"], [None], ["renamed_url"])
    assert Reading(data, allow_renames=True).urls == [f"{HUB}/a.safetensors"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ui(downloader(token=TOKEN)), id="downloader-in-ui"),
        pytest.param(ui(downloader(token="an-own-secret-1234")), id="no-known-shape"),
        pytest.param(api(call(DOWNLOADER, url=f"{HUB}/a.pt", save_to="vae", filename="a.pt", token=TOKEN)), id="downloader-in-api"),
        pytest.param(api(call("Anything", api_key="an-own-secret-1234")), id="by-the-widgets-name"),
        pytest.param(api(call("Anything", text=TOKEN)), id="by-its-shape"),
        pytest.param(ui(node("Anything", 5, TOKEN)), id="in-a-list"),
        pytest.param(ui(node("Anything", "an-own-secret-1234", inputs=[widget("api_key")])), id="by-the-widgets-name-in-ui"),
        pytest.param(ui(node("Note", f"my token is {TOKEN}")), id="note"),
        pytest.param(ui(node("KSampler", TOKEN)), id="builtin"),
        pytest.param(ui(downloader(url=f"{HUB}/a.safetensors?token={TOKEN}")), id="in-an-address"),
        pytest.param(ui(downloader(url="https://civitai.com/api/download/models/1?token=an-own-secret-1234")), id="civitai"),
        pytest.param(ui(downloader(url=f"https://me:{TOKEN}@huggingface.co/x/a.safetensors")), id="user-in-address"),
        pytest.param(ui(loader(f"https://civitai.com/api/download/models/1?token={TOKEN}")), id="address-as-value"),
        pytest.param(ui(loader(properties=declared(url=f"{HUB}/a.safetensors?token={TOKEN}"))), id="declared"),
        pytest.param(ui(node("Anything", TOKEN, mode=4)), id="bypassed"),
        pytest.param(ui(node(DOWNLOADER, "", "", "", "", TOKEN)), id="downloader-of-nothing"),
        pytest.param(ui(node(DOWNLOADER, "", "", "", "", TOKEN, mode=2)), id="muted-downloader"),
    ],
)
def test_a_token_is_told_of_and_never_repeated(data):
    reading = Reading(data)
    assert "token" in reading.kinds or "refused_url" in reading.kinds
    assert TOKEN not in reading.everything and "an-own-secret" not in reading.everything


def test_a_group_with_a_token_inside_does_not_repeat_it():
    data = ui(node("workflow/g"), groups={"g": {"nodes": [downloader(token=TOKEN)]}})
    assert "token" in Reading(data).kinds and TOKEN not in Reading(data).everything


def test_an_address_as_a_value_gives_the_name():
    (use,) = Reading(ui(loader(f"{HUB}/sub/a.safetensors?download=true"))).uses
    assert (use.directory, use.name, use.url, use.source) == ("checkpoints", "a.safetensors", f"{HUB}/sub/a.safetensors", "value")


def test_an_address_without_a_name_is_no_model():
    (use,) = Reading(ui(loader("https://civitai.com/api/download/models/142421?type=Model"))).uses
    assert use.refused and use.url is None


def test_an_address_of_a_stranger_is_refused():
    reading = Reading(ui(loader("https://evil.example/a.safetensors")))
    assert reading.places == [] and reading.kinds == ["refused_url"]


@pytest.mark.parametrize(
    "text, places",
    [
        pytest.param("a cat, embedding:bad-hands.pt", ["embeddings/bad-hands.pt"], id="with-ending"),
        pytest.param("embedding:Easy, (embedding:other:1.2)", ["embeddings/Easy", "embeddings/other"], id="comma-and-colon"),
        pytest.param("(embedding:a) and (embedding:sub\\b)", ["embeddings/a", "embeddings/sub/b"], id="parens-and-folder"),
        pytest.param("no tag", [], id="none"),
        pytest.param("embedding:, embedding:", [], id="empty"),
    ],
)
@pytest.mark.parametrize("kind", ["CLIPTextEncode", "AStrangersPrompt"])
def test_embeddings_are_named_in_prompts(kind, text, places):
    for data in (ui(node(kind, text)), api(call(kind, text=text))):
        assert Reading(data).places == places


def test_a_name_in_a_prompt_without_an_ending_is_warned_of():
    assert "ending" in Reading(ui(node("CLIPTextEncode", "embedding:a"))).uses[0].warning
    assert not Reading(ui(node("CLIPTextEncode", "embedding:a.pt"))).uses[0].warning


@pytest.mark.parametrize(
    "text, places",
    [
        ("<lora:style:0.8>", ["loras/style"]),
        ("x <lora:sub\\style:1:LBW=FACE> y <lora:b>", ["loras/sub/style", "loras/b"]),
        ("<lora:>", []),
        ("<lora:" + "a" * 300 + ":1>", []),
    ],
)
def test_loras_are_named_in_prompts_of_packs(text, places):
    assert Reading(ui(node("AStrangersPrompt", text))).places == places


def test_a_builtin_prompt_does_not_read_lora_tags():
    assert Reading(ui(node("CLIPTextEncode", "<lora:style:1>"))).places == []


def test_a_tag_may_not_lead_out():
    reading = Reading(ui(node("CLIPTextEncode", "embedding:../../etc/x.pt")))
    assert reading.places == [] and reading.kinds == ["refused_name"]


@pytest.mark.parametrize(
    "properties, expected",
    [
        pytest.param(declared(), (f"{HUB}/a.safetensors", None, "workflow"), id="as-it-should-be"),
        pytest.param(declared(name="b.safetensors"), (None, None, "none"), id="another-name-is-not-selected"),
        pytest.param(
            declared(url=f"{HUB}/b.safetensors", hash=SHA256, hash_type="SHA256"), (f"{HUB}/b.safetensors", SHA256, "workflow"), id="hash"
        ),
        pytest.param(declared(url=f"{HUB}/b.safetensors"), (None, None, "none"), id="renamed-without-a-hash"),
        pytest.param(
            declared(hash=SHA256.upper(), hash_type="sha256"), (f"{HUB}/a.safetensors", SHA256, "workflow"), id="hash-in-capitals"
        ),
        pytest.param(declared(hash=SHA256, hash_type="MD5"), (f"{HUB}/a.safetensors", None, "workflow"), id="another-kind-of-hash"),
        pytest.param(declared(hash="ab"), (f"{HUB}/a.safetensors", None, "workflow"), id="no-hash"),
        pytest.param(declared(url=f"{HUB}/b.safetensors", hash="ab"), (None, None, "none"), id="renamed-with-no-hash"),
        pytest.param(declared(url="http://huggingface.co/a.safetensors"), (None, None, "none"), id="not-https"),
        pytest.param(declared(url="https://evil.example/a.safetensors"), (None, None, "none"), id="stranger"),
        pytest.param(declared(url="https://huggingface.co.evil.example/a.safetensors"), (None, None, "none"), id="lookalike"),
        pytest.param(declared(url="https://127.0.0.1/a.safetensors"), (None, None, "none"), id="ip"),
        pytest.param(declared(url="https://[::1]/a.safetensors"), (None, None, "none"), id="ip6"),
        pytest.param(declared(url="file:///etc/a.safetensors"), (None, None, "none"), id="file"),
        pytest.param(declared(url=5), (None, None, "none"), id="number"),
        pytest.param({"models": {"name": "a.safetensors"}}, (None, None, "none"), id="no-list"),
        pytest.param({"models": [None, 5, {}, {"name": 5}]}, (None, None, "none"), id="odd-entries"),
        pytest.param([], (None, None, "none"), id="properties-list"),
    ],
)
def test_what_a_node_declares_counts_for_the_selected_file(properties, expected):
    (use,) = Reading(ui(loader(properties=properties))).uses
    assert use.directory == "checkpoints"
    assert (use.url, use.sha256, use.source) == expected


def test_a_declared_file_in_a_sub_folder_is_the_selected_one():
    (use,) = Reading(ui(loader("sub\\a.safetensors", properties=declared()))).uses
    assert (use.name, use.url) == ("sub/a.safetensors", f"{HUB}/a.safetensors")


def test_what_a_file_declares_at_its_top_counts_too():
    (use,) = Reading({**ui(loader()), **declared()}).uses
    assert (use.url, use.source) == (f"{HUB}/a.safetensors", "workflow")


@pytest.mark.parametrize(
    "kind, directory, folder, kinds",
    [
        pytest.param("UNETLoader", "diffusion_models", "diffusion_models", [], id="agrees"),
        pytest.param("UNETLoader", "unet", "diffusion_models", [], id="older-name"),
        pytest.param("UNETLoader", "diffusion_models/FLUX", "diffusion_models/FLUX", [], id="below"),
        pytest.param("UNETLoader", "checkpoints", "diffusion_models", ["unsearched_directory"], id="where-the-loader-does-not-look"),
        pytest.param("UNETLoader", "custom_nodes/x", "diffusion_models", ["refused_directory"], id="code"),
        pytest.param("UNETLoader", "../../etc", "diffusion_models", ["refused_directory"], id="escape"),
        pytest.param("UNETLoader", "", "diffusion_models", [], id="empty"),
        pytest.param("UNETLoader", 7, "diffusion_models", [], id="number"),
        pytest.param("AStrangersLoader", "my_models", "my_models", ["unsearched_directory"], id="nobody-knows-the-loader"),
        pytest.param("AStrangersLoader", "vae", "vae", [], id="a-known-folder-of-a-stranger"),
        pytest.param("AStrangersLoader", "input", None, ["refused_directory"], id="peoples-files"),
    ],
)
def test_a_declared_folder_counts_where_the_loader_looks(kind, directory, folder, kinds):
    reading = Reading(ui(loader(kind=kind, properties=declared(directory=directory))))
    (use,) = reading.uses
    assert (use.directory, reading.kinds) == (folder, kinds)


@pytest.mark.parametrize(
    "data, places",
    [
        pytest.param(api(call("Strange", lora_name="a.safetensors")), ["loras/a.safetensors"], id="by-the-inputs-name"),
        pytest.param(api(call("Strange", thing="a.safetensors")), ["?/a.safetensors"], id="no-folder"),
        pytest.param(api(call("Strange", thing="a.png", other="euler")), [], id="no-model"),
        pytest.param(ui(node("Strange", "a.safetensors", inputs=[widget("vae_name")])), ["vae/a.safetensors"], id="ui"),
        pytest.param(ui(node("Strange", "x", "a.safetensors", 5)), ["?/a.safetensors"], id="nameless-values"),
        pytest.param(ui(node("Strange", ["a.safetensors"])), [], id="a-list-in-a-widget"),
    ],
)
def test_of_a_stranger_files_are_known_by_their_look(data, places):
    assert Reading(data).places == places


def test_a_folder_guessed_from_a_name_is_not_sure():
    assert [use.sure for use in Reading(api(call("Strange", lora_name="a.pt"), call("LoraLoader", lora_name="a.pt"))).uses] == [False, True]


def test_the_instance_tells_the_folder_of_a_stranger():
    data = api(call("Strange", thing="a.safetensors"))
    (use,) = Reading(data, combos={("Strange", "thing"): "clip_vision"}).uses
    assert (use.directory, use.sure) == ("clip_vision", True)


def test_a_strangers_linked_widget_is_stale_too():
    data = ui(node("Strange", "a.safetensors", inputs=[widget("vae_name", 1)]), node("Switch", id=2), links=[link(1, 2, 1)])
    assert Reading(data).places == []


def test_a_list_of_names_in_a_text_that_feeds_a_loader_is_read():
    data = ui(
        loader("stale.safetensors", inputs=[widget("ckpt_name", 1)]),
        node("Strings", "a.safetensors, b.safetensors", id=2),
        links=[link(1, 2, 1)],
    )
    assert {"checkpoints/a.safetensors", "checkpoints/b.safetensors"} <= set(Reading(data).places)


HOSTILE = [
    pytest.param("../../../etc/cron.d/x.safetensors", id="traversal"),
    pytest.param("a/../../x.safetensors", id="traversal-inside"),
    pytest.param("..\\..\\x.safetensors", id="traversal-with-backslashes"),
    pytest.param("/etc/x.safetensors", id="absolute"),
    pytest.param("\\\\server\\share\\x.safetensors", id="unc"),
    pytest.param("C:\\x.safetensors", id="drive"),
    pytest.param("C:x.safetensors", id="drive-relative"),
    pytest.param("a\x00.safetensors", id="nul"),
    pytest.param("a\x1b[31m.safetensors", id="escape"),
    pytest.param("a\u202etxt.safetensors", id="right-to-left"),
    pytest.param("a//b.safetensors", id="empty-part"),
    pytest.param("./x.safetensors", id="dot"),
    pytest.param("{{ lookup('pipe','id') }}.safetensors", id="jinja"),
    pytest.param("{% for x in y %}.safetensors", id="jinja-block"),
    pytest.param("{# x #}.safetensors", id="jinja-comment"),
    pytest.param("a" * 300 + ".safetensors", id="long-part"),
    pytest.param(".hidden/x.safetensors", id="hidden"),
    pytest.param("a./x.safetensors", id="dot-at-the-end"),
    pytest.param("file:///etc/x.safetensors", id="file-url"),
    pytest.param("http://169.254.169.254/latest/x.safetensors", id="metadata-service"),
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda name: ui(node("LoraLoader", name, 1, 1)), id="loader"),
        pytest.param(lambda name: api(call("LoraLoader", lora_name=name)), id="prompt"),
        pytest.param(lambda name: ui(node("Strange", name)), id="stranger"),
        pytest.param(lambda name: ui(downloader(filename=name)), id="downloader"),
        pytest.param(lambda name: ui(node(POWER, {}, {"on": True, "lora": name})), id="row"),
        pytest.param(lambda name: {**ui(node("LoraLoader", name, 1, 1)), **declared(name=name, directory="loras")}, id="declared"),
    ],
)
def test_a_hostile_name_is_refused_wherever_it_stands(build, name):
    reading = Reading(build(name))
    assert reading.places == [] and not any(reading.urls)
    assert {"refused_name", "refused_url"} & set(reading.kinds)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ui(node("LoraLoader", "a/" * 600 + "x.safetensors", 1, 1)), id="ui"),
        pytest.param(api(call("LoraLoader", lora_name="a/" * 600 + "x.safetensors")), id="api"),
        pytest.param(ui(node(POWER, {}, {"on": True, "lora": "a/" * 600 + "x.safetensors"})), id="row"),
        pytest.param(ui(downloader(filename="a/" * 600 + "x.safetensors")), id="downloader"),
    ],
)
def test_a_loaders_name_that_is_too_long_is_refused_aloud(data):
    reading = Reading(data)
    assert (reading.places, reading.kinds) == ([], ["refused_name"])


@pytest.mark.parametrize(
    "folder", ["custom_nodes", "Custom_Nodes/x", "configs", "user", "input", "output", "../x", "/etc", "C:\\x", "{{ x }}", "$HOME", "~"]
)
def test_a_hostile_folder_is_refused(folder):
    reading = Reading(ui(downloader(save_to=folder)))
    assert reading.places == [] and reading.kinds == ["refused_directory"]


def test_a_huge_text_is_no_name_and_no_work():
    text = "a.safetensors," * 800_000
    data = ui(node("Strange", text), node("LoraLoader", text, id=2), node("CLIPTextEncode", text, id=3))
    assert Reading(data).places == []


def test_a_tag_that_is_too_long_for_a_name_is_not_cut_to_one():
    assert Reading(ui(node("CLIPTextEncode", "embedding:" + "a" * 1000))).places == []


NOTE = f"The [model]({HUB}/a.safetensors). Also {HUB}/b.safetensors, and <{HUB}/c.safetensors>!\n**{HUB}/d.safetensors**"


@pytest.mark.parametrize("kind", ["Note", "MarkdownNote"])
def test_notes_name_addresses_and_no_models(kind):
    data = ui(node(kind, NOTE))
    assert Reading(data).uses == []
    found = list(addresses_in(note_texts(Graph(document(data)).nodes)))
    assert found == [f"{HUB}/{name}.safetensors" for name in "abcd"]


def test_a_slot_without_a_widget_is_no_widget():
    data = ui(loader(inputs=[slot("model", 1)]), node("Switch", id=2), links=[link(1, 2, 1)])
    assert Reading(data).places == ["checkpoints/a.safetensors"]


def test_an_input_that_a_pack_has_renamed_since_is_told_by_its_name():
    reading = Reading(api(call("FluxLoader", unet_name="a.sft", clip_name1="b.safetensors", clip_name2="c.safetensors")))
    assert set(reading.places) == {"diffusion_models/a.sft", "text_encoders/b.safetensors", "text_encoders/c.safetensors"}
    assert {use.name: use.sure for use in reading.uses} == {"a.sft": False, "b.safetensors": True, "c.safetensors": False}


def test_an_input_that_no_table_knows_is_the_only_folder_of_its_class():
    reading = Reading(api(call("ADE_AnimateDiffLoRALoader", lora_name="pan.ckpt")))
    assert reading.places == ["animatediff_motion_lora/pan.ckpt"]


def test_an_input_called_like_a_folder_is_that_folder_and_not_certain():
    reading = Reading(api(call("Unheard", audio_encoder="a.safetensors", vae="v.safetensors", thing="x.safetensors")))
    assert set(reading.places) == {"audio_encoders/a.safetensors", "vae/v.safetensors", "?/x.safetensors"}
    assert not any(use.sure for use in reading.uses)


def test_rows_of_another_list_of_loras_are_read_too():
    rows = {"__value__": [{"name": "baz", "active": True, "strength": 1}, {"name": "bar", "active": False, "strength": "1"}]}
    ui_reading = Reading(ui(node("Unheard", "<lora:x:1>", rows["__value__"][0], rows["__value__"][1])))
    assert {"loras/baz", "loras/bar"} <= set(ui_reading.places) and "loras/bar" not in ui_reading.active_places


def test_a_class_whose_files_no_widget_names_is_told_of():
    assert Reading(ui(node("IPAdapterUnifiedLoader", "PLUS"))).kinds == ["implicit_models"]
