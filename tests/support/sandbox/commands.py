# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running commands, with errors that name the command and what it said."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SUPPORT = ROOT / "tests" / "support"
STATE = ROOT / ".sandbox"


class SandboxError(Exception):
    """The sandbox cannot go on; the message is for the person at the terminal."""


def say(text):
    print(f"sandbox: {text}", flush=True)


def run(*argv, stdin=None, env=None, cwd=None):
    """The command's output, or an error with the end of what it said."""
    done = subprocess.run([str(word) for word in argv], input=stdin, env=env, cwd=cwd, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise SandboxError(f"`{' '.join(map(str, argv))}` ended with {done.returncode}:\n  " + "\n  ".join(said))
    return done.stdout


def succeeds(*argv):
    """False also where there is no such program."""
    if shutil.which(str(argv[0])) is None:
        return False
    return subprocess.run([str(word) for word in argv], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
