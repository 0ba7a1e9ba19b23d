# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A stand-in for ComfyUI: the order of a start, as its log tells it."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import logging
import os
import shutil
import sys
import threading
import time
from pathlib import Path

# First, so that --help and a wrong flag need no package and create nothing.
from comfy.cli_args import args  # isort: skip

import folder_paths


def set_up_log() -> None:
    """Plain lines on stderr; with --log-stdout everything below an error on stdout."""
    errors = logging.StreamHandler(sys.stderr)
    handlers: list[logging.Handler] = [errors]
    if args.log_stdout:
        errors.setLevel(logging.ERROR)
        others = logging.StreamHandler(sys.stdout)
        others.addFilter(lambda record: record.levelno < logging.ERROR)
        handlers.append(others)
    # By force: a line written while folder_paths was imported has set up a log of its own.
    logging.basicConfig(level=args.verbose, format="%(message)s", handlers=handlers, force=True)


def add_extra_paths(file: str) -> None:
    """Unforgiving like the real one: an empty file or a list instead of a string ends the program."""
    import yaml

    config = yaml.safe_load(Path(file).read_text())
    for section in config:
        if config[section] is None:
            continue
        values = dict(config[section])
        base = values.pop("base_path", None)
        base = os.path.expandvars(Path(base).expanduser()) if base is not None else str(Path(file).absolute().parent)
        is_default = values.pop("is_default", False)
        for kind, lines in values.items():
            for line in filter(None, lines.split("\n")):
                path = str(Path(base, line))
                logging.info(f"Adding extra search path {kind} {path}")
                folder_paths.add_model_folder_path(kind, path, is_default)


def apply_paths() -> None:
    own = Path(folder_paths.base_path, "extra_model_paths.yaml")
    for file in [str(own)] * own.is_file() + list(itertools.chain(*args.extra_model_paths_config)):
        add_extra_paths(file)
    for name in ("output", "input", "user"):
        wanted = getattr(args, f"{name}_directory")
        if wanted:
            logging.info(f"Setting {name} directory to: {Path(wanted).absolute()}")
            folder_paths.set_directory(name, str(Path(wanted).absolute()))
    for kind in ("checkpoints", "clip", "vae", "diffusion_models", "loras"):
        folder_paths.add_model_folder_path(kind, str(Path(folder_paths.get_output_directory(), kind)))


def run_prestartup_scripts() -> None:
    times = []
    for folder in folder_paths.get_folder_paths("custom_nodes"):
        for pack in sorted(Path(folder).iterdir()):
            script = pack / "prestartup_script.py"
            if pack.suffix == ".disabled" or not script.is_file():
                continue
            started = time.perf_counter()
            failed = ""
            try:
                spec = importlib.util.spec_from_file_location(f"prestartup_script.{pack.name}", script)
                spec.loader.exec_module(importlib.util.module_from_spec(spec))
            except Exception as error:  # a pack may raise anything
                failed = " (PRESTARTUP FAILED)"
                logging.error(f"Failed to execute startup-script: {script} / {error}")
            times.append((time.perf_counter() - started, failed, str(pack)))
    if times:
        logging.info("\nPrestartup times for custom nodes:")
        for seconds, failed, name in sorted(times):
            logging.info(f"{seconds:6.1f} seconds{failed}: {name}")
        logging.info("")


def clean_temp() -> None:
    shutil.rmtree(folder_paths.get_temp_directory(), ignore_errors=True)


def main() -> None:
    set_up_log()
    apply_paths()
    if not args.disable_all_custom_nodes:
        run_prestartup_scripts()
    if args.cuda_device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(args.cuda_device)
        logging.info(f"Set cuda device to: {args.cuda_device}")

    import nodes
    from comfy.model_management import device, ram
    from comfyui_version import __version__
    from server import PromptServer

    shown = device()
    logging.info(f"Total VRAM {shown['vram_total'] // 1024**2} MB, total RAM {ram()[0] // 1024**2} MB")
    logging.info("pytorch version: none")
    logging.info(f"Device: {shown['name']}")
    logging.info(f"Python version: {sys.version}")
    logging.info(f"ComfyUI version: {__version__}")
    if args.temp_directory:
        temp = Path(args.temp_directory, "temp").absolute()
        logging.info(f"Setting temp directory to: {temp}")
        folder_paths.set_directory("temp", str(temp))
    clean_temp()

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server = PromptServer(loop)
    if args.disable_all_custom_nodes:
        logging.info("Skipping loading of custom nodes")
    else:
        nodes.init_custom_nodes()
    server.add_routes()
    threading.Thread(target=server.work, daemon=True).start()
    if args.quick_test_for_ci:
        sys.exit(0)

    Path(folder_paths.get_temp_directory()).mkdir(parents=True, exist_ok=True)
    try:
        loop.run_until_complete(server.run(args.listen.split(","), args.port))
    except KeyboardInterrupt:
        logging.info("\nStopped server")
    clean_temp()


if __name__ == "__main__":
    main()
