# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Fuzz one target, guided by what its code covers:

    PYTHONPATH=tests:.ansible/collections .venv/bin/python -m fuzz <target> <folder> -max_total_time=600

The folder keeps the corpus from run to run, and the input of whatever was found; further options are libFuzzer's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ansible_collections.emprops"]):
    from fuzz.targets import TARGETS

WORDS = (
    *('{"', '":', "[", "]", "{}", "null", "nodes", "class_type", "workflow", "prompt", "extra_pnginfo", "tests", "\\ud83d", "\\\\"),
    *("tEXt", "iTXt", "zTXt", "comf", "IEND", "WEBP", "EXIF", "Exif\0\0", "MM\0*", "II*\0"),
    *("https://", "huggingface.co", "hf.co", "/blob/", "%2e%2e", "@", "../", "{{", "token=", "hf_", "\0\0\0\x0c"),
)


def main(target: str, folder: Path, *options: str) -> None:
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in TARGETS[target].seeds.items():
        (corpus / f"seed-{name}").write_bytes(data)
    words = folder / "words"
    words.write_text("".join(f"{_quoted(word)}\n" for word in WORDS))
    found = f"-artifact_prefix={folder}/found-"
    # Every input is small, so ten seconds are a hang.
    limits = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=8192")
    atheris.Setup([sys.argv[0], f"-dict={words}", found, *limits, *options, str(corpus)], TARGETS[target].run)
    atheris.Fuzz()


def _quoted(word: str) -> str:
    return '"' + "".join(char if char.isalnum() else f"\\x{ord(char):02x}" for char in word) + '"'


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\nTargets: {json.dumps(sorted(TARGETS))}")
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
