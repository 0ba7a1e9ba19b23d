# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
from dataclasses import asdict

from ansible.plugins.action import ActionBase
from ansible_collections.emprops.comfyui.plugins.module_utils._deploy_lock import is_dead, this_run


class ActionModule(ActionBase):
    """Tells the module which run this is, and whether the run that is in the way still lives: both are known here only."""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        # A task runs in a child of the process that is the run.
        options = {**self._task.args, "run": asdict(this_run(os.getppid()))}
        result = self._execute_module(module_args=options, task_vars=task_vars)
        holder = result.get("holder")
        if result.get("failed") and holder and is_dead(holder):
            result = self._execute_module(module_args={**options, "gone": holder}, task_vars=task_vars)
        return result
