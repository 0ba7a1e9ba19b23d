# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""python account.py FILE PROGRAM …: run the program, and add a line to the file: its seconds, and the peak memory in KiB of the largest
process among it and all that it waited for.

It stands in for the interpreter of Ansible's modules, so that they are told apart from ansible-playbook itself.
"""

import os
import subprocess
import sys
import time

began = time.perf_counter()
child = subprocess.Popen(sys.argv[2:])
_pid, status, usage = os.wait4(child.pid, 0)
with open(sys.argv[1], "a") as file:  # noqa: PTH123  # pathlib would cost more than all the rest
    file.write(f"{time.perf_counter() - began} {usage.ru_maxrss}\n")
sys.exit(os.waitstatus_to_exitcode(status))
