# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where things are: input, output, temp, user, and the search path of each kind of model."""

from __future__ import annotations

import logging
import os
from pathlib import Path

base_path = str(Path(__file__).resolve().parent)
models_dir = str(Path(base_path, "models"))
supported_pt_extensions = {".ckpt", ".pt", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}

_FOLDERS = {
    "checkpoints": ["checkpoints"],
    "loras": ["loras"],
    "vae": ["vae"],
    "text_encoders": ["text_encoders", "clip"],
    "diffusion_models": ["unet", "diffusion_models"],
    "clip_vision": ["clip_vision"],
    "style_models": ["style_models"],
    "embeddings": ["embeddings"],
    "vae_approx": ["vae_approx"],
    "controlnet": ["controlnet", "t2i_adapter"],
    "gligen": ["gligen"],
    "upscale_models": ["upscale_models"],
    "hypernetworks": ["hypernetworks"],
    "photomaker": ["photomaker"],
}
_LEGACY = {"unet": "diffusion_models", "clip": "text_encoders"}

folder_names_and_paths: dict[str, tuple[list[str], set[str]]] = {
    name: ([str(Path(models_dir, folder)) for folder in folders], supported_pt_extensions) for name, folders in _FOLDERS.items()
}
folder_names_and_paths["configs"] = ([str(Path(models_dir, "configs"))], {".yaml"})
folder_names_and_paths["custom_nodes"] = ([str(Path(base_path, "custom_nodes"))], set())

_directories = {name: str(Path(base_path, name)) for name in ("output", "temp", "input", "user")}


def get_output_directory() -> str:
    return _directories["output"]


def get_temp_directory() -> str:
    return _directories["temp"]


def get_input_directory() -> str:
    return _directories["input"]


def get_user_directory() -> str:
    return _directories["user"]


def set_directory(name: str, path: str) -> None:
    _directories[name] = path


def get_directory_by_type(name: str) -> str | None:
    """For names that come from the network: the user directory is not among them."""
    return _directories[name] if name in ("output", "temp", "input") else None


def annotated_filepath(name: str) -> tuple[str, str | None]:
    """'a.png [output]' names a file outside the default directory."""
    for kind in ("output", "input", "temp"):
        if name.endswith(f"[{kind}]"):
            return name.removesuffix(f"[{kind}]").rstrip(), _directories[kind]
    return name, None


def get_annotated_filepath(name: str) -> str:
    name, folder = annotated_filepath(name)
    return str(Path(folder or get_input_directory(), name))


def exists_annotated_filepath(name: str) -> bool:
    return Path(get_annotated_filepath(name)).exists()


def add_model_folder_path(folder_name: str, full_folder_path: str, is_default: bool = False) -> None:
    paths, _ = folder_names_and_paths.setdefault(_LEGACY.get(folder_name, folder_name), ([], set()))
    if full_folder_path in paths:
        if not is_default:
            return
        paths.remove(full_folder_path)
    paths.insert(0 if is_default else len(paths), full_folder_path)


def get_folder_paths(folder_name: str) -> list[str]:
    return list(folder_names_and_paths[_LEGACY.get(folder_name, folder_name)][0])


def get_filename_list(folder_name: str) -> list[str]:
    paths, extensions = folder_names_and_paths[_LEGACY.get(folder_name, folder_name)]
    found = set()
    for path in paths:
        for root, folders, files in os.walk(path, followlinks=True):
            folders[:] = [folder for folder in folders if folder != ".git"]
            found.update(
                str(Path(root, file).relative_to(path)) for file in files if not extensions or Path(file).suffix.lower() in extensions
            )
    return sorted(found)


def get_full_path(folder_name: str, filename: str) -> str | None:
    for path in get_folder_paths(folder_name):
        if Path(path, filename).is_file():
            return str(Path(path, filename))
    return None


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    path = get_full_path(folder_name, filename)
    if path is None:
        raise FileNotFoundError(f"Model in folder '{folder_name}' with filename '{filename}' not found.")
    return path


def is_inside(folder: str, path: str | Path) -> bool:
    """By name, links left alone, as the real program does it."""
    folder = os.path.abspath(folder)  # noqa: PTH100  resolve() would follow links
    return os.path.commonpath([folder, os.path.abspath(path)]) == folder  # noqa: PTH100


def get_save_image_path(
    filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
) -> tuple[str, str, int, str, str]:
    """The folder, the name, the next free number, the subfolder and the prefix."""
    filename_prefix = os.path.normpath(filename_prefix)
    filename = Path(filename_prefix).name
    folder = Path(output_dir, filename_prefix).parent
    if not is_inside(output_dir, folder):
        raise ValueError(f"**** ERROR: Saving image outside the output folder is not allowed. full_output_folder: {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    subfolder = "" if str(folder) == output_dir else str(folder.relative_to(output_dir))
    # Found by listing, without a lock, like the real one: two programs on one output directory overwrite each other.
    numbers = [path.name.removeprefix(f"{filename}_").split("_")[0] for path in folder.iterdir() if path.name.startswith(f"{filename}_")]
    counter = max((int(number) for number in numbers if number.isdigit()), default=0) + 1
    return str(folder), filename, counter, subfolder, filename_prefix


try:
    Path(get_input_directory()).mkdir(exist_ok=True)
except OSError:
    logging.error("Failed to create input directory")
