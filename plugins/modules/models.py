#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: models
short_description: Keep a list of model files in the store, downloaded once and verified
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Downloads the model files that are missing, side by side and in ranges, and leaves alone those that are there and known good.
  - What does not fit on the disk is refused before the first byte, in one message.
  - A file gets its name only when it is whole, its digest is the wanted one and it is safe on the disk.
  - What was downloaded before a failure, a kill or a power cut is used by the next run, which proves it first.
  - A model that fails or is refused does not keep the others from being downloaded. The task then fails at its end and names each of them.
  - Web pages, errors in JSON, Git LFS pointers and files that were cut short are recognised and refused.
  - Several machines and processes may share a store. One of them fetches a file while the others wait for it, and takes its place when
    it dies.
  - While models are downloaded, the task prints a line every few seconds. The download goes on when the controller goes away; the next
    run waits for it.
  - Proxies and certificates are taken from the environment.
options:
  store:
    description: Folder that the models are in.
    type: path
    required: true
  models:
    description: The wanted files.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the file, perhaps with sub-folders in front.
        type: str
        required: true
      directory:
        description: Folder in O(store), such as V(checkpoints) or V(loras/portraits).
        type: str
        required: true
      url:
        description:
          - Where the file can be had.
          - On Hugging Face the address of a file or of the page that shows it. On CivitAI a download address, a model's page or an AIR.
            Anywhere else an C(https) address, which may be a signed link of S3, Google or Azure.
          - C(file:///path) is a file on a mounted share, C(ssh://user@host/path) one on another machine; O(allowed_hosts) must name both.
          - A file that is there is told by its digest and size alone, so that another address is no reason to download it again.
          - Without an address the file must be in the store already.
        type: str
      urls:
        description: More places, which are tried in order after V(url).
        type: list
        elements: str
      sha256:
        description: Digest that the file must have. Without it, the one that the source publishes, if it does.
        type: str
      size:
        description: Bytes that the file must have. Without it the source is asked.
        type: int
      allow_pickle:
        description: Whether this file may be a pickle (C(.ckpt), C(.pt), C(.pth), C(.bin), C(.pkl)), which can run code when it is loaded.
        type: bool
        default: false
  allowed_hosts:
    description:
      - Where models may come from. V(models.example.com) means https there, V(http://127.0.0.1:8080) exactly that address, which may be
        private or unencrypted. V(default) stands for Hugging Face, CivitAI and GitHub.
      - A folder (V(file:///mnt/models)) or a machine (V(ssh://user@host)) is named likewise.
      - An allowed host may redirect to the storage that it keeps its files in, but not to an address of a private network.
    type: list
    elements: str
    default: [default]
  allow_pickle:
    description: Whether all files may be pickles.
    type: bool
    default: false
  tokens:
    description:
      - Bearer tokens by host. V(huggingface.co) stands for https on its usual port, any other port is named, as in V(hub.example.com:8443).
      - A token goes to that host only, as a header, and never across a redirect to another one.
    type: dict
    default: {}
  token_files:
    description: Files on the controller with one token each, by host; they add to O(tokens).
    type: dict
    default: {}
  tokens_stay_on_controller:
    description:
      - Ask the hubs from the controller, and give the machine nothing but the signed links that they answer with. A link that expires is
        signed again.
      - A host that hands out files itself, without such links, cannot be used with a token then.
    type: bool
    default: false
  links:
    description: What the controller signed, by C(directory/name). Set by the task itself.
    type: dict
    default: {}
  plan_only:
    description: Say what would be done, as in check mode, but remember the digests that were computed for it. Set by the task itself.
    type: bool
    default: false
  owner:
    description: Account that owns the files and folders that are made.
    type: str
  group:
    description: Group of the files and folders that are made.
    type: str
  reserve:
    description: Bytes that must stay free on the disk.
    type: int
    default: 1073741824
  timeout_seconds:
    description: How long a server may be silent.
    type: int
    default: 60
  files:
    description: How many files are downloaded at the same time.
    type: int
    default: 8
  connections:
    description: How many connections there may be in all.
    type: int
    default: 32
  connections_per_host:
    description: How many of them to one host.
    type: int
    default: 32
  slow_bytes_per_second:
    description: A connection that stays below this is replaced.
    type: int
    default: 16384
  slow_seconds:
    description: For how long it may stay below.
    type: int
    default: 30
  claim_seconds:
    description: After how long without a sign of life another machine that fetches a file counts as dead.
    type: int
    default: 60
  link_duplicates:
    description: Whether files with the same digest become one file with several names.
    type: bool
    default: true
  progress_seconds:
    description: How often the task prints what moves; V(0) for never.
    type: int
    default: 5
  state_dir:
    description:
      - Folder of C(models.json), which knows the digest of every file and so saves computing it again, and of C(models.progress.json),
        which tells what moves.
    type: path
    default: /workspace/state
  tools_dir:
    description: Folder for the tools that some sources need, such as Hugging Face's own for files that only Xet hands out.
    type: path
    default: /workspace/state/tools
  ssh_key_file:
    description: Private key for V(ssh) addresses.
    type: path
  ssh_known_hosts_file:
    description: Host keys of the machines in V(ssh) addresses; an unknown one is refused.
    type: path
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details:
      - The plan is printed, with bytes. Servers are asked for the sizes of missing models; files that are not in the index yet are read.
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Keep the models of our workflows in the store
  emprops.comfyui.models:
    store: /workspace/shared/models
    models:
      - name: base.safetensors
        directory: checkpoints
        url: https://huggingface.co/example/base/resolve/main/base.safetensors
        sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
      - name: portrait.safetensors
        directory: loras
        urls:
          - file:///mnt/models/loras/portrait.safetensors
          - https://civitai.com/api/download/models/12345
    allowed_hosts: [default, file:///mnt/models]
    tokens:
      huggingface.co: "{{ vault_hugging_face_token }}"
    token_files:
      civitai.com: ~/.config/civitai.token
    owner: comfyui
"""

RETURN = r"""
models:
  description: What became of each model, in the order of the list.
  type: list
  elements: dict
  returned: always, once the options are understood
  contains:
    name:
      description: Name of the file.
      type: str
    directory:
      description: Folder in the store.
      type: str
    path:
      description: Where the file is.
      type: str
    state:
      description: V(present), V(downloaded) or V(failed); in check mode V(missing) is what would be downloaded.
      type: str
    source:
      description: Where the file came from, without what may be a secret. V(first seen) is a file that was there before.
      type: str
    how:
      description: V(index) for what was known, V(met) for what was read for the first time, V(download), or how it is the same file as
        another, V(hard link), V(reflink) or V(symlink).
      type: str
    bytes:
      description: Size of the file, if it is known.
      type: int
    seconds:
      description: How long this file took.
      type: float
    sha256:
      description: Digest of the file that is there.
      type: str
    first_seen:
      description: Whether the digest is only what was found when the file was first seen, because nobody publishes one.
      type: bool
    error:
      description: Why it failed.
      type: str
      returned: when it failed
    expired:
      description: Whether all it lacks is a new signed link.
      type: bool
      returned: when a link has expired
  sample:
    - name: base.safetensors
      directory: checkpoints
      path: /workspace/shared/models/checkpoints/base.safetensors
      state: downloaded
      source: https://huggingface.co/example/base/resolve/462165984030d82259a11f4367a4eed129e94a7b/base.safetensors
      how: download
      bytes: 2132625894
      seconds: 41.2
      sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
      first_seen: false
summary:
  description: Models by state, and the bytes that were downloaded, or would be.
  type: dict
  returned: always, once the options are understood
  sample: {present: 11, missing: 0, downloaded: 1, linked: 0, failed: 0, bytes: 2132625894, seconds: 41.3}
plan:
  description: What was found missing, and what each filesystem needed for it and had.
  type: dict
  returned: always, once the options are understood
  sample:
    files: 1
    bytes: 2132625894
    filesystems:
      - path: /workspace/shared/models/checkpoints
        needed: 2132625894
        free: 812345678901
        reserve: 1073741824
"""

import time
from contextlib import ExitStack
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import Claims
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import Index, ModelsIndexError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import PROGRESS_NAME, Progress
from ansible_collections.emprops.comfyui.plugins.module_utils._model_put import Put
from ansible_collections.emprops.comfyui.plugins.module_utils._model_ranges import Engine
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._downloads import DownloadOptions, Downloads
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client
from ansible_collections.emprops.comfyui.plugins.module_utils._models import (
    ModelsError,
    Planner,
    check_space,
    describe_failures,
    parse_account,
    parse_models,
    summarise,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import HostsError

_AT_LEAST_ONE = (
    "timeout_seconds",
    "files",
    "connections",
    "connections_per_host",
    "slow_bytes_per_second",
    "slow_seconds",
    "claim_seconds",
)


def main():
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "required": True},
            "models": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "directory": {"type": "str", "required": True},
                    "url": {"type": "str", "no_log": True},
                    "urls": {"type": "list", "elements": "str", "no_log": True},
                    "sha256": {"type": "str"},
                    "size": {"type": "int"},
                    "allow_pickle": {"type": "bool", "default": False},
                },
            },
            "allowed_hosts": {"type": "list", "elements": "str", "default": ["default"]},
            "allow_pickle": {"type": "bool", "default": False},
            "tokens": {"type": "dict", "default": {}, "no_log": True},
            "token_files": {"type": "dict", "default": {}, "no_log": False},
            "tokens_stay_on_controller": {"type": "bool", "default": False, "no_log": False},
            "links": {"type": "dict", "default": {}, "no_log": True},
            "plan_only": {"type": "bool", "default": False},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "reserve": {"type": "int", "default": 1024**3},
            "timeout_seconds": {"type": "int", "default": 60},
            "files": {"type": "int", "default": 8},
            "connections": {"type": "int", "default": 32},
            "connections_per_host": {"type": "int", "default": 32},
            "slow_bytes_per_second": {"type": "int", "default": 16384},
            "slow_seconds": {"type": "int", "default": 30},
            "claim_seconds": {"type": "int", "default": 60},
            "link_duplicates": {"type": "bool", "default": True},
            "progress_seconds": {"type": "int", "default": 5},
            "state_dir": {"type": "path", "default": "/workspace/state"},
            "tools_dir": {"type": "path", "default": "/workspace/state/tools"},
            "ssh_key_file": {"type": "path", "no_log": False},
            "ssh_known_hosts_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    # Ansible keeps these addresses out of every log; those that cannot hold a secret may be read in the result.
    urls = {url for entry in params["models"] for url in (entry["url"], *(entry["urls"] or [])) if url}
    module.no_log_values -= {url for url in urls if "?" not in url and "@" not in url}

    # Of what the controller hands over only the links themselves are secret.
    module.no_log_values -= {str(value) for link in params["links"].values() for key, value in link.items() if key != "url"}

    started = time.monotonic()
    state_dir, plan_only = Path(params["state_dir"]), module.check_mode or params["plan_only"]
    models = []
    plan = {"files": 0, "bytes": 0, "filesystems": []}
    diff = {}

    def result():
        changed = any(model.state == ("missing" if plan_only else "downloaded") for model in models)
        summary = summarise(models, time.monotonic() - started)
        return {"changed": changed, "models": [model.result for model in models], "summary": summary, "plan": plan, "diff": diff}

    if params["reserve"] < 0 or any(params[name] < 1 for name in _AT_LEAST_ONE):
        module.fail_json(msg=f"{', '.join(_AT_LEAST_ONE)} must be 1 or more, reserve 0 or more")
    try:
        client = Client(params["tokens"], params["timeout_seconds"], params["allowed_hosts"])
        paths = {name: Path(params[name]) for name in ("ssh_key_file", "ssh_known_hosts_file", "tools_dir") if params[name]}
        index = Index(state_dir, read_only=module.check_mode)
        models = parse_models(Path(params["store"]), params["models"], params["allow_pickle"])
        downloads = Downloads(client, DownloadOptions(**paths))
        ask_hubs = not params["tokens_stay_on_controller"]
        Planner(index, downloads, params["links"], ask_hubs, params["link_duplicates"]).plan(models)
        diff = {"before": list_names(models, "present"), "after": list_names(models, "present", "missing")}
        index.save()
        summary = summarise(models, 0)
        plan = {"files": summary["missing"], "bytes": summary["bytes"], "filesystems": []}
        plan["filesystems"], too_large = check_space(models, params["reserve"])
        if too_large:
            module.fail_json(msg=too_large, **result())
        if plan["files"] and not plan_only:
            uid, gid = parse_account(params["owner"], params["group"])
            with ExitStack() as stack:
                engine = Engine(
                    client,
                    connections=params["connections"],
                    connections_per_host=params["connections_per_host"],
                    slow_bytes=params["slow_bytes_per_second"],
                    slow_seconds=params["slow_seconds"],
                )
                put = Put(
                    store=Path(params["store"]),
                    index=index,
                    engine=stack.enter_context(engine),
                    claims=stack.enter_context(Claims(params["claim_seconds"])),
                    progress=stack.enter_context(Progress(state_dir / PROGRESS_NAME)),
                    reserve=params["reserve"],
                    files=params["files"],
                    uid=uid,
                    gid=gid,
                    share=params["link_duplicates"],
                )
                put.put(models)
            diff["after"] = list_names(models, "present", "downloaded")
            index.save()
    except (DownloadError, HostsError, ModelsError, ModelsIndexError) as error:
        module.fail_json(msg=str(error), **result())

    failures = describe_failures(models)
    if failures:
        module.fail_json(msg=failures, **result())
    module.exit_json(**result())


def list_names(models, *states):
    return "".join(f"{model.wanted.label}\n" for model in models if model.state in states)


if __name__ == "__main__":
    main()
