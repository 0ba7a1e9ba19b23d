#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: workflow_run
short_description: Run a workflow on a ComfyUI instance and look at what comes out
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Submits a workflow in API format, waits until it has run, and fetches every image that it wrote.
  - Fails when the instance refuses the workflow or a part of it, when a node fails, when the prompt is lost, when a node
    that saves images wrote none, and when what it wrote is not an image. The message names the node, its class and the cause.
  - A workflow that runs uses the GPU and writes files, and the same workflow may give other images each time; so a run
    always counts as a change.
options:
  url:
    description: The instance.
    type: str
    default: http://127.0.0.1:8188
  workflow:
    description: The workflow in API format, a mapping of node ids to nodes.
    type: dict
  src:
    description: A JSON file on the machine with such a workflow.
    type: path
  timeout_seconds:
    description:
      - How long to wait for the end of the run, the time in the queue included.
      - A prompt that takes longer is left where it is.
    type: float
    default: 300
  poll_seconds:
    description: How long to wait between two looks.
    type: float
    default: 0.5
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: partial
    details: In check mode the workflow's form is checked and the instance must answer; then the task is skipped.
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
    details: What a run changes is the instance's output directory.
"""

EXAMPLES = r"""
- name: Prove that the instance can make an image
  emprops.comfyui.workflow_run:
    url: http://127.0.0.1:8188
    workflow:
      "1":
        class_type: EmptyImage
        inputs: {width: 64, height: 64, batch_size: 1, color: 0}
      "2":
        class_type: SaveImage
        inputs: {images: ["1", 0], filename_prefix: smoke}

- name: Run a workflow of the shared repository
  emprops.comfyui.workflow_run:
    src: /workspace/shared/workflows/txt2img_api.json
    timeout_seconds: 900
"""

RETURN = r"""
prompt_id:
  description: What the instance calls this run.
  type: str
  returned: when the instance took the workflow
  sample: 3f1b8a52-94a3-4d0e-8a9e-6f3f2a1f0f5e
seconds:
  description: From submitting the workflow to seeing that it had ended.
  type: float
  returned: when the workflow ran
  sample: 1.532
outputs:
  description: What each output node wrote, as in the instance's history.
  type: dict
  returned: when the workflow ran
images:
  description: The files that were fetched and found to be images.
  type: list
  elements: dict
  returned: success
  contains:
    node_id:
      description: The node that wrote it.
      type: str
      sample: "2"
    filename:
      description: Its name.
      type: str
      sample: smoke_00001_.png
    subfolder:
      description: Its folder below the directory of its type.
      type: str
    type:
      description: The directory that it is in.
      type: str
      sample: output
    bytes:
      description: Its size.
      type: int
      sample: 218
    width:
      description: Width in pixels, or V(null) for a film.
      type: int
      sample: 64
    height:
      description: Height in pixels, or V(null) for a film.
      type: int
      sample: 64
node_errors:
  description: What the instance found wrong with the workflow before running it, by node id.
  type: dict
  returned: when the instance answered
errors:
  description: Every error of a node, from before and during the run.
  type: list
  elements: dict
  returned: when the instance answered
  contains:
    node_id:
      description: The node.
      type: str
      sample: "4"
    node_class:
      description: Its class.
      type: str
      sample: CheckpointLoaderSimple
    type:
      description: The kind of error, or the exception's class.
      type: str
      sample: value_not_in_list
    message:
      description: The error in words.
      type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._comfyui_api import ComfyUI, ComfyUIError
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_run import (
    Patience,
    WorkflowError,
    check_workflow,
    load_workflow,
    run_workflow,
)

REQUEST_SECONDS = 30


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:8188"},
            "workflow": {"type": "dict"},
            "src": {"type": "path"},
            "timeout_seconds": {"type": "float", "default": 300},
            "poll_seconds": {"type": "float", "default": 0.5},
        },
        mutually_exclusive=[("workflow", "src")],
        required_one_of=[("workflow", "src")],
        supports_check_mode=True,
    )
    src = module.params["src"]
    patience = Patience(module.params["timeout_seconds"], module.params["poll_seconds"])
    try:
        workflow = check_workflow(load_workflow(Path(src)) if src else module.params["workflow"], src or "the workflow")
        client = ComfyUI(module.params["url"], min(REQUEST_SECONDS, patience.timeout))
        if module.check_mode:
            client.system_stats()
            module.exit_json(changed=False, skipped=True, msg=f"{client.url} answers; the workflow was not run in check mode")
        run = run_workflow(client, workflow, patience)
    except ComfyUIError as error:
        module.fail_json(msg=str(error))
    except WorkflowError as error:
        module.fail_json(msg=str(error), **error.run.to_result())

    module.exit_json(changed=True, **run.to_result())


if __name__ == "__main__":
    main()
