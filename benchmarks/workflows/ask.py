# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Call workflow_info as Ansible does, in this process: options as JSON on standard input, the answer as JSON.

Run as a child, so that its time and memory are its own. `cpu` pins it to one core; without `keep` only the figures come back.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> None:
    asked = json.load(sys.stdin)
    if asked.get("cpu") is not None:
        os.sched_setaffinity(0, {asked["cpu"]})
    sys.path.insert(0, str(CHECKOUT / ".ansible" / "collections"))
    from ansible.module_utils.testing import patch_module_args
    from ansible_collections.emprops.comfyui.plugins.modules import workflow_info

    output = io.StringIO()
    before, cpu_before = time.perf_counter(), time.process_time()
    with patch_module_args(asked["options"]), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        workflow_info.main()
    seconds, cpu_seconds = time.perf_counter() - before, time.process_time() - cpu_before
    answer: dict[str, Any] = json.loads(output.getvalue()) if asked.get("keep", True) else {}
    # ru_maxrss would count what the parent had when it started this process.
    peak = int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])
    json.dump({"answer": answer, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_kib": peak}, sys.stdout)


if __name__ == "__main__":
    main()
