# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.validation import check_type_bool, check_type_dict, check_type_int, check_type_list, check_type_str
from ansible.plugins.action import ActionBase
from ansible_collections.emprops.comfyui.plugins.module_utils._model_links import (
    explain,
    hide_tokens,
    is_readable,
    label_of,
    lacking,
    sign_links,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import (
    PROGRESS_NAME,
    bytes_moved,
    join_results,
    plan_lines,
    progress_line,
    read_progress,
    table_lines,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._downloads import Downloads
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import HostsError

# The job ends itself after a week, and a machine that cannot be reached is waited for this long.
JOB_SECONDS = 7 * 24 * 3600
LOST_SECONDS = 300
FIRST_PAUSE = 0.25
# How often links are signed anew.
ROUNDS = 20
MARK = "====="
# As the module has them. What a machine says its options were is no policy for the controller.
DEFAULTS = {"allowed_hosts": ["default"], "timeout_seconds": 60, "progress_seconds": 5, "state_dir": "/workspace/state"}
JOB_KEYS = ("ansible_job_id", "results_file", "started", "finished")


class ActionModule(ActionBase):
    """Asks the module first, says what is missing, and shows the download while the module is at it.

    The download is a job of the machine: it goes on when the controller is lost, and the next run waits for it.
    """

    _supports_async = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        self._vars = task_vars
        args = dict(self._task.args)
        tokens = self._tokens(args)
        stay = _option(check_type_bool, args, "tokens_stay_on_controller", False)
        if self._task.async_val:
            if stay:
                raise AnsibleActionFail(
                    "tokens_stay_on_controller needs the play to wait, because links expire: it cannot be used with async"
                )
            return self._module({**args, "tokens": tokens}, wrap_async=not self._connection.has_native_async)
        if stay:
            return self._bring_signed(args, tokens)
        args["tokens"] = tokens
        found = self._ask(args)
        if self._is_done(found):
            return found
        return self._tell(self._bring(args))

    def _bring_signed(self, args, tokens):
        """The same for a machine that gets no token: only links, signed here."""
        entries = args.get("models")
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            # The machine must not be asked what is wrong: a token may be in it.
            raise AnsibleActionFail("with tokens_stay_on_controller, models must be a list of dictionaries")
        args["models"] = hide_tokens(entries)
        found = self._ask(args)
        if not found.get("models"):
            return found
        links, refused = self._sign(found, entries, tokens)
        if links or refused:
            found = explain(self._ask({**args, "links": links}), refused)
        if self._is_done(found):
            return found
        result = {}
        for _round in range(ROUNDS):
            answer = self._bring({**args, "links": links})
            result = join_results(result, answer) if result else answer
            came = any(row["state"] == "downloaded" for row in answer.get("models", ())) or bytes_moved(self._progress())
            if not came or not lacking(answer) - refused.keys():
                break
            links, refused = self._sign(answer, entries, tokens)
        return self._tell(explain(result, refused))

    def _sign(self, answer, entries, tokens):
        wanted = lacking(answer)
        hosts = [str(host) for host in self._own(check_type_list, "allowed_hosts")]
        try:
            downloads = Downloads(Client(tokens, self._own(check_type_int, "timeout_seconds"), hosts))
        except (DownloadError, HostsError) as error:  # a token or a host that cannot be one
            raise AnsibleActionFail(str(error)) from None
        return sign_links(downloads.open, [entry for entry in entries if label_of(entry) in wanted])

    def _own(self, check, name):
        return _option(check, self._task.args, name, DEFAULTS[name])

    def _tokens(self, args):
        """The tokens, with those that are in files here; `args` loses the names of the files."""
        tokens = dict(_option(check_type_dict, args, "tokens", {}))
        for host, name in _option(check_type_dict, args, "token_files", {}).items():
            path = self._loader.path_dwim(str(name))
            try:
                real = self._loader.get_real_file(path)  # it may be in a vault
                words = Path(real).read_text(encoding="utf-8").split()
                self._loader.cleanup_tmp_file(real)
            except (AnsibleError, OSError, UnicodeDecodeError) as error:
                raise AnsibleActionFail(f"the token for {host} cannot be read from {path}: {_reason(error)}") from None
            if len(words) != 1:
                raise AnsibleActionFail(f"the token for {host} cannot be read from {path}: the file holds {len(words)} words, not one")
            tokens[host] = tokens.get(host) or words[0]
        args.pop("token_files", None)
        args.pop("tokens", None)
        return tokens

    def _is_done(self, found):
        """Whether there is nothing to be done, or nothing may be; what will be done is said."""
        self._say(plan_lines(found))
        return self._task.check_mode or not found.get("changed")

    def _tell(self, result):
        self._say(table_lines(result))
        return result

    def _say(self, lines):
        if self._task.no_log:
            return
        host = self._vars["inventory_hostname"]
        for line in lines:
            self._display.display(f"{host} | {line}")

    def _module(self, args, name=None, wrap_async=False):
        result = self._execute_module(module_name=name, module_args=dict(args), task_vars=self._vars, wrap_async=wrap_async)
        return result if is_readable(result) else {"failed": True, "msg": "what the machine says about its models cannot be read"}

    def _ask(self, args):
        """What would be done; what was read for that is remembered, unless the play is in check mode."""
        return self._module({**args, "plan_only": True})

    def _bring(self, args):
        """The module for real: as a job that is looked at every few seconds, or plainly where that cannot be."""
        seconds = self._own(check_type_int, "progress_seconds")
        job = self._start(args) if seconds > 0 and not self._connection.always_pipeline_modules else None
        return self._follow(job, seconds) if job else self._module(args)

    def _start(self, args):
        wanted, self._task.async_val = self._task.async_val, JOB_SECONDS
        try:
            folder = self._connection._shell.tmpdir or self._make_tmp_path()
            job = self._module(args, wrap_async=True)
        except AnsibleError:  # no room for its files, or the module's account could not read them
            return None
        finally:
            self._task.async_val = wanted
        place = PurePosixPath(str(job.get("results_file")))
        if str(place).isprintable() and re.fullmatch(r"j[0-9]+\.[0-9]+", place.name) and job.get("ansible_job_id") == place.name:
            return job
        self._connection._shell.tmpdir = folder  # a job would have removed it; now it is ours again
        return None

    def _follow(self, job, seconds):
        """Wait for the job, and say how it goes."""
        command = _look_command(job, self._progress_file())
        pause, said, seen = FIRST_PAUSE, time.monotonic(), time.monotonic()
        while True:
            time.sleep(pause)
            pause = min(seconds, pause * 2)
            try:
                answer = self._low_level_execute_command(command)["stdout"]
            except AnsibleConnectionFailure as error:
                if time.monotonic() - seen > LOST_SECONDS:
                    raise AnsibleConnectionFailure(f"the download goes on there, the next run waits for it: {error}") from error
                with contextlib.suppress(AttributeError):
                    self._connection.reset()
                continue
            seen = time.monotonic()
            alive, state, progress = (answer.split(MARK) + ["", ""])[:3]
            if state.strip() and not state.strip().startswith('{"started"'):
                return self._collect(job)
            if "alive" not in alive:
                return {
                    "failed": True,
                    "msg": "the download ended without an answer: it was killed, the machine was restarted, or its disk is full;"
                    " what has arrived is kept for the next run",
                }
            line = progress_line(read_progress(progress))
            if line and time.monotonic() - said >= seconds:
                said = time.monotonic()
                self._say([f"models {line}"])

    def _collect(self, job):
        place = PurePosixPath(job["results_file"])
        result = self._module({"jid": place.name, "_async_dir": str(place.parent)}, name="ansible.legacy.async_status")
        self._low_level_execute_command(self._connection._shell.remove(str(place)))
        if "invocation" not in result and "models" not in result:  # the wrapper's words, not the module's
            result["msg"] = f"the download was ended on the machine, what has arrived is kept for the next run: {result.get('msg', '')}"
        return {key: value for key, value in result.items() if key not in JOB_KEYS}

    def _progress(self):
        return read_progress(self._low_level_execute_command(f"cat {shlex.quote(self._progress_file())}")["stdout"])

    def _progress_file(self):
        folder = self._remote_expand_user(self._own(check_type_str, "state_dir"))
        return str(PurePosixPath(folder, PROGRESS_NAME))


def _option(check, args, name, default):
    value = args.get(name)
    try:
        return default if value is None else check(value)
    except TypeError as error:
        raise AnsibleActionFail(f"{name}: {error}") from error


def _reason(error):
    """Why a file cannot be read; never what is in it."""
    if isinstance(error, AnsibleFileNotFound):
        return "there is no such file"
    return "it is not text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None) or str(error)


def _look_command(job, progress):
    """One command that says whether the job lives, how its answer begins, and what its progress is.

    A pattern that does not match itself keeps the command from finding itself among the processes.
    """
    place = PurePosixPath(job["results_file"])
    number = job["ansible_job_id"].partition(".")[0][1:]
    answer = f"{shlex.quote(str(place.parent))}/[j]{place.name[1:]}"
    moved = shlex.quote(progress)
    return (
        f"grep -qs '[j]{number}' /proc/[0-9]*/cmdline && echo alive; echo {MARK}; head -c 40 {answer}; echo {MARK};"
        # A file that is older than the job is another run's.
        f" if [ {moved} -nt {answer} ]; then cat {moved}; fi"
    )
