#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pack_source_info
short_description: Ask the Comfy registry which packs have classes of nodes, and what is known of the packs
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Finds the pack of each class, and tells for each pack its repository, its latest version and whether the registry warns of it.
  - A pack or version that the registry has banned or deleted is an error, and no address of it is returned.
    One that is flagged or waits to be examined is a warning.
  - That the registry lists a pack does not make it trusted. Nothing is installed because of an answer.
  - It changes nothing. Proxies and certificates are taken from the environment.
options:
  classes:
    description: Class names of nodes, such as those that M(emprops.comfyui.workflow_info) could not resolve.
    type: list
    elements: str
    default: []
  packs:
    description: Ids of packs, as in V(comfyui-kjnodes), or V(comfyui-kjnodes@1.0.5) to hear about that version as well.
    type: list
    elements: str
    default: []
  registry_url:
    description: Another server with the interface of the Comfy registry, which is asked in its place.
    type: str
    default: https://api.comfy.org
  tokens:
    description:
      - Bearer tokens by host, for a registry of one's own. The Comfy registry needs none.
      - A token goes to that host only, as a header, never across a redirect to another host and never unencrypted over a network.
    type: dict
    default: {}
  fail_on_error:
    description: Whether the task fails, after everything was asked, when there was an error with a class, a pack or a version.
    type: bool
    default: false
  timeout_seconds:
    description: How long one try of a question may take. Passing failures are tried four times.
    type: int
    default: 30
  connections:
    description: How many questions are asked at the same time.
    type: int
    default: 8
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Ask who has the classes that nobody here knows
  emprops.comfyui.pack_source_info:
    classes: "{{ needed.unresolved | selectattr('class', 'defined') | map(attribute='class') }}"
    packs: [comfyui-kjnodes@1.0.5]
  register: proposed
  delegate_to: localhost
"""

RETURN = r"""
classes:
  description: The pack of each class, in the order of the list.
  type: list
  elements: dict
  returned: always, once the registry's address is understood
  contains:
    class:
      description: Class name of a node.
      type: str
    pack:
      description: Id of its pack, which has a row in RV(packs). Null where there is an error.
      type: str
    error:
      description: Why there is none.
      type: str
  sample:
    - class: ImageResizeKJ
      pack: comfyui-kjnodes
      error:
packs:
  description: What is known of each pack, those that were asked for first.
  type: list
  elements: dict
  returned: always, once the registry's address is understood
  contains:
    id:
      description: Id of the pack, as the registry spells it.
      type: str
    name:
      description: Name of the repository, and of the folder that a clone of it makes.
      type: str
    title:
      description: What people call it.
      type: str
    publisher:
      description: Who publishes it in the registry.
      type: str
    repository:
      description: Address of its repository. Null where it names none on a host that packs are installed from.
      type: str
    install_type:
      description: V(git-clone) where there is a repository, V(cnr) where there is an archive alone, null where there is neither.
      type: str
    latest:
      description:
        - Its latest version with V(version), V(status), V(download_url), V(deprecated), V(dependencies) and V(warnings).
        - The registry publishes no digest of its archives.
      type: dict
    versions:
      description: The versions that were asked for, in the same shape, each with an V(error), which is null where there is none.
      type: list
      elements: dict
    classes:
      description: The asked classes that it has.
      type: list
      elements: str
    warnings:
      description: What a person should know.
      type: list
      elements: str
    error:
      description: Why nothing is known of it, or that it is refused.
      type: str
  sample:
    - id: comfyui-kjnodes
      name: ComfyUI-KJNodes
      title: ComfyUI-KJNodes
      publisher: kijai
      repository: https://github.com/kijai/ComfyUI-KJNodes
      install_type: git-clone
      latest:
        version: 1.1.2
        status: active
        download_url: https://cdn.comfy.org/kijai/comfyui-kjnodes/1.1.2/node.zip
        deprecated: false
        dependencies: [pillow>=10.3.0]
        warnings: []
        error:
      versions: []
      classes: [ImageResizeKJ]
      warnings: []
      error:
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_sources._ask_packs import ask_packs, describe_failures
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_sources._comfy_registry import ComfyRegistry
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions, base_origin, base_url


def main():
    module = AnsibleModule(
        argument_spec={
            "classes": {"type": "list", "elements": "str", "default": []},
            "packs": {"type": "list", "elements": "str", "default": []},
            "registry_url": {"type": "str", "default": "https://api.comfy.org"},
            "tokens": {"type": "dict", "default": {}, "no_log": True},
            "fail_on_error": {"type": "bool", "default": False},
            "timeout_seconds": {"type": "int", "default": 30},
            "connections": {"type": "int", "default": 8},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["connections"] < 1 or params["timeout_seconds"] < 1:
        module.fail_json(msg="connections and timeout_seconds must be 1 or more")
    try:
        base = base_url(params["registry_url"])
        source = ComfyRegistry(Questions(params["tokens"], params["timeout_seconds"], [base_origin(base)]), base)
    except DownloadError as error:
        module.fail_json(msg=str(error))
    classes, packs = ask_packs(params["classes"], params["packs"], source, params["connections"])
    failures = describe_failures(classes, packs)
    if params["fail_on_error"] and failures:
        module.fail_json(msg=failures, classes=classes, packs=packs)
    module.exit_json(changed=False, classes=classes, packs=packs)


if __name__ == "__main__":
    main()
