# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A pack's install.py, run in the candidate release and trusted with nothing.

It runs as the account of the instances, in namespaces of its own, where the whole machine is read-only but for

    its own folder              a copy, which takes the place of the real one if the script ends well
    <release>/venv              an overlay: what it does there is looked at afterwards and mostly dropped
    /tmp, /var/tmp, /dev/shm    empty, and thrown away with HOME and everything else

In the environment a package of a new name is kept. Whatever else the script did there would make the release
differ from its lock, so it is told and not kept. Files of an environment are hard links that live releases share;
not one of them is ever written, nor are its owner and mode.

    <scratch>/pack              the copy of the pack
    <scratch>/private/          what the script sees as /tmp, /var/tmp and /run
    <scratch>/layer/            the overlay's upper and work folders; in memory where the disk cannot hold an overlay

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import csv
import fcntl
import os
import posixpath
import re
import select
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.emprops.comfyui.plugins.module_utils._command import (
    PROXY_NAMES,
    Account,
    CommandError,
    machine_environment,
    package_index_environment,
    put_texts,
    run,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._files import put_text
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_archive import MARK

OUTPUT_LIMIT = 1024 * 1024
SHOWN_LINES = 15
SHOWN_ITEMS = 10
# Far above what an install.py needs, instances of the same account included; far below what hurts a machine.
PROCESSES = 8192
FILE_BYTES = 32 * 1024**3
SHM_SIZE = "1g"
RECORD_BYTES = 16 * 1024**2
ENDING_SECONDS = 60

PROGRAMS = ("sh", "env", "sed", "cp", "chown", "rm", "mkdir", "mount", "umount", "unshare", "nsenter", "setpriv", "prlimit", "choom")
# Without them the kernel may write a rename or a change of mode as a reference to the lower file, which nobody could sort out.
OVERLAY = "lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off"
OPAQUE = "trusted.overlay.opaque"
# /run holds the sockets of services that would act outside for whoever asks.
PRIVATE = {"/tmp": 0o1777, "/var/tmp": 0o1777, "/run": 0o755}  # noqa: S108  # it gets folders of its own under these names
INDEX_NAMES = {"UV_DEFAULT_INDEX": "PIP_INDEX_URL", "UV_INDEX": "PIP_EXTRA_INDEX_URL", "UV_FIND_LINKS": "PIP_FIND_LINKS"}
DISTRIBUTION = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._]*)-(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_]*)(?:-py[\d.]+)?\.(?:dist|egg)-info")
# Python runs these whenever it starts, also for the account that builds.
AT_EVERY_START = re.compile(r"[^/]+\.pth|(?:sitecustomize|usercustomize)\b.*")
PIP_WHEEL = (
    "import ensurepip, glob, os, sysconfig\n"
    "places = [os.path.join(os.path.dirname(ensurepip.__file__), '_bundled'), sysconfig.get_config_var('WHEEL_PKG_DIR')]\n"
    "print(*[wheel for place in places if place for wheel in sorted(glob.glob(place + '/pip-*.whl'))][-1:])"
)


class InstallScriptError(Exception):
    """No install.py can be run on this machine, or not as it was asked for."""


@dataclass(frozen=True)
class ScriptOutcome:
    """What one pack's install.py did; with an error nothing of it was kept."""

    pack: str
    seconds: float
    error: str | None = None
    added: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()


def run_install_script(
    release: Path,
    pack: str,
    *,
    root: Path,
    builder: Account,
    runner: Account,
    scratch: Path,
    log_file: Path,
    network: bool = False,
    timeout: float = 600,
) -> ScriptOutcome:
    """Run a pack's install.py in a release that nothing runs yet, and keep what may be kept.

    Raises InstallScriptError where no script can be confined here; what the script itself does wrong is in the outcome.
    """
    started = time.monotonic()
    place = _Place.of(release, pack, root, scratch)
    _check_machine(pack)
    error: str | None = None
    found = _Findings()
    try:
        _remove(place.scratch)
        place.scratch.mkdir(parents=True, mode=0o700)
        with _layer(place.scratch / "layer", pack) as layer:
            before = _prepare(place, layer, runner, builder, network)
            environment = _environment(place, runner, network)
            error, output = _run_confined(place, layer, runner, environment, network, timeout)
            put_texts({log_file: output}, builder)
            if error is None:
                found = _keep(place, layer, before, builder)
    except (OSError, CommandError, _RefusedError) as problem:
        error, found = _shown(str(problem)), _Findings()
    finally:
        with suppress(CommandError):  # what is left is removed by the next run
            _remove(place.scratch)
    return ScriptOutcome(pack, round(time.monotonic() - started, 3), error, tuple(sorted(found.added)), _at_most(found.undone))


class _RefusedError(Exception):
    """The script left something that must not be kept."""


@dataclass(frozen=True)
class _Place:
    """Where things are; real paths, no links."""

    name: str
    root: Path
    pack: Path
    venv: Path
    site: str
    scratch: Path

    @staticmethod
    def of(release: Path, name: str, root: Path, scratch: Path) -> _Place:
        """Raises InstallScriptError where a folder is not what its name says: a link there would lead root elsewhere."""
        root, release, scratch = root.resolve(), release.resolve(), scratch.parent.resolve() / scratch.name
        if not re.fullmatch(r"[^./][^/]*", name):
            raise InstallScriptError(f"{name!r} is no name of a pack")
        pack, venv = release / "ComfyUI/custom_nodes" / name, release / "venv"
        sites = sorted(venv.glob("lib/python*/site-packages"))
        for folder in (pack, venv, *sites):
            if release.parent != root / "releases" or folder.resolve() != folder or not folder.is_dir():
                raise InstallScriptError(f"{folder} is no folder of a release in {root}")
        if len(sites) != 1:
            raise InstallScriptError(f"{venv} is no Python environment")
        if not scratch.is_relative_to(root):
            raise InstallScriptError(f"{scratch} is not in {root}")
        if not (pack / "install.py").is_file():
            raise InstallScriptError(f"{name} has no install.py")
        return _Place(name, root, pack, venv, sites[0].relative_to(venv).as_posix(), scratch)


@dataclass(frozen=True)
class _Layer:
    """The folder of the overlay: its path in the namespace that the program `enter` leads into, and from here."""

    inside: Path
    outside: Path
    enter: tuple[str, ...] = ()

    @property
    def upper(self) -> Path:
        return self.outside / "upper"


@dataclass
class _Findings:
    added: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)


# --- before ------------------------------------------------------------------------------------------------------


def _cannot(pack: str, why: str) -> InstallScriptError:
    way_out = "`skip_install_script: true` in the pack's entry leaves it out"
    return InstallScriptError(f"the install.py of {pack} cannot be run here: {why}; {way_out}")


def _check_machine(pack: str) -> None:
    if os.geteuid() != 0:
        raise _cannot(pack, "only root can confine it")
    missing = [name for name in PROGRAMS if not shutil.which(name, path=machine_environment()["PATH"])]
    if missing:
        raise _cannot(pack, f"this machine has no {', '.join(missing)} (util-linux, coreutils)")
    try:
        run(["unshare", "--mount", "--ipc", "--net", "--pid", "--fork", "--mount-proc", "true"], timeout=60)
    except CommandError as error:
        raise _cannot(pack, f"this machine does not let us make namespaces: {error}") from error


@contextmanager
def _layer(folder: Path, pack: str) -> Iterator[_Layer]:
    """A folder that an overlay can write to: on the disk, else in memory, where it ends with this process."""
    folder.mkdir(mode=0o700)
    layer = _Layer(folder, folder)
    if _takes_overlay(layer):
        yield layer
        return
    # Not mounted where everybody sees it, so that nothing is left of it whatever happens to us.
    hold = 'mount -t tmpfs -o mode=700 tmpfs "$1" && echo held && cat'
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", hold, "sh", str(folder)]
    with subprocess.Popen(command, env=machine_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            held = holder.stdout is not None and holder.stdout.readline() == b"held\n"
            enter = ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--")
            layer = _Layer(folder, Path(f"/proc/{holder.pid}/root{folder}"), enter)
            if not held or not _takes_overlay(layer):
                raise _cannot(pack, "neither its disk nor its memory takes an overlay file system")
            yield layer
        finally:
            holder.kill()


def _takes_overlay(layer: _Layer) -> bool:
    """Whether a file that lies below can be removed in an overlay, and leaves the mark that tells so."""
    for name in ("lower", "upper", "work", "merged"):
        (layer.outside / name).mkdir(mode=0o755)
    (layer.outside / "lower/removed").touch()
    script = f'cd "$1" && mount -t overlay -o {OVERLAY} overlay merged && rm merged/removed'
    with suppress(CommandError, OSError):
        run([*layer.enter, "unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", str(layer.inside)], timeout=60)
        took = _is_whiteout((layer.outside / "upper/removed").lstat())
        run([*layer.enter, "rm", "-rf", *(str(layer.inside / name) for name in ("lower/removed", "upper", "work", "merged"))])
        for name in ("upper", "work"):
            (layer.outside / name).mkdir(mode=0o755)
        return took
    return False


@dataclass(frozen=True)
class _Before:
    """What was there when the script began."""

    pack: Mapping[str, tuple[int, ...]]
    distributions: Mapping[str, tuple[str, str]]


def _prepare(place: _Place, layer: _Layer, runner: Account, builder: Account, network: bool) -> _Before:
    """Make the folders that the script may write to. Raises OSError, CommandError."""
    own = f"{runner.uid}:{runner.gid}"
    copy = place.scratch / "pack"
    inbox = place.scratch / "in"
    _make_folder(inbox, builder)
    _hand_over(place, place.pack, inbox / "pack", builder)
    (inbox / "pack").rename(copy)
    if not stat.S_ISDIR(copy.lstat().st_mode):
        raise _RefusedError("its folder was changed meanwhile")
    for top, mode in PRIVATE.items():
        _private(place, top).mkdir(parents=True)
        _private(place, top).chmod(mode)
        if place.root.is_relative_to(os.path.realpath(top)):
            run(["mkdir", "--parents", str(_private(place, top) / place.root.relative_to(os.path.realpath(top)))])
    if network:
        _lend_resolver(place)
    home = _private(place, "/tmp") / "home"  # noqa: S108  # not the machine's
    home.mkdir()
    run(["chown", "--recursive", "--no-dereference", own, str(copy), str(home)])
    os.chown(layer.upper, runner.uid, runner.gid)
    for rel, state in _walk(place.venv):
        # In the folders it may add and remove what it likes; the files in them stay the builder's.
        if stat.S_ISDIR(state.st_mode):
            (layer.upper / rel).mkdir()
            (layer.upper / rel).chmod(0o755)
            os.chown(layer.upper / rel, runner.uid, runner.gid)
    return _Before(_fingerprint(copy), _distributions(place.venv / place.site))


def _private(place: _Place, top: str) -> Path:
    return place.scratch / "private" / top.strip("/").replace("/", "-")


def _lend_resolver(place: _Place) -> None:
    """Names are looked up by a file that often lies in /run."""
    real = Path(os.path.realpath("/etc/resolv.conf"))
    run_folder = os.path.realpath("/run")
    if real.is_relative_to(run_folder) and real.is_file():
        target = _private(place, "/run") / real.relative_to(run_folder)
        run(["mkdir", "--parents", str(target.parent)])
        put_text(target, real.read_text(encoding="utf-8"))


def _environment(place: _Place, runner: Account, network: bool) -> dict[str, str]:
    """Its environment, but for PATH: the programs that set the stage run with it too, as root."""
    environment = {
        **machine_environment(),
        "USER": runner.name,
        "LOGNAME": runner.name,
        "HOME": "/tmp/home",  # noqa: S108  # thrown away
        "TMPDIR": "/tmp",  # noqa: S108
        "XDG_CACHE_HOME": "/tmp/home/.cache",  # noqa: S108
        "COMFYUI_PATH": str(place.pack.parents[1]),
        "VIRTUAL_ENV": str(place.venv),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if network:
        index = package_index_environment()
        environment |= {theirs: index[ours] for ours, theirs in INDEX_NAMES.items() if ours in index}
        environment |= {name: index[name] for name in ("SSL_CERT_FILE",) if name in index}
    else:
        for name in PROXY_NAMES:
            environment.pop(name, None)
            environment.pop(name.upper(), None)
    if not (place.venv / place.site / "pip").exists():
        # uv makes environments without it, and most scripts call it: they get the one that Python brings along, if it does.
        with suppress(CommandError):
            # -S: nothing of the environment itself runs outside.
            environment["PYTHONPATH"] = run(
                [str(place.venv / "bin/python"), "-I", "-S", "-c", PIP_WHEEL], account=runner, timeout=60
            ).strip()
    return environment


# --- the script --------------------------------------------------------------------------------------------------

# A word on the order: the mounts of `steps`, then everything but `writable` read-only, then the script, as nobody special.
# On descriptor 3 is our process: it is told that the script begins, and when it is gone everything here is ended.
STAGE = """set -eu
exec 3<&0 </dev/null
( read -r _ <&3 || :; while :; do kill -s KILL -- -1 2>/dev/null || :; sleep 0.1; done ) >/dev/null 2>&1 &
{steps}
while read -r number _ _ _ target options _; do
    target=$(printf '%b' "$target")
    case "$target" in {writable}) continue ;; esac
    # One that another lies over cannot be reached and needs nothing.
    if [ -d "$target" ]; then
        reached=$(sed -n 's/^mnt_id:[[:space:]]*//p' /proc/self/fdinfo/4 4<"$target")
        [ "$reached" = "$number" ] || continue
    fi
    flags=ro
    for flag in nosuid nodev noexec noatime nodiratime relatime; do
        case ",$options," in *",$flag,"*) flags=$flags,$flag ;; esac
    done
    # Some lie under others (those of containers do) and cannot be reached by their names any more.
    mount -o "remount,bind,$flags" none "$target" 2>/dev/null || umount --lazy "$target" 2>/dev/null || [ ! -d "$target" ] || {{
        echo "$target cannot be made read-only"
        exit 1
    }}
done < /proc/self/mountinfo
cd {pack}
echo >&3
status=0
{script} 3<&- || status=$?
exit $status
"""


def _run_confined(
    place: _Place, layer: _Layer, runner: Account, environment: Mapping[str, str], network: bool, timeout: float
) -> tuple[str | None, str]:
    """Run it to its end; returns what went wrong and what it said. When this returns, no process of it is left."""
    spaces = ["--mount", "--propagation=private", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*layer.enter, "unshare", *spaces, *([] if network else ["--net"]), "sh", "-c", _stage(place, layer, runner), "install.py"]
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                command,
                cwd="/",
                env=environment,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o022,
            )
        in_time = False
        try:
            output, in_time = _listen(process, time.monotonic() + timeout)
            began = bool(select.select([ours], [], [], 0)[0]) and ours.recv(1) != b""
        finally:
            ours.close()
            _await_end(process, place.name)
    said = output.decode("utf-8", "replace")
    if not began and in_time:
        raise _cannot(place.name, _last_lines(said))
    status = process.returncode
    if not in_time:
        return f"install.py did not end within {timeout:g} s", said
    if status == 0:
        return None, said
    number = -status if status < 0 else status - 128
    names = {one.value: one.name for one in signal.Signals}
    how = f"was killed by {names[number]}" if number in names else f"ended with exit status {status}"
    return f"install.py {how}: {_last_lines(said)}", said


def _stage(place: _Place, layer: _Layer, runner: Account) -> str:
    """The program of the shell that is the first process of the namespace, and the last one of root in it."""
    tops = {top: os.path.realpath(top) for top in PRIVATE if Path(top).is_dir()}
    steps = []
    for top, real in tops.items():
        private = _private(place, top)
        if place.root.is_relative_to(real):
            steps.append(["mount", "--rbind", str(place.root), str(private / place.root.relative_to(real))])
        steps.append(["mount", "--rbind", str(private), real])
    steps += [
        ["mount", "-t", "tmpfs", "-o", f"size={SHM_SIZE},mode=1777,nosuid,nodev", "tmpfs", "/dev/shm"],  # noqa: S108
        ["cd", str(layer.inside)],
        ["mount", "--bind", str(place.venv), "lower"],
        ["mount", "-t", "overlay", "-o", OVERLAY, "overlay", str(place.venv)],
        ["mount", "--bind", str(place.scratch / "pack"), str(place.pack)],
    ]
    writable = ["/proc", os.path.realpath("/dev/shm"), str(place.venv), str(place.pack)]  # noqa: S108
    writable += [real for top, real in tops.items() if PRIVATE[top] & stat.S_ISVTX]
    path = f"{place.venv}/bin:{machine_environment()['PATH']}"
    script = [
        *("choom", "--adjust", "1000", "--"),
        *("prlimit", "--core=0", f"--fsize={FILE_BYTES}", f"--nproc={PROCESSES}"),
        *("setpriv", "--reuid", str(runner.uid), "--regid", str(runner.gid), "--clear-groups", "--no-new-privs"),
        *("--bounding-set=-all", "--inh-caps=-all"),
        *("env", f"PATH={path}", str(place.venv / "bin/python"), "install.py"),
    ]
    return STAGE.format(
        steps="\n".join(shlex.join(step) for step in steps),
        writable="|".join(shlex.quote(one) for one in writable),
        pack=shlex.quote(str(place.pack)),
        script=shlex.join(script),
    )


def _listen(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bool]:
    """The end of what it said, and whether it ended in time."""
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    output = b""
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            continue
        said = os.read(process.stdout.fileno(), 65536)
        if not said:
            return output[-OUTPUT_LIMIT:], True
        output += said
        if len(output) > 2 * OUTPUT_LIMIT:
            output = output[-OUTPUT_LIMIT:]
    return output[-OUTPUT_LIMIT:], False


def _await_end(process: subprocess.Popen[bytes], pack: str) -> None:
    """Once our end of its standard input is closed; unshare itself only ends after all of the namespace has."""
    assert process.stdout is not None  # noqa: S101
    process.stdout.close()
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise InstallScriptError(f"the install.py of {pack} cannot be ended; see the processes of its account on the machine") from None


# --- afterwards --------------------------------------------------------------------------------------------------


def _keep(place: _Place, layer: _Layer, before: _Before, builder: Account) -> _Findings:
    """Put what may be kept into the release. Raises OSError, _RefusedError, with the release as it was."""
    copy, made = place.scratch / "pack", place.scratch / "made"
    partial = place.pack.with_name(f".{place.name}.partial")
    changed = _fingerprint(copy) != before.pack
    try:
        if changed:
            _copy_pack(copy, place.pack, made, builder)
            _remove(partial, builder)
            _hand_over(place, made, partial, builder)
        found = _keep_packages(place, layer.upper, before.distributions, builder)
        if changed:
            _replace(place.pack, partial, builder)
    finally:
        _remove(partial, builder)
    return found


def _hand_over(place: _Place, source: Path, target: Path, builder: Account) -> None:
    """Between the scratch folder, which is root's alone, and the release, as the builder: what lies there may lead root anywhere."""
    place.scratch.chmod(0o711)
    try:
        run(["cp", "--archive", "--no-target-directory", "--", str(source), str(target)], account=builder)
    finally:
        place.scratch.chmod(0o700)


def _fingerprint(folder: Path) -> dict[str, tuple[int, ...]]:
    """What differs once somebody changed something; git's own files, which are never taken over, left out."""
    result: dict[str, tuple[int, ...]] = {}
    for rel, state in _walk(folder):
        if ".git" not in rel.split("/"):
            result[rel] = (state.st_mode,) if stat.S_ISDIR(state.st_mode) else (state.st_mode, state.st_ino, state.st_ctime_ns)
    return result


def _copy_pack(copy: Path, original: Path, target: Path, builder: Account) -> None:
    """What the script made of the pack, but with git's files of the original (git runs programs that those name) and our mark."""
    _make_folder(target, builder)
    for rel, state in _walk(copy):
        if _is_kept(rel):
            continue
        if stat.S_ISDIR(state.st_mode):
            _make_folder(target / rel, builder)
        elif stat.S_ISREG(state.st_mode):
            _copy_file(copy / rel, target / rel, builder)
        elif stat.S_ISLNK(state.st_mode):
            leads = (copy / rel).readlink()
            if not _stays_inside(rel, str(leads)) and not _is_link_to(original / rel, leads):
                raise _RefusedError(f"install.py left {rel}, a link that leads out of the pack to {leads}")
            (target / rel).symlink_to(leads)
            os.chown(target / rel, builder.uid, builder.gid, follow_symlinks=False)
        else:
            raise _RefusedError(f"install.py left {rel}, which is neither a file nor a folder nor a link")
    for rel, state in _walk(original):
        if _is_kept(rel) and _is_real_folder(target, posixpath.dirname(rel)):
            if stat.S_ISDIR(state.st_mode):
                _make_folder(target / rel, builder)
            else:
                os.link(original / rel, target / rel, follow_symlinks=False)


def _is_kept(rel: str) -> bool:
    """Whether it says what the pack is, which is not the script's to change."""
    return ".git" in rel.split("/") or rel == MARK


def _stays_inside(rel: str, leads: str) -> bool:
    """Whether a link stays in the tree wherever that lies: up first, no higher than its top, and then only down."""
    parts = [part for part in leads.split("/") if part not in ("", ".")]
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    return not leads.startswith("/") and up <= rel.count("/") and ".." not in parts[up:]


def _is_link_to(path: Path, leads: Path) -> bool:
    return path.is_symlink() and path.readlink() == leads


def _replace(pack: Path, partial: Path, builder: Account) -> None:
    # Named so that the next run removes it if we are killed here.
    old = pack.with_name(f".{pack.name}.old.partial")
    _remove(old, builder)
    swap = 'mv -T -- "$1" "$2" && { mv -T -- "$3" "$1" || { mv -T -- "$2" "$1"; exit 1; }; }'
    run(["sh", "-c", swap, "sh", str(pack), str(old), str(partial)], account=builder)
    _remove(old, builder)


def _keep_packages(place: _Place, upper: Path, before: Mapping[str, tuple[str, str]], builder: Account) -> _Findings:
    """Copy packages of new names into the environment, and tell everything else. Raises OSError, with nothing copied."""
    handle = os.open(place.venv, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # the scripts of other packs
        drift = _Drift(place.venv, upper, place.site)
        found = _Findings()
        wanted = _judge(drift, before, found)
        made: list[Path] = []
        try:
            # What says that a package is there comes last.
            for first in sorted({_first_new(place.venv, rel) for rel in wanted}, key=lambda path: (path.endswith("-info"), path)):
                _copy_whole(place, upper, first, wanted, builder, made)
        except (OSError, CommandError):
            for path in reversed(made):
                _remove(path, builder)
            raise
        return found
    finally:
        os.close(handle)


class _Drift:
    """How an overlay differs from what lies below it: every path that was added, changed or removed."""

    def __init__(self, lower: Path, upper: Path, site: str) -> None:
        self.lower, self.upper, self.site = lower, upper, site
        self.kinds: dict[str, str] = {}
        opaque: set[str] = set()
        replaced: set[str] = set()
        for rel, state in _walk(upper):
            above = posixpath.dirname(rel)
            old, folder = _lstat(lower / rel), stat.S_ISDIR(state.st_mode)
            if above in replaced:
                replaced.add(rel)
            elif _is_whiteout(state):
                if old:
                    self.kinds[rel] = "removed"
            elif old is None:
                if not folder:
                    self.kinds[rel] = "added"
            elif folder and not stat.S_ISDIR(old.st_mode):
                self.kinds[rel] = "changed"
                replaced.add(rel)
            elif folder:
                if above in opaque or _is_opaque(upper / rel):
                    opaque.add(rel)
                    gone = _names(lower / rel) - _names(upper / rel)
                    self.kinds |= {f"{rel}/{name}": "removed" for name in gone}
            elif not _same(lower / rel, old, upper / rel, state):
                self.kinds[rel] = "changed"

    def removed(self, rel: str) -> bool:
        return any(self.kinds.get(part) in ("removed", "changed") for part in (rel, *_above(rel)))

    def shown(self, rel: str) -> str:
        return _shown(rel.removeprefix(f"{self.site}/"))

    def record(self, top: Path, info: str) -> set[str]:
        """The files that a distribution says are its own, as paths in the environment; nothing where that cannot be read."""
        if not _is_real_folder(top, f"{self.site}/{info}"):
            return set()
        try:
            handle = os.open(top / self.site / info / "RECORD", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                text = file.read(RECORD_BYTES).decode("utf-8")
            names = [row[0] for row in csv.reader(text.splitlines()) if row]
        except (OSError, UnicodeDecodeError, csv.Error):
            return set()
        return {posixpath.normpath(posixpath.join(self.site, name)) for name in names if name and not name.startswith("/")}


def _judge(drift: _Drift, before: Mapping[str, tuple[str, str]], found: _Findings) -> set[str]:
    """Fill the findings; returns the paths to keep."""
    now = _distributions(drift.lower / drift.site)
    here = _distributions(drift.upper / drift.site) if _is_real_folder(drift.upper, drift.site) else {}
    explained: set[str] = set()
    wanted: set[str] = set()
    versions: list[str] = []
    refused: list[str] = []

    replaced: set[str] = set()
    for info, (name, version) in now.items():
        if info in before and drift.removed(f"{drift.site}/{info}"):
            newer = sorted(v for one, (other, v) in here.items() if other == name and one not in before)
            replaced.add(name)
            versions += [f"{name} {version} → {', '.join(newer)}" if newer else f"removed {name} {version}"]
            explained |= _with_folders(drift, info, drift.record(drift.lower, info))
        elif any(rel.startswith(f"{drift.site}/{info}/") for rel in drift.kinds) and info in before:
            versions.append(f"installed {name} {version} again")
            explained |= {rel for rel in drift.kinds if rel.startswith(f"{drift.site}/{info}/")}

    old_names = {name for name, _version in before.values()}
    for info, (name, version) in here.items():
        if info in before:
            continue
        files = drift.record(drift.upper, info)
        own = _with_folders(drift, info, files)
        # What it removed is not its own, whatever it says.
        explained |= own if name in replaced else {rel for rel in own if drift.kinds.get(rel) != "removed"}
        elsewhere = [other for one, (known, other) in now.items() if known == name and one not in before]
        if name in replaced:
            continue
        if name in old_names:
            versions.append(f"{name} {version} beside the one that is there")
        elif elsewhere:
            brought = "it" if elsewhere == [version] else elsewhere[0]
            refused.append(f"{name} {version}: another pack's install.py brought {brought} already")
        else:
            problem = _problem(drift, own, bool(files))
            if problem:
                refused.append(f"{name} {version}: {problem}")
            else:
                found.added.append(f"{name}=={version}")
                wanted |= {rel for rel in own if drift.kinds.get(rel) == "added"}
    wanted = {rel for rel in wanted if not _is_bytecode(rel) or _source_of(rel) in wanted}

    rest = [
        f"{kind} {drift.shown(rel)}"
        for rel, kind in sorted(drift.kinds.items(), key=lambda item: (["changed", "removed", "added"].index(item[1]), item[0]))
        if rel not in explained and (kind == "changed" or not _is_bytecode(rel))
    ]
    found.undone += [*versions, *refused, *rest]
    return wanted


def _problem(drift: _Drift, files: set[str], recorded: bool) -> str:
    """Why a package of a new name cannot be kept: it is kept whole or not at all."""
    if not recorded:
        return "it does not say which files are its own"
    for rel in sorted(files):
        kind = drift.kinds.get(rel)
        inside, top = rel.startswith(f"{drift.site}/"), rel.split("/")[0]
        if kind == "changed":
            return f"its {drift.shown(rel)} is there already, and other than that"
        if kind != "added":
            continue
        if not stat.S_ISREG((drift.upper / rel).lstat().st_mode):
            return f"its {drift.shown(rel)} is no file"
        if _is_bytecode(rel):
            continue  # kept or not with its source
        if inside and AT_EVERY_START.fullmatch(rel.removeprefix(f"{drift.site}/")):
            return f"its {drift.shown(rel)} would run whenever Python starts"
        if not inside and (top not in ("bin", "share", "etc", "include") or posixpath.basename(rel) == "pyvenv.cfg"):
            return f"its {_shown(rel)} is none of a package's files"
        if inside and _hides(drift, rel):
            return f"its {drift.shown(rel)} would become a part of a package that is there already"
    return ""


def _hides(drift: _Drift, rel: str) -> bool:
    """Whether a new file would be imported as, or in the place of, a module of what is there."""
    first = _first_new(drift.lower, rel)
    folder, name = posixpath.split(first)
    if folder != drift.site and (drift.lower / folder / "__init__.py").exists():
        return True
    stem = name.partition(".")[0]
    importable = first != rel or name.endswith((".py", ".so"))
    return importable and any(other.partition(".")[0] == stem for other in _names(drift.lower / folder))


def _copy_whole(place: _Place, upper: Path, first: str, wanted: set[str], builder: Account, made: list[Path]) -> None:
    """A file, or a new folder with all that is to lie in it: either is there or not, also when we are killed."""
    target = place.venv / first
    partial = target.with_name(f".{target.name}.partial")
    stage = place.scratch / "stage"
    _remove(stage)
    if first in wanted:
        _copy_file(upper / first, stage, builder)
    else:
        for rel in sorted(rel for rel in wanted if rel.startswith(f"{first}/")):
            inside = Path(rel).relative_to(first)
            for folder in [stage / part for part in reversed(inside.parents)]:
                if not folder.is_dir():
                    _make_folder(folder, builder)
            _copy_file(upper / rel, stage / inside, builder)
    _remove(partial, builder)
    made.append(partial)
    _hand_over(place, stage, partial, builder)
    run(["mv", "-T", "-n", "--", str(partial), str(target)], account=builder)
    made[-1] = target


# --- small things ------------------------------------------------------------------------------------------------


def _walk(top: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below a folder, each folder before what is in it; links are told and never followed."""
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(top / folder) as entries:
            found = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
        for name, state in found:
            rel = f"{folder}/{name}" if folder else name
            yield rel, state
            if stat.S_ISDIR(state.st_mode):
                folders.append(rel)


def _above(rel: str) -> list[str]:
    """The folders that a path goes through, the nearest first."""
    return [str(part) for part in Path(rel).parents][:-1]


def _first_new(lower: Path, rel: str) -> str:
    """The part of a path, from the top, that is not there yet."""
    return next(part for part in (*reversed(_above(rel)), rel) if not os.path.lexists(lower / part))


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_real_folder(top: Path, rel: str) -> bool:
    """Whether every step of the way is a folder and none a link."""
    states = [_lstat(top / part) for part in (rel, *_above(rel))]
    return all(state is not None and stat.S_ISDIR(state.st_mode) for state in states)


def _is_whiteout(state: os.stat_result) -> bool:
    return stat.S_ISCHR(state.st_mode) and state.st_rdev == 0


def _is_opaque(folder: Path) -> bool:
    try:
        return os.getxattr(folder, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def _same(one: Path, state: os.stat_result, other: Path, other_state: os.stat_result) -> bool:
    if stat.S_IFMT(state.st_mode) != stat.S_IFMT(other_state.st_mode):
        return False
    if stat.S_ISLNK(state.st_mode):
        return one.readlink() == other.readlink()
    if not stat.S_ISREG(state.st_mode) or state.st_size != other_state.st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while (block := first.read(1 << 20)) == second.read(1 << 20):
            if not block:
                return True
    return False


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _distributions(site: Path) -> dict[str, tuple[str, str]]:
    """Name and version of what is installed, by the folders that stand for it."""
    result = {}
    for folder in sorted(_names(site)):
        match = DISTRIBUTION.fullmatch(folder)
        if match and not _is_whiteout((site / folder).lstat()):
            result[folder] = (re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"])
    return result


def _with_folders(drift: _Drift, info: str, files: set[str]) -> set[str]:
    """The files of a package and what lies in its own folders; a folder of many packages is nobody's."""
    own = {rel for rel in drift.kinds if rel.startswith(f"{drift.site}/{info}/")}
    folders = {above for rel in files for above in _above(rel) if above.startswith(f"{drift.site}/")}
    return files | own | folders | {f"{drift.site}/{info}"}


def _is_bytecode(rel: str) -> bool:
    return "__pycache__" in rel.split("/")


def _source_of(rel: str) -> str:
    return posixpath.join(posixpath.dirname(posixpath.dirname(rel)), posixpath.basename(rel).split(".")[0] + ".py")


def _make_folder(path: Path, owner: Account) -> None:
    path.mkdir()
    path.chmod(0o755)
    os.chown(path, owner.uid, owner.gid)


def _copy_file(source: Path, target: Path, owner: Account) -> None:
    """The bytes, and whether it is a program; no other right, attribute or name of it."""
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as bytes_of, target.open("xb") as file:
        shutil.copyfileobj(bytes_of, file, 1 << 20)
        os.fchmod(file.fileno(), 0o755 if os.fstat(handle).st_mode & stat.S_IXUSR else 0o644)
        os.fchown(file.fileno(), owner.uid, owner.gid)


def _remove(path: Path, account: Account | None = None) -> None:
    """Whatever it is and however deep, as the account whose folder it is in. Raises CommandError."""
    if os.path.lexists(path):
        run(["rm", "-rf", "--one-file-system", "--", str(path)], account=account)


def _last_lines(text: str) -> str:
    lines = [line.rstrip()[:500] for line in text.splitlines() if line.strip()]
    return _shown("\n".join(lines[-SHOWN_LINES:])) or "it said nothing"


def _shown(text: str) -> str:
    """Fit for a terminal: names and words are the script's choice."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _at_most(items: Iterable[str]) -> tuple[str, ...]:
    lines = [item[:300] for item in items]
    more = len(lines) - SHOWN_ITEMS
    return (*lines[:SHOWN_ITEMS], f"and {more} more") if more > 0 else tuple(lines)
