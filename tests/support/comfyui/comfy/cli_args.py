# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The flags of the 0.3 releases, read once at import; an unknown one ends the program with 2, as argparse does."""

from __future__ import annotations

import argparse
from pathlib import Path

SWITCHES = (
    "--auto-launch",
    "--disable-auto-launch",
    "--cpu-vae",
    "--force-channels-last",
    "--disable-ipex-optimize",
    "--disable-xformers",
    "--disable-smart-memory",
    "--deterministic",
    "--fast",
    "--dont-print-server",
    "--quick-test-for-ci",
    "--windows-standalone-build",
    "--disable-metadata",
    "--disable-all-custom-nodes",
    "--multi-user",
    "--log-stdout",
)

# At most one of each row. --normalvram is left out on purpose: later releases dropped it, and nothing may depend on it.
EXCLUSIVE = (
    ("--cuda-malloc", "--disable-cuda-malloc"),
    ("--force-fp32", "--force-fp16"),
    ("--fp32-unet", "--fp64-unet", "--bf16-unet", "--fp16-unet", "--fp8_e4m3fn-unet", "--fp8_e5m2-unet"),
    ("--fp16-vae", "--fp32-vae", "--bf16-vae"),
    ("--fp8_e4m3fn-text-enc", "--fp8_e5m2-text-enc", "--fp16-text-enc", "--fp32-text-enc"),
    ("--use-split-cross-attention", "--use-quad-cross-attention", "--use-pytorch-cross-attention", "--use-sage-attention"),
    ("--force-upcast-attention", "--dont-upcast-attention"),
    ("--gpu-only", "--highvram", "--lowvram", "--novram", "--cpu"),
)


def directory(path: str) -> str:
    if not Path(path).is_dir():
        raise argparse.ArgumentTypeError(f"{path} is not a valid directory.")
    return path


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A stand-in for ComfyUI: its flags, log lines and endpoints, without its models.")
    add = parser.add_argument
    add("--listen", default="127.0.0.1", metavar="IP", nargs="?", const="0.0.0.0,::", help="Addresses, separated by commas.")
    add("--port", type=int, default=8188)
    add("--tls-keyfile", help="Refused: the stand-in speaks plain HTTP.")
    add("--tls-certfile", help="Refused: the stand-in speaks plain HTTP.")
    add("--enable-cors-header", metavar="ORIGIN", nargs="?", const="*")
    add("--max-upload-size", type=float, default=100, help="In MB.")
    add("--extra-model-paths-config", metavar="PATH", nargs="+", action="append", default=[])
    add("--output-directory")
    add("--temp-directory", help="The directory temp inside it is used, and emptied at every start.")
    add("--input-directory")
    add("--user-directory", type=directory, help="Must exist.")
    add("--cuda-device", type=int, metavar="DEVICE_ID")
    add("--directml", type=int, nargs="?", const=-1, metavar="DIRECTML_DEVICE")
    add("--preview-method", choices=["none", "auto", "latent2rgb", "taesd"], default="none")
    add("--preview-size", type=int, default=512)
    add("--reserve-vram", type=float, help="In GB.")
    add("--default-hashing-function", choices=["md5", "sha1", "sha256", "sha512"], default="sha256")
    add("--verbose", nargs="?", const="DEBUG", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
    add("--front-end-version", default="comfyanonymous/ComfyUI@latest")
    add("--front-end-root", type=directory)
    for flag in SWITCHES:
        add(flag, action="store_true")
    for flags in EXCLUSIVE:
        group = parser.add_mutually_exclusive_group()
        for flag in flags:
            group.add_argument(flag, action="store_true")
    cache = parser.add_mutually_exclusive_group()
    cache.add_argument("--cache-classic", action="store_true")
    cache.add_argument("--cache-lru", type=int, default=0)
    return parser


_parser = build_parser()
args = _parser.parse_args()
if args.tls_keyfile or args.tls_certfile:
    _parser.error("the stand-in does not speak TLS")
