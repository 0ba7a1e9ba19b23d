# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which inputs of which node classes name model files, and in which folder ComfyUI looks for them.

What ComfyUI's own source says of its own classes is generated (`_data/core_nodes.py`). Here is what cannot be read there:
classes newer than the newest tree that was read, and the loaders of custom-node packs. Read in the packs' sources, November 2026.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import model_path
from ansible_collections.emprops.comfyui.plugins.module_utils._data.core_loaders import LOADERS, WIDGETS
from ansible_collections.emprops.comfyui.plugins.module_utils._data.pack_loaders import FOLDERS, PACK_LOADERS, PACK_WIDGETS

# Longer ones are texts. What is too long for a name is refused as such, elsewhere.
LONGEST_NAME = 4096


# Endings of files that hold weights. The first row is what ComfyUI itself lists.
ENDINGS = (
    ".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl",
    ".gguf", ".onnx", ".patch", ".engine", ".trt", ".tflite", ".task", ".msgpack", ".h5", ".npz", ".torchscript",
)  # fmt: skip
# Loading these can run code that is in them.
PICKLES = (".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl")

# Folders that ComfyUI itself searches below its models.
CORE_FOLDERS = frozenset(
    {
        "audio_encoders", "background_removal", "checkpoints", "classifiers", "clip_vision", "configs", "controlnet", "detection",
        "diffusers", "diffusion_models", "embeddings", "frame_interpolation", "geometry_estimation", "gligen", "hypernetworks",
        "latent_upscale_models", "loras", "model_patches", "optical_flow", "photomaker", "style_models", "text_encoders",
        "upscale_models", "vae", "vae_approx",
    }
)  # fmt: skip

# Builtin classes newer than the newest tree that was read; from ComfyUI's own documentation and templates.
_NEWER_LOADERS = """
LatentUpscaleModelLoader: model_name=latent_upscale_models
LTXAVTextEncoderLoader: text_encoder=text_encoders ckpt_name=checkpoints
LTXVAudioVAELoader: ckpt_name=checkpoints
LoadMoGeModel: model_name=geometry_estimation
LoadDA3Model: model_name=geometry_estimation
LoadBackgroundRemovalModel: bg_removal_name=background_removal
OpticalFlowLoader: model_name=optical_flow
FrameInterpolationModelLoader: model_name=frame_interpolation
SAM3DBody_Loader: model_file=detection
ConditioningLoader: conditioning_name=embeddings
LoadLoraModel: lora_name=loras
LoadLoraTextEncoder: lora_name=loras
LoraLoaderBypass: lora_name=loras
LoraLoaderBypassModelOnly: lora_name=loras
"""

# Loaders of packs whose folders are worked out when they run, so that no reading of their source tells them.
_PACK_LOADERS = """
Power Lora Loader (rgthree): lora=loras
"""

# What an input's name says of a class that is in no table.
_BY_NAME = re.compile(
    r"""(?P<checkpoints>(?:(?:base|refiner)_)?(?:ckpt|checkpoint)_name)
    |(?P<loras>lora(?:_?\d+)?_name|lora_name(?:_?\d+)?|lora_\d+)
    |(?P<vae>vae_name)
    |(?P<diffusion_models>unet_name|diffusion_model_name)
    |(?P<clip_vision>clip_vision_name)
    |(?P<text_encoders>clip_name_?\d*|text_encoder_name)
    |(?P<controlnet>control_?net_name)
    |(?P<style_models>style_model_name)
    |(?P<upscale_models>upscale_model_name|upscaler_name|upscale_model)
    |(?P<hypernetworks>hypernetwork_name)
    |(?P<gligen>gligen_name)
    |(?P<ipadapter>ipadapter_file)
    |(?P<instantid>instantid_file)
    |(?P<pulid>pulid_file)
    |(?P<sams>sam_model_name)""",
    re.VERBOSE,
)


# Classes whose files no widget names: what they take stands behind a preset, or is found or fetched when they run.
_PRESET = "it takes the ipadapter and clip_vision files that its preset stands for"
_FACES = "it takes InsightFace models from insightface/models, and may fetch them when it runs"
_EYES = "it fetches its EVA-CLIP model when it runs"
IMPLICIT = {
    "IPAdapterUnifiedLoader": _PRESET,
    "IPAdapterUnifiedLoaderCommunity": _PRESET,
    "IPAdapterUnifiedLoaderFaceID": f"{_PRESET}, and a LoRA",
    "IPAdapterModelHelper //Inspire": _PRESET,
    "easy ipadapterApply": _PRESET,
    "IPAdapterInsightFaceLoader": _FACES,
    "InstantIDFaceAnalysis": _FACES,
    "PulidInsightFaceLoader": _FACES,
    "PulidFluxInsightFaceLoader": _FACES,
    "PulidEvaClipLoader": _EYES,
    "PulidFluxEvaClipLoader": _EYES,
}

# An input that is called like a folder, or one of what is in it, most likely means that folder.
_KEYS_AS_INPUTS = CORE_FOLDERS - {"classifiers", "configs", "detection", "diffusers"}


def _parse(table: str) -> dict[str, dict[str, tuple[str, ...]]]:
    rows = (line.rsplit(": ", 1) for line in table.strip().splitlines())
    return {name: {part.partition("=")[0]: (part.partition("=")[2],) for part in inputs.split()} for name, inputs in rows}


def _merged() -> dict[str, dict[str, tuple[str, ...]]]:
    """ComfyUI's own classes stand before a pack's of the same name."""
    tables: list[Mapping[str, Mapping[str, str | tuple[str, ...]]]] = [PACK_LOADERS, _parse(_PACK_LOADERS), _parse(_NEWER_LOADERS), LOADERS]
    merged: dict[str, dict[str, tuple[str, ...]]] = {}
    for table in tables:
        for name, inputs in table.items():
            merged[name] = {key: _current((folder,) if isinstance(folder, str) else folder) for key, folder in inputs.items()}
    return merged


def _current(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(model_path(folder, "") for folder in folders))


_FOLDERS = _merged()
_ORDERS: dict[str, tuple[str, ...]] = {**PACK_WIDGETS, **WIDGETS}
_SEARCHED = CORE_FOLDERS | {folder.partition("/")[0] for folder in FOLDERS}


def folders_of(class_name: str) -> Mapping[str, tuple[str, ...]] | None:
    """The inputs of a class that name model files, and the folders that each looks in."""
    return _FOLDERS.get(class_name)


def widgets_of(class_name: str) -> Sequence[str] | None:
    """The inputs behind the entries of `widgets_values`, in their order; "" for a value that belongs to no input."""
    return _ORDERS.get(class_name)


def is_known_builtin(class_name: str) -> bool:
    """Whether ComfyUI's source was read for this class: what its inputs name is then known, models or none."""
    return class_name in WIDGETS


def folder_by_input(name: str, class_name: str) -> str | None:
    """The folder that an input of an unknown class most likely looks in."""
    name = name.rpartition(".")[2]
    match = _BY_NAME.fullmatch(name)
    folder = match.lastgroup if match else next((key for key in (name, f"{name}s") if key in _KEYS_AS_INPUTS), None)
    return "clip_vision" if folder == "text_encoders" and "vision" in class_name.lower() else folder


def canonical(directory: str) -> str:
    """A folder by its current name: "unet/flux" is "diffusion_models/flux"."""
    return model_path(directory, "")


def is_searched(directory: str) -> bool:
    """Whether ComfyUI or a pack that we know looks in this folder."""
    return directory.partition("/")[0] in _SEARCHED


def looks_like_model(value: str) -> bool:
    """Whether a text is the name of a file of weights."""
    return 3 < len(value) <= LONGEST_NAME and "." in value[-16:] and value.rstrip()[-16:].lower().endswith(ENDINGS) and "\n" not in value


class ComboFolders:
    """What a running instance offers: two inputs that offer the same files look in the same folder."""

    def __init__(self, inputs: Mapping[str, Mapping[str, Sequence[str] | None]]) -> None:
        self._inputs = inputs
        self._files: dict[str, set[str]] = {}
        folders: dict[frozenset[str], set[str]] = {}
        for class_name, known in _FOLDERS.items():
            for name, choices in known.items():
                offered = (inputs.get(class_name) or {}).get(name)
                if offered and len(choices) == 1:
                    folder = canonical(choices[0])
                    self._files.setdefault(folder, set()).update(offered)
                    folders.setdefault(frozenset(file for file in offered if looks_like_model(file)), set()).add(folder)
        self._folders = {files: next(iter(found)) for files, found in folders.items() if files and len(found) == 1}

    def folder(self, class_name: str, name: str) -> str | None:
        offered = (self._inputs.get(class_name) or {}).get(name)
        return self._folders.get(frozenset(file for file in offered if looks_like_model(file))) if offered else None

    def has(self, directory: str, name: str) -> bool:
        """Whether the instance can load this file."""
        folder, _slash, below = directory.partition("/")
        wanted = f"{below}/{name}" if below else name
        return any(file.replace("\\", "/") == wanted for file in self._files.get(folder, ()))
