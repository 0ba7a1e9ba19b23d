#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: workflow_info
short_description: Say which custom-node packs and which models ComfyUI workflows need
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Reads workflow files, those for the editor and those for the API, in JSON or inside PNG and WebP pictures, with subgraphs and groups.
  - Says which custom-node packs they need and which model files, in which folder and from where, and how sure that is.
  - What ComfyUI would not run, because it is muted or bypassed, is left out.
  - Files, and what is in them, are taken for what strangers wrote. A file that cannot be read gets a row that says why, and never fails
    the task. Names and addresses that break a rule are refused with a finding. Nothing in a workflow makes a repository trusted.
  - Changes nothing, and asks the network nothing, unless O(object_info) is an address.
options:
  paths:
    description: Files, folders (with those below them) and patterns such as V(flows/*.json).
    type: list
    elements: str
    required: true
  registry:
    description:
      - Where ComfyUI-Manager's node map, node list, model list and star counts are. One folder, or the files themselves, plain or C(.gz).
      - V(auto) takes the controller's cache, which the role P(emprops.comfyui.node_registry#role) keeps, else the copy in the Python
        package C(comfyui-manager), else none. The result says which one it was, and how old it is.
      - V(none) asks no registry.
    type: list
    elements: str
    default: [auto]
  catalogue:
    description:
      - What the operator decided. It outranks what a workflow says.
      - C(custom_nodes) are packs in the shape of C(config_nodes.json), where C(classes) may list node types that are this pack's.
      - C(models) are C({name, directory, url, sha256, size}).
      - C(accepted) are names of rows that may stay unresolved. They are still listed as such.
    type: dict
    default: {}
  manifests:
    description:
      - Packs that are listed elsewhere and count as the catalogue's do. Each is the text of a manifest, or a list of packs.
      - Of one name the catalogue's stands, then that of the first manifest that has it.
    type: list
    elements: raw
    default: []
  git_protocols:
    description: Protocols that a pack's address in O(catalogue) and O(manifests) may use.
    type: list
    elements: str
    default: [https, ssh]
  object_info:
    description:
      - Address of a running instance, such as V(http://127.0.0.1:8188), or path of a file with what its C(/object_info) answered.
      - It says better than anything else which classes and models are there.
    type: str
  comfyui_version:
    description:
      - Version that decides which classes are builtin where no instance is asked. Without it, those of every version are.
    type: str
  ambiguous:
    description:
      - What to do when several packs claim a class and nothing in the workflow tells them apart.
      - V(best) takes the one that another class of the file needs anyway, else the one with most stars. When that is not clear, the class
        is listed in RV(unresolved) as well.
      - V(best_any) takes it even then.
      - V(fail) lists every such class in RV(unresolved) and takes none.
    type: str
    choices: [fail, best, best_any]
    default: best
  include_inactive:
    description: Take muted and bypassed nodes into account.
    type: bool
    default: false
  include_frontend_only:
    description: Take packs into account that are needed to open a workflow in the editor, and not to run it.
    type: bool
    default: false
  allowed_hosts:
    description:
      - Hosts that a model's address may name, over https. An entry such as V(http://127.0.0.1:8080) allows exactly that, private or
        unencrypted as it is.
      - By default Hugging Face, CivitAI and GitHub.
    type: list
    elements: str
  allow_unlisted_packs:
    description:
      - Take a repository that only a workflow names. Its code will run on the machine.
    type: bool
    default: false
  allow_renames:
    description:
      - Take an address that a workflow gives for a file of another name. Without it, such an address counts only together with a digest.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
seealso:
  - module: emprops.comfyui.model_source_info
  - module: emprops.comfyui.pack_source_info
"""

EXAMPLES = r"""
- name: Ask what our workflows need
  emprops.comfyui.workflow_info:
    paths: [workflows]
    comfyui_version: 0.3.64
  delegate_to: localhost
  register: needs

- name: Ask what is missing on a machine that runs
  emprops.comfyui.workflow_info:
    paths: [/workspace/shared/workflows]
    object_info: http://127.0.0.1:8188
    catalogue: "{{ comfyui_catalogue }}"
"""

RETURN = r"""
files:
  description:
    - A row for each file. C(other) marks a file that was found in a folder, is whole, and is no workflow.
  type: dict
  returned: success
  sample:
    flows/portrait.json:
      valid: true
      format: {container: json, documents: [ui], primary: ui}
      comfyui_classes: [CheckpointLoaderSimple, KSampler]
      custom_node_classes: [IPAdapterModelLoader]
      frontend_only_classes: [Note]
      packs: [ComfyUI_IPAdapter_plus]
      models: [0, 1]
      unresolved: []
    flows/broken.json:
      valid: false
      error: "truncated: line 1, column 1024"
      other: false
packs:
  description: The custom-node packs that are needed, by name. A name is that of the folder below C(custom_nodes).
  type: list
  elements: dict
  returned: success
  sample:
    - name: ComfyUI_IPAdapter_plus
      repository: https://github.com/cubiq/ComfyUI_IPAdapter_plus
      cnr_id: comfyui_ipadapter_plus
      versions_seen: [2.0.0]
      classes: [IPAdapterModelLoader]
      confidence: high
      how: [cnr_id]
      seen_in: [flows/portrait.json]
      candidates: []
      installed:
models:
  description:
    - The model files that are needed, by folder and name. A name may lead through sub-folders of the directory.
    - C(installed), there where O(object_info) is given, is whether the instance offers the file.
    - C(source) is who says where it comes from. It is V(catalogue), V(workflow), V(downloader), V(value), V(model_list), V(note)
      or V(none).
  type: list
  elements: dict
  returned: success
  sample:
    - name: portrait.safetensors
      directory: checkpoints
      url: https://huggingface.co/example/portrait/resolve/main/portrait.safetensors
      sha256:
      size:
      source: workflow
      confidence: high
      active: true
      pickle: false
      seen_in: [flows/portrait.json]
      warnings: []
builtin_too_new:
  description: Classes of ComfyUI itself that the target does not have.
  type: list
  elements: dict
  returned: success
  sample:
    - class: LoadAudioLatent
      seen_in: [flows/song.json]
      needs_version: 0.3.70
      reason: needs ComfyUI 0.3.66 or newer
unresolved:
  description: What could not be told, and why. A row names a C(class) or a C(model).
  type: list
  elements: dict
  returned: success
  sample:
    - model: loras/house_style.safetensors
      reason: no source is known
      suggestion:
      seen_in: [flows/portrait.json]
findings:
  description: What is odd, doubtful or dangerous in the files. Secrets are never repeated.
  type: list
  elements: dict
  returned: success
  sample:
    - kind: renamed_url
      severity: warning
      message: "the address of other.safetensors is saved as portrait.safetensors: it is not used"
      file: flows/portrait.json
      node: "12"
registry:
  description: Which registry was asked, and how old it is; C(words) says all of it for people.
  type: dict
  returned: success
  sample:
    kind: cache
    path: /home/me/.cache/emprops.comfyui/registry
    date: "2026-08-18T22:08:00+00:00"
    age_days: 94
    words: "5850 packs, 39492 classes and 522 models from the cache /home/me/.cache/emprops.comfyui/registry, 2026-08-18, 94 days old"
builtins:
  description: How it was decided which classes are builtin.
  type: dict
  returned: success
  sample: {version: 0.3.64, exact: true, note: ""}
warnings_of_catalogue:
  description: Entries of O(catalogue) that are odd.
  type: list
  elements: str
  returned: success
summary:
  description: Counts, and how long it took.
  type: dict
  returned: success
  sample: {files: 2, valid: 1, invalid: 1, packs: 1, models: 2, unresolved: 1, seconds: 0.004}
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import CatalogueError, parse_catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._comfyui_api import ANSWER_LIMIT, ComfyUI, ComfyUIError
from ansible_collections.emprops.comfyui.plugins.module_utils._core_nodes import builtins, parse_object_info
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import ManifestError
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import RegistryError, load_registry
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_info import Options, analyse
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_needs import with_manifests
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import DEFAULT_HOSTS, HostsError, check_hosts, printable


def read_object_info(source):
    """What an instance answers now, or answered when somebody saved it."""
    if source.startswith(("http://", "https://")):
        return ComfyUI(source.removesuffix("/object_info"), timeout=30).object_info()
    path = Path(source)
    if path.stat().st_size > ANSWER_LIMIT:
        raise ValueError(f"it is larger than {ANSWER_LIMIT} bytes")
    return json.loads(path.read_text(encoding="utf-8-sig"))


def main():
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "str", "required": True},
            "registry": {"type": "list", "elements": "str", "default": ["auto"]},
            "catalogue": {"type": "dict", "default": {}},
            "manifests": {"type": "list", "elements": "raw", "default": []},
            "git_protocols": {"type": "list", "elements": "str", "default": ["https", "ssh"]},
            "object_info": {"type": "str"},
            "comfyui_version": {"type": "str"},
            "ambiguous": {"type": "str", "choices": ["fail", "best", "best_any"], "default": "best"},
            "include_inactive": {"type": "bool", "default": False},
            "include_frontend_only": {"type": "bool", "default": False},
            "allowed_hosts": {"type": "list", "elements": "str"},
            "allow_unlisted_packs": {"type": "bool", "default": False},
            "allow_renames": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    object_info = None
    try:
        if params["object_info"]:
            object_info = parse_object_info(read_object_info(params["object_info"]))
    except (ComfyUIError, OSError, ValueError, RecursionError) as error:
        module.fail_json(msg=printable(f"object_info cannot be used: {params['object_info']}: {error}"))
    try:
        hosts = DEFAULT_HOSTS if params["allowed_hosts"] is None else tuple(params["allowed_hosts"])
        check_hosts(hosts)
        listed = with_manifests(params["catalogue"], params["manifests"], params["git_protocols"])
        catalogue = parse_catalogue(listed, params["git_protocols"])
        registry = load_registry(params["registry"][0] if len(params["registry"]) == 1 else params["registry"])
    except (CatalogueError, HostsError, ManifestError, RegistryError) as error:
        module.fail_json(msg=str(error))
    target = builtins(None if object_info else params["comfyui_version"])
    options = Options(
        allowed_hosts=hosts,
        ambiguous=params["ambiguous"],
        include_inactive=params["include_inactive"],
        include_frontend_only=params["include_frontend_only"],
        allow_unlisted_packs=params["allow_unlisted_packs"],
        allow_renames=params["allow_renames"],
    )
    result = analyse(params["paths"], options, builtins=target, object_info=object_info, catalogue=catalogue, registry=registry)
    if object_info is None:
        found = {"version": target.version, "exact": target.exact, "note": target.note}
    else:
        found = {"version": None, "exact": True, "note": "what the running instance has"}
    module.exit_json(changed=False, **result, builtins=found, warnings_of_catalogue=list(catalogue.warnings))


if __name__ == "__main__":
    main()
