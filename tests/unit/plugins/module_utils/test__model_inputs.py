# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_inputs import (
    LONGEST_NAME,
    ComboFolders,
    canonical,
    folder_by_input,
    folders_of,
    is_known_builtin,
    is_searched,
    looks_like_model,
    widgets_of,
)

BUILTIN = """
AudioEncoderLoader audio_encoder_name audio_encoders
CLIPLoader clip_name text_encoders
CLIPVisionLoader clip_name clip_vision
CheckpointLoader ckpt_name checkpoints
CheckpointLoaderSimple ckpt_name checkpoints
ConditioningLoader conditioning_name embeddings
ControlNetLoader control_net_name controlnet
CreateHookLora lora_name loras
CreateHookLoraModelOnly lora_name loras
CreateHookModelAsLora ckpt_name checkpoints
CreateHookModelAsLoraModelOnly ckpt_name checkpoints
DiffControlNetLoader control_net_name controlnet
DiffusersLoader model_path diffusers
DualCLIPLoader clip_name1 text_encoders
DualCLIPLoader clip_name2 text_encoders
FrameInterpolationModelLoader model_name frame_interpolation
GLIGENLoader gligen_name gligen
HypernetworkLoader hypernetwork_name hypernetworks
ImageOnlyCheckpointLoader ckpt_name checkpoints
LTXAVTextEncoderLoader ckpt_name checkpoints
LTXAVTextEncoderLoader text_encoder text_encoders
LTXVAudioVAELoader ckpt_name checkpoints
LatentUpscaleModelLoader model_name latent_upscale_models
LoadBackgroundRemovalModel bg_removal_name background_removal
LoadDA3Model model_name geometry_estimation
LoadLoraModel lora_name loras
LoadLoraTextEncoder lora_name loras
LoadMoGeModel model_name geometry_estimation
LoraLoader lora_name loras
LoraLoaderBypass lora_name loras
LoraLoaderBypassModelOnly lora_name loras
LoraLoaderModelOnly lora_name loras
ModelPatchLoader name model_patches
OpticalFlowLoader model_name optical_flow
PhotoMakerLoader photomaker_model_name photomaker
QuadrupleCLIPLoader clip_name1 text_encoders
QuadrupleCLIPLoader clip_name4 text_encoders
SAM3DBody_Loader model_file detection
StyleModelLoader style_model_name style_models
TrainLoraNode existing_lora loras
TripleCLIPLoader clip_name3 text_encoders
UNETLoader unet_name diffusion_models
UpscaleModelLoader model_name upscale_models
VAELoader vae_name vae
unCLIPCheckpointLoader ckpt_name checkpoints
"""

# A blank in a class's name is written as "~".
PACKS = """
ADE_AnimateDiffLoRALoader name animatediff_motion_lora
ADE_AnimateDiffLoaderGen1 model_name animatediff_models
ADE_LoadAnimateDiffModel model_name animatediff_models
BrushNetLoader brushnet inpaint
CLIPLoaderGGUF clip_name text_encoders
ControlNetLoaderAdvanced control_net_name controlnet
DualCLIPLoaderGGUF clip_name1 text_encoders
DualCLIPLoaderGGUF clip_name2 text_encoders
Efficient~Loader ckpt_name checkpoints
Efficient~Loader lora_name loras
Efficient~Loader vae_name vae
FantasyTalkingModelLoader model diffusion_models
FluxLoraLoader lora_name xlabs/loras
IPAdapterModelLoader ipadapter_file ipadapter
InstantIDModelLoader instantid_file instantid
LoadFluxControlNet controlnet_path xlabs/controlnets
LoadFluxIPAdapter ipadatper xlabs/ipadapters
LoadWanVideoT5TextEncoder model_name text_encoders
MMDetLoader model_name mmdets
MochiModelLoader model_name diffusion_models
MochiVAELoader model_name vae
MultiTalkModelLoader model diffusion_models
PowerPaintCLIPLoader base text_encoders
PowerPaintCLIPLoader powerpaint inpaint
PulidModelLoader pulid_file pulid
QuadrupleCLIPLoaderGGUF clip_name4 text_encoders
ReActorFaceSwap face_restore_model facerestore_models
ReActorFaceSwap swap_model insightface
SAMLoader model_name sams
SUPIR_model_loader supir_model checkpoints
TripleCLIPLoaderGGUF clip_name3 text_encoders
UltralyticsDetectorProvider model_name ultralytics
UnetLoaderGGUF unet_name diffusion_models
UnetLoaderGGUFAdvanced unet_name diffusion_models
WanVideoControlnetLoader model controlnet
WanVideoLoraSelect lora loras
WanVideoModelLoader model diffusion_models
WanVideoTinyVAELoader model_name vae_approx
WanVideoVACEModelSelect vace_model diffusion_models
WanVideoVAELoader model_name vae
"""


def rows(table):
    parts = [line.split() for line in table.strip().splitlines()]
    return [pytest.param(kind.replace("~", " "), name, folder, id=f"{kind}.{name}") for kind, name, folder in parts]


@pytest.mark.parametrize("kind, name, folder", rows(BUILTIN))
def test_every_builtin_loader_looks_in_one_folder(kind, name, folder):
    assert {canonical(one) for one in folders_of(kind)[name]} == {folder}
    assert is_searched(folder)


@pytest.mark.parametrize("kind, name, folder", rows(PACKS))
def test_a_loader_of_a_pack_looks_where_its_source_says(kind, name, folder):
    assert folder in {canonical(one) for one in folders_of(kind)[name]}
    assert is_searched(folder)


@pytest.mark.parametrize("kind", ["KSampler", "CLIPTextEncode", "SaveImage", "LoadImage", "AClassThatNobodyHas"])
def test_a_class_that_loads_no_model_is_no_loader(kind):
    assert folders_of(kind) is None


@pytest.mark.parametrize(
    "kind, order",
    [
        pytest.param("CheckpointLoader", ("config_name", "ckpt_name"), id="the-config-comes-first"),
        pytest.param("DualCLIPLoader", ("clip_name1", "clip_name2", "type"), id="two-of-a-kind"),
        pytest.param("KSampler", ("seed", "", "steps"), id="what-the-frontend-adds"),
        pytest.param("LoraLoader", ("lora_name", "strength_model", "strength_clip"), id="a-name-and-numbers"),
    ],
)
def test_the_order_of_widgets_is_known(kind, order):
    assert tuple(widgets_of(kind))[: len(order)] == order


def test_of_a_builtin_that_was_read_all_is_known():
    assert is_known_builtin("KSampler") and not is_known_builtin("AClassThatNobodyHas")


@pytest.mark.parametrize(
    "name, kind, folder",
    [
        pytest.param("ckpt_name", "X", "checkpoints", id="checkpoint"),
        pytest.param("lora_name", "X", "loras", id="lora"),
        pytest.param("lora_name_3", "X", "loras", id="numbered"),
        pytest.param("loras.3.lora_name", "X", "loras", id="in-a-growing-list"),
        pytest.param("vae_name", "X", "vae", id="vae"),
        pytest.param("unet_name", "X", "diffusion_models", id="unet"),
        pytest.param("clip_name", "X", "text_encoders", id="clip"),
        pytest.param("clip_name2", "X", "text_encoders", id="second-clip"),
        pytest.param("clip_name", "MyCLIPVisionLoader", "clip_vision", id="clip-of-a-vision-loader"),
        pytest.param("control_net_name", "X", "controlnet", id="controlnet"),
        pytest.param("style_model_name", "X", "style_models", id="style"),
        pytest.param("upscale_model", "X", "upscale_models", id="upscale"),
        pytest.param("model_name", "X", None, id="a-model-of-what"),
        pytest.param("sampler_name", "X", None, id="sampler"),
        pytest.param("config_name", "X", None, id="config"),
        pytest.param("filename_prefix", "X", None, id="prefix"),
        pytest.param("", "X", None, id="nameless"),
        pytest.param("not_a_lora_name_at_all", "X", None, id="only-part-of-the-name"),
    ],
)
def test_the_name_of_an_input_tells_the_folder_of_an_unknown_loader(name, kind, folder):
    assert folder_by_input(name, kind) == folder


@pytest.mark.parametrize(
    "written, now",
    [
        ("clip", "text_encoders"),
        ("clip/sub", "text_encoders/sub"),
        ("clip_gguf", "text_encoders"),
        ("unet", "diffusion_models"),
        ("unet_gguf", "diffusion_models"),
        ("t2i_adapter", "controlnet"),
        ("loras", "loras"),
        ("loras/clip", "loras/clip"),
    ],
)
def test_a_folder_has_one_name(written, now):
    assert canonical(written) == now


@pytest.mark.parametrize("folder, searched", [("loras/SDXL", True), ("vae_approx", True), ("my_own", False), ("custom", False)])
def test_where_comfyui_does_not_look_is_known(folder, searched):
    assert is_searched(folder) is searched


@pytest.mark.parametrize(
    "value, expected",
    [
        *((f"a{ending}", True) for ending in (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx", ".engine")),
        ("SDXL\\base.safetensors", True),
        ("A.SafeTensors", True),
        ("static-dreamshaper8_SD15_$stat-b-1-h-512-w-512.engine", True),
        ("модель (v2) + é.safetensors", True),
        ("None", False),
        ("Baked VAE", False),
        ("pixel_space", False),
        ("taesd", False),
        ("euler_ancestral", False),
        ("ComfyUI_%date%", False),
        ("v1-inference.yaml", False),
        ("example.png", False),
        ("clip.mp4", False),
        ("llama3.2:3b", False),
        (".pt", False),
        ("", False),
        ("a line\nb.safetensors", False),
        ("x" * LONGEST_NAME + ".pt", False),
    ],
)
def test_a_model_is_known_by_its_ending(value, expected):
    assert looks_like_model(value) is expected


OFFERED = {
    "LoraLoader": {"lora_name": ["None", "a.safetensors", "sub\\b.safetensors"]},
    "CheckpointLoaderSimple": {"ckpt_name": ["base.safetensors"]},
    "UNETLoader": {"unet_name": []},
    "VAELoader": {"vae_name": ["only.safetensors"]},
    "StyleModelLoader": {"style_model_name": ["only.safetensors"]},
    "MyLoader": {
        "thing": ["sub\\b.safetensors", "a.safetensors"],
        "base": ["base.safetensors", "Baked VAE"],
        "some": ["a.safetensors"],
        "either": ["only.safetensors"],
        "none": [],
        "no_combo": None,
        "modes": ["fast", "slow"],
    },
}


@pytest.mark.parametrize(
    "name, folder",
    [
        pytest.param("thing", "loras", id="the-same-files-in-another-order"),
        pytest.param("base", "checkpoints", id="beside-a-placeholder"),
        pytest.param("some", None, id="fewer-files"),
        pytest.param("either", None, id="two-folders-hold-the-same"),
        pytest.param("none", None, id="empty"),
        pytest.param("no_combo", None, id="no-combo"),
        pytest.param("modes", None, id="no-files"),
        pytest.param("unknown", None, id="no-such-input"),
    ],
)
def test_who_offers_what_a_known_loader_offers_looks_in_its_folder(name, folder):
    assert ComboFolders(OFFERED).folder("MyLoader", name) == folder


def test_an_instance_says_what_it_has():
    combos = ComboFolders(OFFERED)
    assert combos.has("loras", "a.safetensors") and combos.has("loras", "sub/b.safetensors") and combos.has("loras/sub", "b.safetensors")
    assert not combos.has("loras", "b.safetensors") and not combos.has("checkpoints", "a.safetensors") and not combos.has("vae_approx", "a")
