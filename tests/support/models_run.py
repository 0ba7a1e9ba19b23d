# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The module `models` in processes of its own, which a test can stop and kill.

They are forked from one process that has imported everything, for starting Python anew a hundred times takes a minute.
"""

from __future__ import annotations

import codecs
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

PYTHONPATH = [Path(__file__).resolve().parents[2] / ".ansible/collections", Path(__file__).resolve().parents[1]]
MODULE_UTILS = "ansible_collections.emprops.comfyui.plugins.module_utils"


class ModelsRunner:
    """Starts the module; `constants` ({"_noun.NAME": value}) hold for all that it starts."""

    def __init__(self, folder: Path, **constants: object) -> None:
        self.folder = folder
        self.started = 0
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PYTHONPATH))}
        command = [sys.executable, "-m", "support.models_run", json.dumps(constants)]
        self._parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)

    def __enter__(self) -> ModelsRunner:
        assert self._ask({}) == 0
        return self

    def __exit__(self, *_exception: object) -> None:
        self._parent.stdin.close()
        self._parent.wait()
        self._parent.stdout.close()

    def start(self, arguments: dict, uid: int | None = None) -> Run:
        self.started += 1
        result = self.folder / f"result-{self.started}.json"
        result.touch()
        if uid is not None:
            os.chown(result, uid, -1)
        return Run(self, self._ask({"arguments": arguments, "result": str(result), "uid": uid}), result)

    def _ask(self, request: dict) -> int:
        print(json.dumps(request), file=self._parent.stdin, flush=True)
        return json.loads(self._parent.stdout.readline())


class Run:
    """One run of the module. Nobody else can get its pid before it was waited for."""

    def __init__(self, runner: ModelsRunner, pid: int, result: Path) -> None:
        self.runner = runner
        self.pid = pid
        self.path = result
        self.code: int | None = None

    def poll(self) -> int | None:
        if self.code is None:
            self.code = self.runner._ask({"poll": self.pid})
        return self.code

    def result(self, seconds: float = 60) -> dict:
        """What the module said; one that takes for ever is killed, and fails the test."""
        given_up = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > given_up:
                self.kill()
                raise AssertionError(f"the module was not done after {seconds} seconds")
            time.sleep(0.01)
        text = self.path.read_text()
        assert text, f"the module ended with {self.code} and said nothing"
        return json.loads(text)

    def signal(self, number: int) -> None:
        assert self.code is None
        os.kill(self.pid, number)

    def kill(self) -> None:
        if self.poll() is None:
            self.signal(signal.SIGKILL)
            while self.poll() is None:
                time.sleep(0.001)


def main() -> None:
    from ansible_collections.emprops.comfyui.plugins.modules import models

    for name, value in json.loads(sys.argv[1]).items():
        module, _dot, constant = name.rpartition(".")
        imported = importlib.import_module(f"{MODULE_UTILS}.{module}")
        assert hasattr(imported, constant), name
        setattr(imported, constant, value)
    # Python's own files may be out of reach for another account, and these are read when they are first used.
    for encoding in ("ascii", "latin-1", "idna"):
        codecs.lookup(encoding)
    for line in sys.stdin:
        request = json.loads(line)
        if "arguments" in request:
            answer = os.fork() or _run(models, request)
        elif "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = 0
        print(json.dumps(answer), flush=True)


def _run(models: object, request: dict) -> None:
    from ansible.module_utils.testing import patch_module_args

    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(request["result"], os.O_WRONLY), 1)
        if request["uid"] is not None:
            os.setgroups([])
            os.setgid(request["uid"])
            os.setuid(request["uid"])
        with patch_module_args(request["arguments"]):
            models.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
