# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A folder of packs' requirement files, resolved as the module custom_nodes would, with a table of what each pack asked for.

    python benchmarks/custom_nodes/resolve_manifest.py FOLDER [--exclude-newer 2025-10-01] [--on-conflict skip_pack] [--hosts github.com …]

FOLDER/packs/<name>/ holds a pack's requirements.txt, pyproject.toml or setup.cfg, FOLDER/ComfyUI/ the fork's. Nothing is installed.
With FOLDER/config_nodes.json, packs whose entry says requirements: false are not asked.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT / ".ansible/collections"))

import yaml  # noqa: E402
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account  # noqa: E402
from ansible_collections.emprops.comfyui.plugins.module_utils._git import HOSTS  # noqa: E402
from ansible_collections.emprops.comfyui.plugins.module_utils._known_bad import refused_packages  # noqa: E402
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import parse_manifest  # noqa: E402
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_requirements import (  # noqa: E402
    RequirementsError,
    Rules,
    Source,
    read_requirements,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import PythonEnv, PythonOptions  # noqa: E402
from ansible_collections.emprops.comfyui.plugins.module_utils._resolution import parse_policy, resolve  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exclude-newer", default="")
    parser.add_argument("--on-conflict", default="skip_pack", help="skip_pack, fail, or JSON")
    parser.add_argument("--override", action="append", default=[])
    parser.add_argument("--hosts", nargs="*", default=list(HOSTS))
    options = parser.parse_args()

    manifest = options.folder / "config_nodes.json"
    listed, _warnings = parse_manifest(manifest.read_text(), manifest.name, ("https", "ssh")) if manifest.exists() else ([], [])
    silent = {pack.name for pack in listed if not pack.requirements}
    asked, refused = [], {}
    for folder in sorted((options.folder / "packs").iterdir(), key=lambda path: path.name.casefold()):
        if folder.name not in silent:
            try:
                asked.append(read_requirements(Source(folder.name, folder), Rules(options.hosts)))
            except RequirementsError as error:
                refused[folder.name] = str(error)
    core = read_requirements(Source("ComfyUI", options.folder / "ComfyUI"), Rules(None))
    defaults = yaml.safe_load((CHECKOUT / "roles/comfyui_fork/defaults/main.yml").read_text())
    python = PythonOptions(
        uv_version=defaults["comfyui_fork_uv_version"], exclude_newer=options.exclude_newer, overrides=tuple(options.override)
    )
    policy = parse_policy(json.loads(options.on_conflict) if options.on_conflict.startswith("{") else options.on_conflict)
    with tempfile.TemporaryDirectory() as scratch:
        env = PythonEnv(Path(scratch) / "release", Path(scratch) / "cache", python, Account.named(None))
        env.create()
        started = time.monotonic()
        done = resolve(env, core, asked, policy, refused=refused_packages())
        first = time.monotonic() - started
        started = time.monotonic()
        resolve(env, core, [each for each in asked if each.source not in done.left_out], policy, refused=refused_packages())
        again = time.monotonic() - started
    left_out = done.left_out | refused
    print("| pack | asks for | |\n|---|---|---|")
    for each in asked:
        wants = ", ".join(each.lines).replace("|", "/") or "–"
        print(f"| {each.source} | {wants} | {'**left out**' if each.source in left_out else ''} |")
    for name in refused:
        print(f"| {name} | | **refused** |")
    print(f"\n{len(done.pins)} packages for ComfyUI and {len(asked) - len(done.left_out)} packs; {len(left_out)} left out.")
    print(f"The first resolution, conflicts and all, took {first / again:.0f} times as long as the last one alone.\n")
    print("\n\n".join(left_out.values()))
    print("\nWhat became of lines:\n" + "\n".join(f"- {note}" for note in done.notes))
    once = [f"{name} {version}" for name, version in done.pins.items() if any(part in name for part in ("torch", "opencv", "onnxruntime"))]
    print(f"\nTorch and what comes once: {', '.join(once)}")


if __name__ == "__main__":
    main()
