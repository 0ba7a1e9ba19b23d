# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The tools that are compared: how each is asked for the same files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measure import Command
from stage import CA, HOME, REPOSITORY, TARGET, Served

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv/bin/python"
# Later versions of huggingface_hub do without hf_transfer.
PACKAGES = {
    "hub": ("huggingface_hub==2.4.0",),
    "hf_transfer": ("huggingface_hub==0.36.2", "hf_transfer==0.1.9"),
    "comfy-cli": ("comfy-cli==1.23.0",),
}
PROGRAMS = {"nginx": "nginx-light", "aria2c": "aria2", "curl": "curl", "openssl": "openssl", "ip": "iproute2", "mount": "mount"}

_HUB = """
import sys
from concurrent.futures import ThreadPoolExecutor
from huggingface_hub import hf_hub_download
repository, folder, *names = sys.argv[1:]
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda name: hf_hub_download(repository, name, local_dir=folder), names))
"""


@dataclass(frozen=True)
class Tool:
    name: str
    verified: bool
    ask: Callable[[str, Sequence[Served]], list[Command]]  # from where, which files
    environment: Mapping[str, str] = field(default_factory=dict)
    slow: bool = False  # a minute and more on the link


def install(cache: Path) -> dict[str, Path]:
    """The Python tools, each in an environment of its own; the folders of their programs."""
    folders = {}
    for name, packages in PACKAGES.items():
        folders[name] = cache / "download-tools" / name / "bin"
        stamp = folders[name] / f".{'-'.join(packages)}"
        if not stamp.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(stamp.parents[1])], check=True)
            done = subprocess.run([str(folders[name] / "pip"), "install", *packages], capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            stamp.touch()
    return folders


def ours() -> Tool:
    return Tool("ours: models", True, ask_models, {"PYTHONPATH": str(ROOT / ".ansible/collections")})


def others(programs: Mapping[str, Path]) -> dict[str, Tool]:
    def hub(name: str, label: str, **environment: str) -> Tool:
        words = [str(programs[name] / "python"), "-c", _HUB, REPOSITORY, str(TARGET)]

        def ask(_base: str, files: Sequence[Served]) -> list[Command]:
            return [Command([*words, *(file.name for file in files)])]

        return Tool(f"{label} {PACKAGES[name][0].partition('==')[2]}", False, ask, {"HF_HUB_DISABLE_XET": "1", **environment})

    def ask_comfy(base: str, files: Sequence[Served]) -> list[Command]:
        words = [
            str(programs["comfy-cli"] / "comfy"),
            "--skip-prompt",
            "--workspace",
            str(TARGET),
            "model",
            "download",
            "--relative-path",
            ".",
        ]
        return [Command([*words, "--filename", file.name, "--url", f"{base}/{file.name}"]) for file in files]

    return {
        "aria2c": Tool("aria2c -x16 -s16 -j8", False, lambda base, files: ask_aria2(base, files, checksum=False)),
        "aria2c checksum": Tool("aria2c -x16 -s16 -j8 --checksum", True, lambda base, files: ask_aria2(base, files, checksum=True)),
        "curl": Tool("curl -o", False, ask_curl, slow=True),
        "curl openssl": Tool("curl -o, openssl dgst", True, ask_curl_and_openssl, slow=True),
        "curl parallel": Tool("curl --parallel", False, ask_curl_parallel),
        "get_url": Tool("ansible.builtin.get_url checksum=", True, ask_get_url, slow=True),
        "hub": hub("hub", "huggingface_hub"),
        "hf_transfer": hub("hf_transfer", "hf_transfer by huggingface_hub", HF_HUB_ENABLE_HF_TRANSFER="1"),
        "comfy-cli": Tool("comfy-cli model download", False, ask_comfy, slow=True),
    }


def ask_models(base: str, files: Sequence[Served]) -> list[Command]:
    """The module as Ansible starts it, with its own defaults."""
    models = [{"name": file.name, "directory": "checkpoints", "url": f"{base}/{file.name}", "sha256": file.sha256} for file in files]
    options = {"store": str(TARGET / "models"), "state_dir": str(TARGET / "state"), "models": models, "allowed_hosts": [base]}
    return [module([str(ROOT / "plugins/modules/models.py")], options)]


def module(words: Sequence[str], options: Mapping[str, object]) -> Command:
    return Command([str(PYTHON), *words], json.dumps({"ANSIBLE_MODULE_ARGS": options}))


def ask_aria2(base: str, files: Sequence[Served], checksum: bool) -> list[Command]:
    lines = []
    for file in files:
        lines += [f"{base}/{file.name}", f"  out={file.name}", *([f"  checksum=sha-256={file.sha256}"] if checksum else [])]
    words = ["aria2c", "-x16", "-s16", "-j8", "--no-conf", "--console-log-level=error", "--summary-interval=0"]
    return [Command([*words, f"--ca-certificate={CA}", f"--dir={TARGET}", "--input-file=-"], "\n".join(lines) + "\n")]


def ask_curl(base: str, files: Sequence[Served]) -> list[Command]:
    return [Command([*_curl(), "-o", str(TARGET / file.name), f"{base}/{file.name}"]) for file in files]


def ask_curl_and_openssl(base: str, files: Sequence[Served]) -> list[Command]:
    return [*ask_curl(base, files), Command(["openssl", "dgst", "-sha256", *(str(TARGET / file.name) for file in files)])]


def ask_curl_parallel(base: str, files: Sequence[Served]) -> list[Command]:
    targets = [word for file in files for word in ("-o", str(TARGET / file.name), f"{base}/{file.name}")]
    return [Command([*_curl(), "--parallel", *targets])]


def ask_get_url(base: str, files: Sequence[Served]) -> list[Command]:
    """The module alone, which costs less than the task that a loop makes of each."""
    common = {"_ansible_remote_tmp": str(HOME)}
    return [
        module(
            ["-m", "ansible.modules.get_url"],
            {"url": f"{base}/{file.name}", "dest": str(TARGET / file.name), "checksum": f"sha256:{file.sha256}", **common},
        )
        for file in files
    ]


def _curl() -> list[str]:
    return ["curl", "--silent", "--show-error", "--fail", "--cacert", str(CA)]
