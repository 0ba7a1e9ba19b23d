# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Python packages and packs of custom nodes that are known to do harm, or to let others do it: only what a source says.

Written by hand, unlike the other files here. A row is added with the address of its source and the day on which that was read.
`refuse` is for what is malicious, or runs whatever a workflow tells it to; `warn` for what was mended in a later version.
"""

from __future__ import annotations

from dataclasses import dataclass

PACKAGE, PACK = "package", "pack"
REFUSE, WARN = "refuse", "warn"


@dataclass(frozen=True)
class Row:
    """`versions` are alternatives, each like `==1.2` or `>=4,<4.0.5`; without any, all are meant. Those of packages are `==` alone.

    A pack is known by its repositories (owner/name), by its ids in the Comfy registry, and by its folder where the source names that.
    """

    kind: str
    verdict: str
    name: str
    what: str
    source: str
    read: str
    versions: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    cnr_ids: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


ROWS = (
    Row(
        PACKAGE,
        REFUSE,
        "ultralytics",
        "these releases bring a crypto miner",
        "https://github.com/ultralytics/ultralytics/pull/18018",
        "2026-12-01",
        versions=("==8.3.41", "==8.3.42", "==8.3.45", "==8.3.46"),
    ),
    Row(
        PACKAGE,
        REFUSE,
        "litellm",
        "these releases steal keys and credentials, the second one at any start of Python",
        "https://github.com/BerriAI/litellm/issues/24518",
        "2026-12-01",
        versions=("==1.82.7", "==1.82.8"),
    ),
    Row(
        PACKAGE,
        REFUSE,
        "lightning",
        "these releases were published by an attacker, as the maintainers confirm, and steal credentials once imported",
        "https://github.com/Lightning-AI/pytorch-lightning/issues/21691",
        "2026-12-01",
        versions=("==2.6.2", "==2.6.3"),
    ),
    Row(
        PACKAGE,
        REFUSE,
        "mistralai",
        "this release downloads and runs a program of an attacker on Linux once imported",
        "https://github.com/mistralai/client-python/issues/523",
        "2026-12-01",
        versions=("==2.4.6",),
    ),
    Row(
        PACKAGE,
        REFUSE,
        "xinference",
        "these releases came out of an attack, as the maintainers confirm, who deleted them",
        "https://github.com/xorbitsai/inference/issues/4828",
        "2026-12-01",
        versions=("==2.6.0", "==2.6.1", "==2.6.2"),
    ),
    # The source names versions of genuine releases too; the package index has none of the following.
    Row(
        PACKAGE,
        REFUSE,
        "openai",
        "this is no release of OpenAI's: ComfyUI_LLMVISION brought it, to steal from its users",
        "https://github.com/ltdrdata/ComfyUI-Manager/blob/19532ae97928d69c10696ed3388c3362c6344690/glob/security_check.py",
        "2026-12-01",
        versions=("==1.16.3",),
    ),
    Row(
        PACKAGE,
        REFUSE,
        "anthropic",
        "these are no releases of Anthropic's: ComfyUI_LLMVISION brought them, to steal from its users",
        "https://github.com/ltdrdata/ComfyUI-Manager/blob/19532ae97928d69c10696ed3388c3362c6344690/glob/security_check.py",
        "2026-12-01",
        versions=("==0.21.4", "==0.21.5"),
    ),
    Row(
        PACK,
        REFUSE,
        "ComfyUI_LLMVISION",
        "it installs altered packages that steal passwords (2024-06)",
        "https://github.com/ltdrdata/ComfyUI-Manager/blob/19532ae97928d69c10696ed3388c3362c6344690/glob/security_check.py",
        "2026-12-01",
        repositories=("AppleBotzz/ComfyUI_LLMVISION",),
        folders=("ComfyUI_LLMVISION",),
    ),
    Row(
        PACK,
        REFUSE,
        "Upscaler_4K",
        "it delivers the Akira stealer (2026-01)",
        "https://github.com/Comfy-Org/ComfyUI/issues/11791",
        "2026-12-01",
        repositories=("EliseiBorisov/ComfyUI-Upscaler-4K",),
        cnr_ids=("upscaler-4k", "lonemilk-upscalernew-4k"),
    ),
    Row(
        PACK,
        REFUSE,
        "comfyui-terminal",
        "it was put on machines of strangers to mine on them, by workflows that run commands (2024-05)",
        "https://github.com/Comfy-Org/ComfyUI/issues/3473",
        "2026-12-01",
        repositories=("NullBulgeGroup/comfyui-terminal",),
    ),
    Row(
        PACK,
        REFUSE,
        "ComfyUI-Bmad-Nodes",
        "three of its nodes evaluate text of the workflow as Python, in every version (CVE-2024-21576)",
        "https://github.com/CVEProject/cvelistV5/blob/main/cves/2024/21xxx/CVE-2024-21576.json",
        "2026-12-01",
        repositories=("bmad4ever/comfyui_bmad_nodes",),
    ),
    Row(
        PACK,
        REFUSE,
        "ComfyUI-Ace-Nodes",
        "its node ACE_ExpressionEval evaluates text of the workflow as Python, in every version (CVE-2024-21577)",
        "https://github.com/CVEProject/cvelistV5/blob/main/cves/2024/21xxx/CVE-2024-21577.json",
        "2026-12-01",
        repositories=("hay86/ComfyUI_AceNodes",),
    ),
    Row(
        PACK,
        REFUSE,
        "ComfyUI-RuiquNodes",
        "it runs any Python code that a workflow holds, and was found installed together with miners (2026-04)",
        "https://github.com/Comfy-Org/ComfyUI-Manager/issues/2816",
        "2026-12-01",
        repositories=("ruiqutech/ComfyUI-RuiquNodes",),
    ),
    Row(
        PACK,
        WARN,
        "AnyNode",
        "a prompt can make it run any Python code, and the report of that is open",
        "https://github.com/lks-ai/anynode/issues/46",
        "2026-12-01",
        repositories=("lks-ai/anynode",),
    ),
    Row(
        PACK,
        WARN,
        "ComfyUI-Manager",
        "before 3.39.2, and in 4.0 before 4.0.5, whoever reaches it can change its settings, and so run code (CVE-2026-22777)",
        "https://github.com/projectdiscovery/nuclei-templates/pull/15942",
        "2026-12-01",
        versions=("<3.39.2", ">=4.0,<4.0.5"),
        repositories=("ltdrdata/ComfyUI-Manager", "Comfy-Org/ComfyUI-Manager"),
    ),
    Row(
        PACK,
        WARN,
        "ComfyUI-Impact-Pack",
        "before 7.6.2, whoever reaches ComfyUI can write files anywhere (CVE-2024-21575)",
        "https://github.com/CVEProject/cvelistV5/blob/main/cves/2024/21xxx/CVE-2024-21575.json",
        "2026-12-01",
        versions=("<7.6.2",),
        repositories=("ltdrdata/ComfyUI-Impact-Pack",),
        cnr_ids=("comfyui-impact-pack",),
    ),
)
