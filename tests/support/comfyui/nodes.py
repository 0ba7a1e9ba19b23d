# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The node types: a few of the real program's own, and those that the packs in custom_nodes bring."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import random
import string
import struct
import sys
import time
import traceback
import zlib
from dataclasses import dataclass
from pathlib import Path

import folder_paths
from comfy.cli_args import args
from comfy.model_management import interrupt_current_processing, throw_exception_if_processing_interrupted

MAX_RESOLUTION = 16384
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

interrupt_processing = interrupt_current_processing
before_node_execution = throw_exception_if_processing_interrupted


@dataclass(frozen=True)
class Image:
    """One picture, three bytes a pixel; an IMAGE is a list of them."""

    width: int
    height: int
    pixels: bytes


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_png(image: Image, texts: dict[str, str]) -> bytes:
    stride = image.width * 3
    rows = b"".join(b"\0" + image.pixels[y * stride : (y + 1) * stride] for y in range(image.height))
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 0))]
    chunks += [_chunk(b"tEXt", key.encode("latin-1") + b"\0" + text.encode("latin-1")) for key, text in texts.items()]
    chunks += [_chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(chunks)


def decode_png(data: bytes) -> Image:
    """Only what encode_png writes: eight-bit RGB, rows without a filter."""
    header, packed, position = b"", b"", len(PNG_SIGNATURE)
    while data.startswith(PNG_SIGNATURE) and position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        header = body if kind == b"IHDR" else header
        packed += body if kind == b"IDAT" else b""
        position += 12 + length
    if header[8:] != bytes([8, 2, 0, 0, 0]):
        raise ValueError("the stand-in reads no images but its own: eight-bit RGB PNG")
    width, height = struct.unpack_from(">II", header)
    rows, stride = zlib.decompress(packed), width * 3 + 1
    if any(rows[y * stride] for y in range(height)):
        raise ValueError("the stand-in reads no PNG with filtered rows")
    return Image(width, height, b"".join(rows[y * stride + 1 : (y + 1) * stride] for y in range(height)))


class EmptyImage:
    @classmethod
    def INPUT_TYPES(cls):
        side = ("INT", {"default": 512, "min": 1, "max": MAX_RESOLUTION, "step": 1})
        return {
            "required": {
                "width": side,
                "height": side,
                "batch_size": ("INT", {"default": 1, "min": 1, "max": 4096}),
                "color": ("INT", {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"}),
            }
        }

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "generate"
    CATEGORY = "image"

    def generate(self, width, height, batch_size=1, color=0):
        return ([Image(width, height, color.to_bytes(3, "big") * (width * height))] * batch_size,)


class ImageInvert:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",)}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "invert"
    CATEGORY = "image"

    def invert(self, image):
        table = bytes(range(255, -1, -1))
        return ([Image(one.width, one.height, one.pixels.translate(table)) for one in image],)


class SaveImage:
    folder_type = "output"
    prefix_append = ""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    RETURN_TYPES = ()
    FUNCTION = "save_images"
    OUTPUT_NODE = True
    CATEGORY = "image"
    DESCRIPTION = "Saves the input images to your ComfyUI output directory."

    def save_images(self, images, filename_prefix="ComfyUI", prompt=None, extra_pnginfo=None):
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix + self.prefix_append,
            folder_paths.get_directory_by_type(self.folder_type),
            images[0].width,
            images[0].height,
        )
        texts = {} if args.disable_metadata else {"prompt": json.dumps(prompt)}
        if not args.disable_metadata:
            texts.update({key: json.dumps(value) for key, value in (extra_pnginfo or {}).items()})
        results = []
        for number, image in enumerate(images):
            file = f"{name.replace('%batch_num%', str(number))}_{counter + number:05}_.png"
            Path(folder, file).write_bytes(encode_png(image, texts))
            results.append({"filename": file, "subfolder": subfolder, "type": self.folder_type})
        return {"ui": {"images": results}}


class PreviewImage(SaveImage):
    folder_type = "temp"

    def __init__(self):
        self.prefix_append = "_temp_" + "".join(random.choices(string.ascii_lowercase, k=5))

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"images": ("IMAGE",)}, "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}}


class LoadImage:
    @classmethod
    def INPUT_TYPES(cls):
        files = [path.name for path in Path(folder_paths.get_input_directory()).iterdir() if path.is_file()]
        return {"required": {"image": (sorted(files), {"image_upload": True})}}

    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "load_image"
    CATEGORY = "image"

    def load_image(self, image):
        one = decode_png(Path(folder_paths.get_annotated_filepath(image)).read_bytes())
        return ([one], [Image(one.width, one.height, bytes(one.width * one.height * 3))])

    @classmethod
    def IS_CHANGED(cls, image):
        return hashlib.sha256(Path(folder_paths.get_annotated_filepath(image)).read_bytes()).hexdigest()

    @classmethod
    def VALIDATE_INPUTS(cls, image):
        return folder_paths.exists_annotated_filepath(image) or f"Invalid image file: {image}"


class CheckpointLoaderSimple:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"ckpt_name": (folder_paths.get_filename_list("checkpoints"), {})}}

    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    FUNCTION = "load_checkpoint"
    CATEGORY = "loaders"

    def load_checkpoint(self, ckpt_name):
        """The path stands for the model, its text encoder and its VAE: nothing is read."""
        return (folder_paths.get_full_path_or_raise("checkpoints", ckpt_name),) * 3


class LoraLoaderModelOnly:
    @classmethod
    def INPUT_TYPES(cls):
        strength = ("FLOAT", {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01})
        files = (folder_paths.get_filename_list("loras"),)
        return {"required": {"model": ("MODEL",), "lora_name": files, "strength_model": strength}}

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "load_lora_model_only"
    CATEGORY = "loaders"

    def load_lora_model_only(self, model, lora_name, strength_model):
        """The LoRA must be there; the model stays the path that it is."""
        folder_paths.get_full_path_or_raise("loras", lora_name)
        return (model,)


class ModelSave:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "filename_prefix": ("STRING", {"default": "diffusion_models/ComfyUI"})}}

    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True
    CATEGORY = "advanced/model_merging"

    def save(self, model, filename_prefix):
        output = folder_paths.get_output_directory()
        folder, name, counter, _subfolder, _prefix = folder_paths.get_save_image_path(filename_prefix, output)
        Path(folder, f"{name}_{counter:05}_.safetensors").write_bytes(Path(model).read_bytes())
        return {}


NODE_CLASS_MAPPINGS = {
    "CheckpointLoaderSimple": CheckpointLoaderSimple,
    "EmptyImage": EmptyImage,
    "ImageInvert": ImageInvert,
    "LoadImage": LoadImage,
    "LoraLoaderModelOnly": LoraLoaderModelOnly,
    "ModelSave": ModelSave,
    "PreviewImage": PreviewImage,
    "SaveImage": SaveImage,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "CheckpointLoaderSimple": "Load Checkpoint",
    "ImageInvert": "Invert Image",
    "LoadImage": "Load Image",
    "LoraLoaderModelOnly": "LoraLoaderModelOnly",
    "PreviewImage": "Preview Image",
    "SaveImage": "Save Image",
}
EXTENSION_WEB_DIRS: dict[str, str] = {}


def load_custom_node(path: Path, builtin: frozenset[str]) -> bool:
    name = path.stem if path.is_file() else path.name
    module_name = f"custom_nodes.{name}"
    try:
        spec = importlib.util.spec_from_file_location(module_name, path if path.is_file() else path / "__init__.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
        if getattr(module, "WEB_DIRECTORY", None) is not None:
            web = (path.parent if path.is_file() else path) / module.WEB_DIRECTORY
            if web.is_dir():
                EXTENSION_WEB_DIRS[name] = str(web)
        if getattr(module, "NODE_CLASS_MAPPINGS", None) is None:
            logging.warning(f"Skip {path} module for custom nodes due to the lack of NODE_CLASS_MAPPINGS.")
            return False
        for type_name, node_class in module.NODE_CLASS_MAPPINGS.items():
            if type_name not in builtin:
                node_class.RELATIVE_PYTHON_MODULE = module_name
                NODE_CLASS_MAPPINGS[type_name] = node_class
        NODE_DISPLAY_NAME_MAPPINGS.update(getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {})
        return True
    except Exception as error:  # a pack may raise anything, and the others still load
        logging.warning(traceback.format_exc())
        logging.warning(f"Cannot import {path} module for custom nodes: {error}")
        return False


def init_custom_nodes() -> None:
    builtin = frozenset(NODE_CLASS_MAPPINGS)
    times = []
    for folder in folder_paths.get_folder_paths("custom_nodes"):
        for path in sorted(Path(folder).iterdir()):
            if path.name == "__pycache__" or path.suffix == ".disabled" or (path.is_file() and path.suffix != ".py"):
                continue
            started = time.perf_counter()
            loaded = load_custom_node(path, builtin)
            times.append((time.perf_counter() - started, str(path), loaded))
    if times:
        logging.info("\nImport times for custom nodes:")
        for seconds, name, loaded in sorted(times):
            logging.info(f"{seconds:6.1f} seconds{'' if loaded else ' (IMPORT FAILED)'}: {name}")
        logging.info("")
