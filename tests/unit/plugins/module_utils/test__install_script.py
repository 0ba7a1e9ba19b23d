# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Real scripts in real namespaces: what they reach, what is kept of them, and what is left when they end."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _install_script
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account
from ansible_collections.emprops.comfyui.plugins.module_utils._install_script import (
    InstallScriptError,
    ScriptOutcome,
    run_install_script,
)

# An interpreter that every account reaches; the one of the tests may lie in somebody's home.
PYTHON = "/usr/bin/python3"

as_root = pytest.mark.skipif(os.geteuid() != 0 or not os.access(PYTHON, os.X_OK), reason="needs root and a Python for every account")
has_pip = pytest.mark.skipif(
    subprocess.run([PYTHON, "-c", "import ensurepip, venv"], capture_output=True).returncode != 0 if os.access(PYTHON, os.X_OK) else True,
    reason="this machine's Python brings no pip",
)


def distribution(site, name, version, files):
    """A package as an installer leaves it."""
    info = f"{name}-{version}.dist-info"
    everything = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/INSTALLER": "uv\n",
    }
    everything[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*everything, f"{info}/RECORD"])
    for path, text in everything.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)


def wheel(folder, name, version):
    """A package with a program, for a real installer."""
    info = f"{name}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"version = {version!r}\ndef main():\n    print('ran')\n")
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name} = {name}:main\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


class Site:
    """A machine with a live release, a candidate that shares its files, and accounts that are neither root nor ours."""

    def __init__(self, folder):
        self.root = folder / "workspace"
        self.builder = Account.named("games")
        self.runner = Account.named("nobody")
        self.live = self.root / "releases/1"
        self.release = self.root / "releases/2"
        self.scratch = self.root / "state/scripts/it"
        self.log = self.release / "install_logs/it.log"
        self.packs = self.release / "ComfyUI/custom_nodes"
        for release in (self.live, self.release):
            (release / "ComfyUI/custom_nodes").mkdir(parents=True)
            subprocess.run([PYTHON, "-m", "venv", "--without-pip", release / "venv"], check=True, env={"PATH": os.environ["PATH"]})
        site = self.site(self.live)
        distribution(site, "humanize", "4.9.0", {"humanize/__init__.py": "version = '4.9.0'\n", "humanize/time.py": "now = 1\n"})
        distribution(site, "single", "1.0", {"single.py": "version = '1.0'\n"})
        shutil.copytree(site, self.site(self.release), copy_function=os.link, dirs_exist_ok=True)
        self.pack("other", "", {"nodes.py": "mine = 1\n"})
        (self.root / "comfyui_gpu0/user").mkdir(parents=True)
        (self.root / "models").mkdir()
        subprocess.run(["chown", "-R", f"{self.builder.uid}:{self.builder.gid}", self.root / "releases"], check=True)
        subprocess.run(
            ["chown", "-R", f"{self.runner.uid}:{self.runner.gid}", self.root / "comfyui_gpu0", self.root / "models"], check=True
        )
        self.before = self.look(self.live), self.look(self.release / "venv"), self.look(self.packs / "other")

    def site(self, release=None):
        return next((release or self.release).glob("venv/lib/python*/site-packages"))

    def pack(self, name, script, files=None):
        folder = self.packs / name
        for path, text in {"install.py": textwrap.dedent(script), "__init__.py": "", ".git/HEAD": "ref\n", **(files or {})}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        subprocess.run(["chown", "-R", f"{self.builder.uid}:{self.builder.gid}", folder], check=True)
        return folder

    def run(self, script, files=None, *, name="it", **options):
        self.pack(name, script, files)
        options = {"scratch": self.scratch, "log_file": self.log, "timeout": 60, **options}
        return run_install_script(self.release, name, root=self.root, builder=self.builder, runner=self.runner, **options)

    def import_(self, code):
        return subprocess.run([self.release / "venv/bin/python", "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    @staticmethod
    def look(folder):
        """Everything that must not change about what nobody may change."""
        rows = {}
        for path in sorted(folder.rglob("*")):
            state = path.lstat()
            link = str(path.readlink()) if path.is_symlink() else ""
            content = path.read_bytes() if stat.S_ISREG(state.st_mode) and state.st_size < 100_000 else b""
            times = (state.st_mtime_ns, state.st_ctime_ns)
            rows[str(path)] = (state.st_ino, state.st_nlink, state.st_mode, state.st_uid, state.st_gid, times, link, content)
        return rows

    def untouched(self):
        """Whether the live release, the candidate's environment and the other pack are as they were, and nothing is left over."""
        now = self.look(self.live), self.look(self.release / "venv"), self.look(self.packs / "other")
        left = [path.name for path in self.packs.iterdir() if path.name.startswith(".")]
        return now == self.before and not left and not self.scratch.exists()


@pytest.fixture(name="site")
def fixture_site():
    # A folder of pytest's is closed to other accounts.
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="install_script."))
    folder.chmod(0o755)
    yield Site(folder)
    subprocess.run(["rm", "-rf", folder], check=True)


def processes_of(token):
    """Who on this machine has this word on its command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if token.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def all_end(token):
    for _ in range(300):
        if not processes_of(token):
            return True
        time.sleep(0.1)
    return False


# --- its own folder ----------------------------------------------------------------------------------------------


@as_root
def test_what_it_writes_in_its_own_folder_is_kept_and_the_builders(site):
    outcome = site.run(
        """
        import os, pathlib
        pathlib.Path("made/deep").mkdir(parents=True)
        pathlib.Path("made/deep/data.bin").write_bytes(b"x" * 100)
        pathlib.Path("config.ini").write_text("changed")
        os.chmod("config.ini", 0o600)
        os.symlink("../config.ini", "made/link")
        os.remove("old.txt")
        """,
        {"config.ini": "as it came", "old.txt": "", "tool.sh": "#!/bin/sh\n"},
    )
    pack = site.packs / "it"
    assert outcome == ScriptOutcome("it", outcome.seconds)
    assert (pack / "made/link").read_text() == (pack / "config.ini").read_text() == "changed"
    assert not (pack / "old.txt").exists()
    assert (pack / ".git/HEAD").read_text() == "ref\n"
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in (pack, *pack.rglob("*"))} == {(site.builder.uid, site.builder.gid)}
    assert [(pack / name).stat().st_mode & 0o7777 for name in ("config.ini", "made", "made/deep/data.bin")] == [0o644, 0o755, 0o644]
    assert site.untouched()


@as_root
def test_a_script_that_changes_nothing_leaves_its_folder_alone(site):
    site.pack("it", "print('nothing to do')\n")
    before = site.look(site.packs / "it")
    outcome = site.run("print('nothing to do')\n")
    assert (outcome.error, outcome.added, outcome.undone) == (None, (), ())
    assert {path: row[0] for path, row in site.look(site.packs / "it").items()} == {path: row[0] for path, row in before.items()}
    assert site.log.read_text() == "nothing to do\n"
    assert site.untouched()


@as_root
def test_git_keeps_its_own_files_whatever_the_script_makes_of_them(site):
    site.run(
        """
        import os, pathlib, shutil
        shutil.rmtree(".git")
        os.symlink("/etc", ".git")
        os.remove("part/.git")
        pathlib.Path("part/.git").mkdir()
        pathlib.Path("part/.git/config").write_text("[core] fsmonitor = evil")
        pathlib.Path("new/.git").mkdir(parents=True)
        pathlib.Path("new/file").touch()
        """,
        {"part/.git": "gitdir: ../.git/modules/part\n", "part/file": ""},
    )
    pack = site.packs / "it"
    assert sorted(str(path.relative_to(pack)) for path in pack.rglob(".git")) == [".git", "part/.git"]
    assert (pack / ".git/HEAD").read_text() == "ref\n"
    assert (pack / "part/.git").read_text() == "gitdir: ../.git/modules/part\n"
    assert (pack / "new/file").exists()


@as_root
@pytest.mark.parametrize(
    "script, words",
    [
        pytest.param("os.symlink('/etc', 'way_out')", "way_out, a link that leads out of the pack to /etc", id="absolute"),
        pytest.param("os.symlink('../other/nodes.py', 'way_out')", "way_out, a link that leads out of the pack", id="neighbour"),
        pytest.param("os.symlink('a/../../it/x', 'way_out')", "way_out, a link that leads out of the pack", id="out and in again"),
        pytest.param("os.mkfifo('pipe')", "pipe, which is neither a file", id="fifo"),
        pytest.param("import socket; socket.socket(socket.AF_UNIX).bind('door')", "door, which is neither a file", id="socket"),
    ],
)
def test_what_is_no_plain_part_of_a_pack_fails_it_by_name(site, script, words):
    site.pack("it", f"import os\nopen('more', 'w')\n{script}\n")
    before = site.look(site.packs / "it")
    outcome = site.run(f"import os\nopen('more', 'w')\n{script}\n")
    assert words in outcome.error
    assert set(site.look(site.packs / "it")) == set(before)
    assert site.untouched()


@as_root
def test_no_program_with_somebodys_rights_comes_out_of_it(site):
    outcome = site.run(
        """
        import os
        open("program", "w").write("#!/bin/sh\\n")
        os.chmod("program", 0o6777)
        os.mkdir("folder")
        os.chmod("folder", 0o7777)
        """
    )
    assert outcome.error is None
    assert (site.packs / "it/program").stat().st_mode & 0o7777 == (site.packs / "it/folder").stat().st_mode & 0o7777 == 0o755


@as_root
def test_links_that_the_pack_came_with_are_no_fault_of_the_script(site):
    pack = site.pack("it", "")
    (pack / "doc").symlink_to("/usr/share/doc")
    outcome = site.run("open('new', 'w')")
    assert (outcome.error, (pack / "doc").readlink()) == (None, Path("/usr/share/doc"))


# --- what it cannot reach ----------------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize(
    "path",
    [
        "releases/2/ComfyUI/custom_nodes/other/nodes.py",
        "releases/2/ComfyUI/custom_nodes/new.py",
        "releases/2/ComfyUI/main.py",
        "releases/2/requirements.lock",
        "releases/1/venv/new",
        "comfyui_gpu0/user/settings.json",
        "models/new.safetensors",
        "cache/install_scripts/it/pack/x",
    ],
)
def test_it_writes_nowhere_else_below_the_root(site, path):
    target = site.root / path
    there = target.read_bytes() if target.exists() else None
    outcome = site.run(f"open({str(target)!r}, 'a').write('x')\n")
    assert "ended with exit status 1" in outcome.error
    assert target.name in outcome.error
    assert (target.read_bytes() if target.exists() else None) == there
    assert site.untouched()


@as_root
def test_it_writes_nowhere_else_on_the_machine_even_where_its_account_may(site):
    with tempfile.TemporaryDirectory(dir="/var/lib", prefix="install_script.") as own:
        os.chown(own, site.runner.uid, site.runner.gid)
        outcome = site.run(f"open('{own}/file', 'w')")
        assert list(Path(own).iterdir()) == []
    assert "Read-only file system" in outcome.error


@as_root
def test_the_rights_of_a_user_namespace_do_not_open_what_is_closed(site):
    target = site.root / "comfyui_gpu0/user"
    tricks = f"mount -o remount,bind,rw {site.root}; umount /var/tmp; umount -l {site.root}; umount {site.packs}/it; touch {target}/new"
    site.run(
        f"""
        import subprocess
        subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", {tricks!r}])
        """
    )
    assert "new" in site.log.read_text() or "unshare" in site.log.read_text()
    assert list(target.iterdir()) == []
    assert site.untouched()


@as_root
def test_files_that_releases_share_cannot_be_written_in_place_nor_given_away(site):
    outcome = site.run(
        f"""
        import os
        tried = [
            lambda: open({str(site.site() / "humanize/__init__.py")!r}, "a"),
            lambda: os.truncate({str(site.site() / "single.py")!r}, 0),
            lambda: os.chmod({str(site.site() / "single.py")!r}, 0o666),
            lambda: os.utime({str(site.site() / "single.py")!r}, (0, 0)),
        ]
        for attempt in tried:
            try:
                attempt()
            except PermissionError as error:
                print(error.errno)
        """
    )
    assert (outcome.error, outcome.undone) == (None, ())
    assert site.log.read_text().split() == ["13", "13", "1", "1"]
    assert site.untouched()


@as_root
def test_its_temporary_files_and_home_are_its_own_and_go_with_it(site):
    outcome = site.run(
        """
        import os, pathlib, tempfile
        for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "COMFYUI_PATH", "VIRTUAL_ENV"):
            print(name, os.environ[name])
        print(os.getcwd(), os.environ["PATH"].split(":")[0], os.getuid(), os.getgroups())
        for place in ("/tmp", "/dev/shm", os.environ["HOME"]):
            assert os.listdir(place) in ([], ["home"]), os.listdir(place)
            pathlib.Path(place, "install_script_test").touch()
        tempfile.mkdtemp()
        print(pathlib.Path("/proc/self/status").read_text())
        """
    )
    assert outcome.error is None
    said = site.log.read_text()
    assert f"COMFYUI_PATH {site.release}/ComfyUI\nVIRTUAL_ENV {site.release}/venv\n" in said
    assert f"{site.packs}/it {site.release}/venv/bin {site.runner.uid} []" in said
    for line in ("NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapPrm:\t0000000000000000"):
        assert line in said
    assert not Path("/tmp/install_script_test").exists() and not Path("/dev/shm/install_script_test").exists()
    assert site.untouched()


@as_root
def test_the_environment_of_the_caller_is_not_its_business(site, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "s3cret")
    monkeypatch.setenv("https_proxy", "http://user:s3cret@proxy.example:1")
    site.run("import os; print(dict(os.environ))")
    assert "s3cret" not in site.log.read_text()


@pytest.fixture(name="server")
def fixture_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@as_root
@pytest.mark.parametrize("network", [False, True])
def test_it_reaches_others_only_where_the_network_is_declared(site, server, network):
    outcome = site.run(f"import socket; socket.create_connection(('127.0.0.1', {server}), 5)", network=network)
    if network:
        assert outcome.error is None
    else:
        assert "Network is unreachable" in outcome.error or "refused" in outcome.error


@as_root
def test_with_the_network_pip_is_told_the_index_of_the_machine_and_names_can_be_looked_up(site, monkeypatch):
    monkeypatch.setattr(_install_script, "package_index_environment", lambda: {"UV_DEFAULT_INDEX": "http://mirror.example/simple"})
    script = "import os; print(os.environ.get('PIP_INDEX_URL')); print(os.path.exists('/etc/resolv.conf'))"
    site.run(script, network=True)
    assert site.log.read_text() == f"http://mirror.example/simple\n{Path('/etc/resolv.conf').exists()}\n"
    site.run(script)
    assert site.log.read_text().startswith("None\n")


# --- how it ends -------------------------------------------------------------------------------------------------


@as_root
def test_of_a_script_that_fails_nothing_is_kept_and_its_last_words_are_told(site):
    site.pack("it", "")
    outcome = site.run(
        """
        import os, sys
        open("half", "w")
        print("first", flush=True)
        os.system("echo from a child >&2")
        sys.exit("\\x1b[31mno compiler\\n")
        """
    )
    assert outcome.error == "install.py ended with exit status 1: first\nfrom a child\n?[31mno compiler"
    assert not (site.packs / "it/half").exists()
    assert site.log.read_text() == "first\nfrom a child\n\x1b[31mno compiler\n\n"
    assert site.untouched()


@as_root
@pytest.mark.parametrize(
    "script, error",
    [
        ("import sys; sys.exit(3)", "install.py ended with exit status 3: it said nothing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "install.py was killed by SIGTERM: "),
        ("import os; os.abort()", "install.py was killed by SIGABRT: "),
        ("print(open(0).read(), 'nobody answers'); raise SystemExit(4)", "install.py ended with exit status 4:  nobody answers"),
    ],
)
def test_the_way_it_ended_is_told(site, script, error):
    assert site.run(script).error.startswith(error)


@as_root
def test_a_script_that_takes_too_long_ends_with_all_that_it_started(site):
    token = f"install-script-{os.getpid()}-long"
    outcome = site.run(
        f"""
        import subprocess, sys, time
        wait = [sys.executable, "-c", "import os, time; os.setsid(); time.sleep(600)", "{token}"]
        subprocess.Popen(wait, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        print("waiting", flush=True)
        open("half", "w")
        time.sleep(600)
        """,
        timeout=3,
    )
    assert outcome.error == "install.py did not end within 3 s"
    assert site.log.read_text() == "waiting\n"
    assert processes_of(token) == []
    assert not (site.packs / "it/half").exists()
    assert site.untouched()


@as_root
def test_what_it_leaves_running_ends_with_it(site):
    token = f"install-script-{os.getpid()}-daemon"
    outcome = site.run(
        f"""
        import subprocess, sys, time
        code = "import os, time; os.setsid(); os.fork() and os._exit(0); open('ready', 'w'); time.sleep(600)"
        subprocess.run([sys.executable, "-c", code, "{token}"])
        while not __import__("os").path.exists("ready"):
            time.sleep(0.01)
        """
    )
    assert outcome.error is None
    assert (site.packs / "it/ready").exists()
    assert processes_of(token) == []


@as_root
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_when_we_are_killed_nothing_of_it_goes_on_and_the_next_run_clears_up(site, how):
    token = f"install-script-{os.getpid()}-{how}"
    site.pack("it", f"import os, sys\nos.execv(sys.executable, ['python', '-c', 'import time; time.sleep(600)', '{token}'])\n")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account\n"
        "from ansible_collections.emprops.comfyui.plugins.module_utils._install_script import run_install_script\n"
        f"run_install_script(Path({str(site.release)!r}), 'it', root=Path({str(site.root)!r}), builder=Account.named('games'),"
        f" runner=Account.named('nobody'), scratch=Path({str(site.scratch)!r}), log_file=Path({str(site.log)!r}))\n"
    )
    ours = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    for _ in range(300):
        if any(Path("/proc", number, "cmdline").read_bytes().startswith(b"python\0") for number in processes_of(token)):
            break
        time.sleep(0.1)
    else:
        pytest.fail("it did not begin")
    ours.send_signal(how)
    ours.wait()
    assert all_end(token)
    assert site.scratch.exists()
    assert site.run("print('well')").error is None
    assert site.log.read_text() == "well\n"
    assert site.untouched()


@as_root
def test_of_a_talkative_script_the_end_is_kept(site, monkeypatch):
    monkeypatch.setattr(_install_script, "OUTPUT_LIMIT", 10)
    assert site.run("print('x' * 300000); print('the end')").error is None
    assert site.log.read_text() == "x\nthe end\n"


@as_root
def test_the_log_is_replaced_and_never_written_through(site):
    site.log.parent.mkdir()
    os.chown(site.log.parent, site.builder.uid, site.builder.gid)
    victim = site.root / "victim"
    victim.write_text("precious")
    site.log.symlink_to(victim)
    assert site.run("print('said')").error is None
    assert (victim.read_text(), site.log.read_text(), site.log.is_symlink()) == ("precious", "said\n", False)
    assert site.log.stat().st_mode & 0o777 == 0o644
    site.log.unlink()
    os.mkfifo(site.log)
    site.run("print('again')")
    assert site.log.read_text() == "again\n"


def test_a_folder_of_logs_that_leads_elsewhere_leads_the_builder_there_and_not_root(site):
    private = site.root / "private"
    private.mkdir(mode=0o700)
    site.log.parent.symlink_to(private)
    assert "Permission denied" in site.run("print('said')").error
    assert list(private.iterdir()) == []


# --- the environment ---------------------------------------------------------------------------------------------

# What installers do, without one: remove the files of a distribution, and write those of another.
INSTALLER = """
import os, pathlib, shutil, sys, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
def remove(*names):
    for name in names:
        shutil.rmtree(site / name) if (site / name).is_dir() else (site / name).unlink()
def install(name, version, files, listed=()):
    info = f"{name}-{version}.dist-info"
    files = {**files, f"{info}/METADATA": f"Name: {name}\\nVersion: {version}\\n", f"{info}/INSTALLER": "pip"}
    files[f"{info}/RECORD"] = "".join(f"{path},,\\n" for path in [*files, *listed, f"{info}/RECORD"])
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        if (site / path).exists():
            (site / path).unlink()
        (site / path).write_text(text)
"""


@as_root
def test_a_package_of_a_new_name_is_kept_and_the_builders(site):
    outcome = site.run(
        f"""{INSTALLER}
install("New_Part", "1.5", {{"new_part/__init__.py": "word = 'new'", "new_part/__pycache__/__init__.cpython-399.pyc": "x",
                             "__pycache__/humanize.cpython-399.pyc": "poison", "../../../bin/new-part": "#!/bin/sh"}})
os.chmod(sys.prefix + "/bin/new-part", 0o4777)
"""
    )
    assert outcome.error is None
    assert outcome.added == ("new-part==1.5",)
    assert outcome.undone == ()
    assert site.import_("import new_part, importlib.metadata as m; print(new_part.word, m.version('new_part'))") == "new 1.5"
    program = site.release / "venv/bin/new-part"
    assert program.stat().st_mode & 0o7777 == 0o755
    new = [program, site.site() / "new_part", site.site() / "new_part/__init__.py", site.site() / "New_Part-1.5.dist-info/RECORD"]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in new} == {(site.builder.uid, site.builder.gid)}
    assert (site.site() / "new_part/__pycache__/__init__.cpython-399.pyc").exists()
    assert not (site.site() / "__pycache__/humanize.cpython-399.pyc").exists()
    assert site.look(site.live) == site.before[0]
    after = site.look(site.release / "venv")
    assert all(after[path] == row for path, row in site.before[1].items() if not Path(path).is_dir())


@as_root
@pytest.mark.parametrize(
    "script, undone",
    [
        pytest.param(
            "remove('humanize', 'humanize-4.9.0.dist-info')\ninstall('humanize', '5.0', {'humanize/__init__.py': 'version = 5'})",
            ("humanize 4.9.0 → 5.0",),
            id="another version",
        ),
        pytest.param("remove('humanize', 'humanize-4.9.0.dist-info')", ("removed humanize 4.9.0",), id="removed"),
        pytest.param(
            "remove('single.py', 'single-1.0.dist-info')\ninstall('Single', '1.0', {'single.py': 'version = 2'})",
            ("single 1.0 → 1.0",),
            id="removed and put back under another spelling",
        ),
        pytest.param(
            "remove('single.py', 'single-1.0.dist-info')\ninstall('single', '1.0', {'single.py': \"version = '1.0'\\n\"})",
            ("installed single 1.0 again",),
            id="the same once more",
        ),
        pytest.param("install('single', '2.0', {})", ("single 2.0 beside the one that is there",), id="two of a name"),
        pytest.param(
            "shutil.rmtree(site)", ("removed humanize 4.9.0", "removed single 1.0", "removed lib/{python}/site-packages"), id="all"
        ),
        pytest.param(
            "remove('humanize/time.py')\n(site / 'humanize/time.py').write_text('now = 2')",
            ("changed humanize/time.py",),
            id="changed file",
        ),
        pytest.param("remove('humanize/time.py')", ("removed humanize/time.py",), id="removed file"),
        pytest.param(
            "remove('humanize')\n(site / 'humanize').mkdir()\n(site / 'humanize/time.py').write_text('now = 1\\n')",
            ("removed humanize/__init__.py",),
            id="a folder made anew",
        ),
        pytest.param("remove('single.py')\nos.symlink('/etc/passwd', site / 'single.py')", ("changed single.py",), id="a link for a file"),
        pytest.param("remove('humanize')\nos.symlink('/etc', site / 'humanize')", ("changed humanize",), id="a link for a folder"),
        pytest.param(
            "remove('single.py')\n(site / 'single.py').mkdir()\n(site / 'single.py/x').touch()",
            ("changed single.py",),
            id="folder for file",
        ),
        pytest.param("(site / 'evil.pth').write_text('import evil')", ("added evil.pth",), id="stray file"),
        pytest.param("os.mkfifo(site / 'pipe')", ("added pipe",), id="fifo"),
        pytest.param("os.symlink('/etc', site / 'way_out')", ("added way_out",), id="stray link"),
        pytest.param("pathlib.Path(sys.prefix, 'bin/sneaky').write_text('x')", ("added bin/sneaky",), id="stray program"),
        pytest.param(
            "os.remove(sys.prefix + '/pyvenv.cfg')\npathlib.Path(sys.prefix, 'pyvenv.cfg').write_text('home = /evil')",
            ("changed pyvenv.cfg",),
            id="pyvenv.cfg",
        ),
        pytest.param(
            "(site / 'humanize/__pycache__').mkdir()\n(site / 'humanize/__pycache__/time.cpython-399.pyc').touch()", (), id="bytecode"
        ),
        pytest.param("(site / 'bad\\x1b\\udcff.py').touch()", ("added bad??.py",), id="a name for the terminal"),
        pytest.param(
            "[(site / f'stray{n:02}').touch() for n in range(14)]", (*(f"added stray{n:02}" for n in range(10)), "and 4 more"), id="many"
        ),
        pytest.param(
            "install('new', '1.0', {'new.py': '', 'humanize/extra.py': ''})",
            ("new 1.0: its humanize/extra.py would become a part of a package that is there already",),
            id="into another package",
        ),
        pytest.param(
            "install('new', '1.0', {'single/__init__.py': ''})",
            ("new 1.0: its single/__init__.py would become a part of a package that is there already",),
            id="in the place of a module",
        ),
        pytest.param(
            "install('new', '1.0', {'single.py': 'version = 3'})",
            ("new 1.0: its single.py is there already, and other than that",),
            id="over a module",
        ),
        pytest.param(
            "install('new', '1.0', {'new.py': '', 'new.pth': 'import new'})",
            ("new 1.0: its new.pth would run whenever Python starts",),
            id="pth",
        ),
        pytest.param(
            "install('new', '1.0', {'sitecustomize.py': ''})",
            ("new 1.0: its sitecustomize.py would run whenever Python starts",),
            id="sitecustomize",
        ),
        pytest.param(
            "install('new', '1.0', {'../../../bin/pyvenv.cfg': 'home = /evil'})",
            ("new 1.0: its bin/pyvenv.cfg is none of a package's files",),
            id="cfg",
        ),
        pytest.param(
            "os.symlink('/etc/passwd', site / 'new.py')\ninstall('new', '1.0', {}, ['new.py'])",
            ("new 1.0: its new.py is no file",),
            id="a link of its own",
        ),
        pytest.param(
            "(site / 'new-1.0.dist-info').mkdir()\nos.symlink('/etc/passwd', site / 'new-1.0.dist-info/RECORD')",
            ("new 1.0: it does not say which files are its own",),
            id="a record elsewhere",
        ),
    ],
)
def test_what_makes_the_environment_differ_from_the_lock_is_told_and_not_kept(site, script, undone):
    outcome = site.run(f"{INSTALLER}\n{script}\n")
    assert outcome.error is None
    assert outcome.added == ()
    assert outcome.undone == tuple(line.replace("{python}", site.site().parent.name) for line in undone)
    assert site.untouched()


@as_root
def test_a_package_that_lists_files_elsewhere_gets_none_of_them(site):
    victim = site.root / "victim"
    outcome = site.run(
        f"{INSTALLER}\ninstall('new', '1.0', {{'new.py': ''}}, ['/etc/passwd', '../../../../../../victim', 'humanize/time.py', '\\0'])"
    )
    assert (outcome.error, outcome.added) == (None, ("new==1.0",))
    assert not victim.exists()
    assert site.look(site.live) == site.before[0]


@as_root
def test_a_package_cannot_pass_off_what_it_removed_as_its_own(site):
    outcome = site.run(f"{INSTALLER}\nremove('humanize/time.py')\ninstall('new', '1.0', {{'new.py': ''}}, ['humanize/time.py'])")
    assert (outcome.added, outcome.undone) == (("new==1.0",), ("removed humanize/time.py",))
    assert (site.site() / "humanize/time.py").read_text() == "now = 1\n"


@as_root
def test_what_a_killed_run_copied_already_does_not_stop_the_next_one(site):
    script = f"{INSTALLER}\ninstall('new', '1.0', {{'new/__init__.py': '', 'new/rest.py': 'x = 1'}})\n"
    site.run(script)
    shutil.rmtree(site.site() / "new-1.0.dist-info")
    (site.site() / ".new-1.0.dist-info.partial").mkdir()
    assert site.run(script).added == ("new==1.0",)
    assert site.import_("import new.rest; print(new.rest.x)") == "1"


@as_root
def test_of_scripts_side_by_side_that_bring_the_same_package_one_does(site):
    def one(number):
        script = f"{INSTALLER}\ninstall('new', '1.0', {{'new.py': 'x = 1'}})\nimport time\ntime.sleep(2)\n"
        options = {"scratch": site.scratch.with_name(f"{number}"), "log_file": site.log.with_name(f"{number}.log")}
        return site.run(script, name=f"pack{number}", **options)

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(one, range(3)))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert sorted(outcome.added for outcome in outcomes) == [(), (), ("new==1.0",)]
    brought = ("new 1.0: another pack's install.py brought it already",)
    assert sorted(outcome.undone for outcome in outcomes) == [(), brought, brought]
    assert site.import_("import new; print(new.x)") == "1"
    assert site.untouched() is False and site.look(site.live) == site.before[0]


@as_root
@has_pip
def test_pip_itself_brings_a_new_package_and_changes_none_of_the_lock(site):
    wheels = site.root / "wheels"
    wheel(wheels, "brought", "1.0")
    wheel(wheels, "humanize", "5.0")
    pip = "import subprocess, sys\npip = [sys.executable, '-m', 'pip']\n"
    install = f"['install', '--no-index', '--no-build-isolation', '--find-links', {str(wheels)!r}]"
    outcome = site.run(f"{pip}subprocess.run([*pip, *{install}, '--upgrade', 'brought', 'humanize'], check=True)\n")
    assert outcome.error is None, site.log.read_text()
    assert (outcome.added, outcome.undone) == (("brought==1.0",), ("humanize 4.9.0 → 5.0",))
    code = "import brought, humanize, brought as b; print(brought.version, humanize.version)"
    assert site.import_(code) == "1.0 4.9.0"
    assert subprocess.run([site.release / "venv/bin/brought"], capture_output=True, text=True, check=True).stdout == "ran\n"
    outcome = site.run(f"{pip}subprocess.run([*pip, 'uninstall', '--yes', 'single'], check=True)\n")
    assert (outcome.error, outcome.added, outcome.undone) == (None, (), ("removed single 1.0",))
    assert site.look(site.live) == site.before[0]
    after = site.look(site.release / "venv")
    assert all(after[path] == row for path, row in site.before[1].items() if not Path(path).is_dir())


# --- the place ---------------------------------------------------------------------------------------------------


@as_root
def test_where_the_disk_takes_no_overlay_memory_does(site, monkeypatch):
    real = _install_script._takes_overlay
    monkeypatch.setattr(_install_script, "_takes_overlay", lambda layer: bool(layer.enter) and real(layer))
    outcome = site.run(f"{INSTALLER}\nopen('mine', 'w')\nremove('single.py')\ninstall('new', '1.0', {{'new.py': 'x = 1'}})\n")
    assert (outcome.error, outcome.added, outcome.undone) == (None, ("new==1.0",), ("removed single.py",))
    assert (site.packs / "it/mine").exists()
    assert site.import_("import new; print(new.x)") == "1"
    assert not site.scratch.exists()
    assert str(site.root) not in Path("/proc/self/mountinfo").read_text()


@as_root
def test_a_disk_that_takes_no_overlay_is_known(site):
    """An overlay is one."""
    folder = site.root / "disk"
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from ansible_collections.emprops.comfyui.plugins.module_utils._install_script import _layer\n"
        "with _layer(Path(sys.argv[1], 'layer'), 'it') as layer:\n    print(bool(layer.enter))\n"
    )
    for name in ("lower", "upper", "work", "merged"):
        (folder / name).mkdir(parents=True)
    shell = f'mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged && exec {sys.executable} -c "$0" merged'
    command = ["unshare", "--mount", "sh", "-c", shell.replace(" merged", f" {folder}/merged").replace("=", f"={folder}/"), script]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


@as_root
def test_a_full_disk_is_told_and_leaves_everything_as_it_was(site, monkeypatch):
    def copy(source, target, size):
        target.write(b"part")
        raise OSError(28, "No space left on device", source.name)

    monkeypatch.setattr(_install_script.shutil, "copyfileobj", copy)
    site.pack("it", "")
    outcome = site.run("open('new', 'w').write('x')")
    assert "No space left on device" in outcome.error
    assert not (site.packs / "it/new").exists()
    assert site.untouched()
    outcome = site.run(f"{INSTALLER}\ninstall('new', '1.0', {{'new/deep/__init__.py': ''}})")
    assert "No space left on device" in outcome.error
    assert outcome.added == ()
    after = site.look(site.release / "venv")
    assert set(after) == set(site.before[1])


@as_root
def test_a_tree_too_deep_for_a_path_fails_the_pack_and_is_cleared_up(site):
    outcome = site.run("import os\nfor _ in range(1200):\n    os.mkdir('deep')\n    os.chdir('deep')\n")
    assert "File name too long" in outcome.error
    assert site.untouched()


@as_root
def test_folders_that_are_not_what_they_say_are_refused(site, tmp_path):
    options = {"builder": site.builder, "runner": site.runner, "log_file": site.log}
    site.pack("it", "")
    cases = [
        (site.release, "../it", site.root, site.scratch),
        (site.release, "absent", site.root, site.scratch),
        (site.release, "it", tmp_path, site.scratch),
        (site.release, "it", site.root, tmp_path / "elsewhere"),
        (site.root, "it", site.root, site.scratch),
    ]
    (site.packs / "linked").symlink_to("/etc")
    (site.release / "ComfyUI/custom_nodes/bare").mkdir()
    cases += [(site.release, "linked", site.root, site.scratch), (site.release, "bare", site.root, site.scratch)]
    for release, pack, root, scratch in cases:
        with pytest.raises(InstallScriptError):
            run_install_script(release, pack, root=root, scratch=scratch, **options)
    assert site.untouched()


@as_root
@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda patch: patch.setattr(_install_script.os, "geteuid", lambda: 1000), "only root can confine it"),
        (lambda patch: patch.setattr(_install_script, "PROGRAMS", ("sh", "not-there")), "this machine has no not-there"),
        (lambda patch: patch.setattr(_install_script, "_takes_overlay", lambda _: False), "takes an overlay file system"),
        (lambda patch: patch.setattr(_install_script, "STAGE", "mount -t nothing x y"), "mount"),
    ],
)
def test_a_machine_that_cannot_confine_a_script_does_not_run_it(site, monkeypatch, spoil, words):
    spoil(monkeypatch)
    with pytest.raises(InstallScriptError, match=words) as caught:
        site.run("open('ran', 'w')")
    assert "`skip_install_script: true`" in str(caught.value)
    monkeypatch.undo()
    assert not (site.packs / "it/ran").exists()
    assert site.untouched()


@pytest.mark.parametrize(
    "rel, leads, inside",
    [
        ("a", "b", True),
        ("a/b", "../c", True),
        ("a/b", "./x//y", True),
        ("a/b/c", "../../d", True),
        ("a", ".", True),
        ("a", "..", False),
        ("a", "/etc", False),
        ("a/b", "../../c", False),
        ("a/b", "x/../c", False),
        ("a/b", "../x/../../it/c", False),
    ],
)
def test_a_link_stays_inside_where_it_goes_up_first_and_not_too_far(rel, leads, inside):
    assert _install_script._stays_inside(rel, leads) is inside
