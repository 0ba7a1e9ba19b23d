# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Packs into releases of the stand-in ComfyUI, with real git, the real uv, real archives and real scripts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _fill
from ansible_collections.emprops.comfyui.plugins.module_utils._activation import Activation
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError, put_texts, remove_all, run
from ansible_collections.emprops.comfyui.plugins.module_utils._files import read_own
from ansible_collections.emprops.comfyui.plugins.module_utils._fill import Outside, adopt, adopted_packs, find_unlisted, unchanged_packs
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import Pack
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_archive import RegistryAccess
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_requirements import RequirementsError, Source, read_requirements
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import PythonEnvError
from ansible_collections.emprops.comfyui.plugins.module_utils._release import ReleaseError, seal
from ansible_collections.emprops.comfyui.plugins.module_utils._resolution import Policy
from support.comfy_registry import Registry
from support.outside import server
from unit.conftest import write_sdist, write_wheel
from unit.fixtures.release_machine import NODES, head, pack_of

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can keep a script from the rest of the machine")


FILES = 20_000


def states(report):
    return {row.name: row.state for row in report.packs}


def mended(machine, *packs, **options):
    """What the next run makes of it: sealed, and named as such."""
    machine.fill(*packs, **options)
    release, _changed = seal(machine.workspace)
    return machine.workspace.lock_of(release)


# --- one fails, the others go on ---


def test_everything_that_is_wrong_is_told_at_once_and_the_rest_is_there(machine, origin, tmp_path):
    good = origin("good", {"__init__.py": NODES, "requirements.txt": "shared_part<2\n"})
    packs = [
        pack_of(good),
        Pack("absent", (tmp_path / "absent").as_uri()),
        pack_of(good, "no_commit", commit="a" * 40),
        pack_of(origin("unreadable", {"requirements.txt": "this is = nothing\n"})),
        pack_of(origin("nowhere", {"requirements.txt": "no_such_package\n"})),
        pack_of(origin("other", {"requirements.txt": "shared_part>=2\n"})),
    ]
    _plan, path = machine.open()
    plan, report = machine.try_fill(*packs)
    assert states(report) == {pack.name: "installed" if pack.name == "good" else "failed" for pack in packs}
    told = "\n".join(report.problems)
    for words in (
        "absent: cannot read file://",
        f"no_commit: {good.url} has no commit aaaa",
        "unreadable: the line 'this is = nothing' of requirements.txt is no requirement",
        "nowhere asks for no_such_package, which cannot be had",
        "  good asks for shared_part<2\n  other asks for shared_part>=2",
    ):
        assert words in told
    assert (machine.nodes(path.name) / "good/__init__.py").is_file()
    assert run([str(path / "venv/bin/python"), "-c", "import shared_part; print(shared_part.version)"]) == "1.0\n"
    with pytest.raises(ReleaseError, match="has no custom nodes and Python packages yet"):
        seal(machine.workspace)
    assert [pack.name for pack in mended(machine, pack_of(good)).packs] == ["good"]


def test_a_commit_that_could_not_be_had_is_not_remembered(machine, origin):
    moving, new = origin("moving", {"__init__.py": NODES}), origin("new", {"__init__.py": NODES})
    first = head(moving)
    machine.deploy(pack_of(moving))
    moving.commit({"more.py": ""})
    machine.open()
    _plan, report = machine.try_fill(pack_of(moving, commit="a" * 40), pack_of(new, commit="b" * 40))
    assert states(report) == {"moving": "failed", "new": "failed"}
    # Without the pins: the commit from before, and for the new one what its branch is at.
    assert {pack.name: pack.commit for pack in mended(machine, pack_of(moving), pack_of(new)).packs} == {"moving": first, "new": head(new)}


def test_a_pack_of_a_host_that_is_not_allowed_is_not_even_asked_for(machine):
    machine.outside = Outside(replace(machine.access, protocols=("https",), hosts=("good.example",)))
    machine.open()
    plan, report = machine.try_fill(Pack("evil", "https://evil.example/x"), Pack("ssh", "git@evil.example:x"))
    assert report.problems == [
        "evil: evil.example is not among the hosts that packs may come from (good.example)",
        "ssh: evil.example is not among the hosts that packs may come from (good.example)",
    ]


def test_a_pack_that_is_known_to_be_bad_is_refused_by_name(machine):
    machine.open()
    _plan, report = machine.try_fill(Pack("x", "https://github.com/AppleBotzz/ComfyUI_LLMVISION.git"))
    assert report.problems and report.problems[0].startswith("x: ") and "steal passwords" in report.problems[0]


@pytest.fixture(name="small_disk")
def fixture_small_disk(machine, tools):
    """A machine whose folder is a disk of 64 MB; yields a function that leaves so many bytes on it."""
    root = machine.workspace.root
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(root)], check=False).returncode:
        pytest.skip("only root can make a small disk")
    machine.workspace.cache.mkdir()
    (machine.workspace.cache / "tools").symlink_to(tools)

    def leave(size):
        room = os.statvfs(root)
        (root / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize - size))

    yield leave
    subprocess.run(["umount", "--lazy", str(root)], check=True)


def test_a_disk_that_is_full_names_the_pack_and_the_next_run_heals(machine, origin, small_disk):
    small, large = origin("small", {"__init__.py": NODES}), origin("large", {"__init__.py": NODES})
    (large.path / "noise").write_bytes(os.urandom(3_000_000))
    large.commit({})
    machine.open()
    small_disk(1_500_000)
    _plan, report = machine.try_fill(pack_of(small), pack_of(large))
    assert states(report) == {"small": "installed", "large": "failed"}
    assert report.problems[0].startswith("large: ") and "the disk is full" in report.problems[0]
    (machine.workspace.root / "ballast").unlink()
    assert {pack.name for pack in mended(machine, pack_of(small), pack_of(large)).packs} == {"small", "large"}


def test_a_pack_whose_package_cannot_be_built_is_named_and_the_others_are_installed(machine, origin, python, tmp_path):
    folder = tmp_path / "wheels"
    shutil.copytree(python.torch_wheels_dir, folder)
    machine.python = replace(python, torch_wheels_dir=str(folder))
    write_sdist(folder, "needy", "import nothing_of_that_name")
    good, bad = origin("good", {"requirements.txt": "shared_part\n"}), origin("bad", {"requirements.txt": "needy\n"})
    _plan, path = machine.open()
    _plan, report = machine.try_fill(pack_of(good), pack_of(bad))
    assert states(report) == {"good": "installed", "bad": "failed"}
    assert "bad: needy could not be built or installed" in report.problems[0]
    assert "it needs the module nothing_of_that_name to be built" in report.problems[0]
    assert run([str(path / "venv/bin/python"), "-c", "import shared_part"]) == ""


# --- what collides, by the inventory's choice ---


@pytest.fixture(name="colliding")
def fixture_colliding(origin):
    one = pack_of(origin("one", {"__init__.py": NODES, "requirements.txt": "shared_part<2\n"}))
    two = pack_of(origin("two", {"__init__.py": NODES, "requirements.txt": "shared_part>=2\n"}))
    return one, two


def test_a_skipped_pack_is_left_out_and_told_in_every_later_run_until_it_is_resolved(machine, colliding, origin):
    one, two = colliding
    skip = {"policy": Policy("skip_pack")}
    machine.open()
    _plan, report = machine.fill(one, two, **skip)
    assert states(report) == {"one": "installed", "two": "skipped"}
    release, _changed = seal(machine.workspace)
    lock = machine.workspace.lock_of(release)
    assert [pack.name for pack in lock.packs] == ["one"] and [skipped.pack.name for skipped in lock.skipped] == ["two"]
    assert not (machine.nodes(release) / "two").exists()
    for _run in range(2):
        plan, again = machine.fill(one, two, **skip)
        assert (plan.changed, states(again)) == (False, states(report))
        assert "two asks for shared_part>=2" in again.row("two").error
    # Whoever wants no such release gets none, and keeps what there is.
    with pytest.raises(ReleaseError, match="cannot be met together"):
        machine.fill(one, two)
    assert machine.workspace.link("candidate") == release
    # Asked for by its name it is tried again, and without what it collides with it is there.
    assert machine.plan_fill(one, two, update=["two"], **skip).changed
    assert [pack.name for pack in mended(machine, two, **skip).packs] == ["two"]


def test_whoever_comes_last_by_install_order_and_name_is_skipped_whatever_the_order_of_the_list(machine, colliding):
    one, two = colliding
    skip = {"policy": Policy("skip_pack")}
    machine.open()
    for packs in ([one, two], [two, one]):
        assert states(machine.fill(*packs, **skip)[1])["two"] == "skipped"
    for packs in ([replace(two, install_order=5), one], [one, replace(two, install_order=5)]):
        assert states(machine.fill(*packs, **skip)[1])["one"] == "skipped"


def test_a_preferred_version_is_recorded_and_what_needed_it_is_built_anew_without_it(machine, colliding):
    prefer = {"policy": Policy("fail", {"shared-part": "2.0"})}
    machine.open()
    lock = mended(machine, *colliding, **prefer)
    assert lock.preferred == ("shared-part==2.0",) and len(lock.packs) == 2
    assert not machine.plan_fill(*colliding, **prefer).changed
    assert machine.plan_fill(*colliding).changed


# --- what is listed ---


def test_a_disabled_pack_stays_listed_is_in_no_release_and_keeps_its_commit(machine, origin):
    one, two = origin("one", {"__init__.py": NODES}), origin("two", {"__init__.py": NODES})
    machine.open()
    mended(machine, pack_of(one), pack_of(two))
    commit = head(two)
    two.commit({"new": ""})
    _plan, report = machine.fill(pack_of(one), pack_of(two, enabled=False))
    assert states(report) == {"one": "installed", "two": "disabled"}
    assert report.row("two").changed and report.row("two").commit_before == commit
    release, _changed = seal(machine.workspace)
    assert machine.packs(machine.workspace.releases / release) == ["one"]
    assert machine.plan_fill(pack_of(one), pack_of(two)).packs[1].commit == commit


def test_a_pack_that_is_no_longer_listed_is_told_as_removed(machine, origin):
    one, two = origin("one", {"__init__.py": NODES}), origin("two", {"__init__.py": NODES})
    machine.open()
    mended(machine, pack_of(one), pack_of(two))
    plan, report = machine.fill(pack_of(one))
    assert states(report) == {"one": "installed", "two": "removed"} and plan.changed


def test_a_pack_that_vanished_from_a_sealed_release_is_brought_back_in_a_new_one(machine, origin):
    repository = origin("one", {"__init__.py": NODES})
    machine.open()
    lock = mended(machine, pack_of(repository))
    shutil.rmtree(machine.nodes(lock.id) / "one")
    plan = machine.plan_fill(pack_of(repository))
    assert plan.changed and plan.sealed is None
    assert mended(machine, pack_of(repository)).id != lock.id


# --- put there by hand ---


def test_what_was_put_into_the_release_by_hand_is_found_and_can_be_listed(machine, origin):
    mine, other = origin("mine", {"__init__.py": NODES}), origin("other", {"__init__.py": NODES})
    machine.open()
    lock = mended(machine, pack_of(other))
    machine.workspace.point("current", lock.id)
    assert find_unlisted(machine.workspace, machine.access) == {}
    folder = machine.nodes(lock.id)
    subprocess.run(["git", "clone", "--quiet", mine.url, str(folder / "mine")], check=True)
    marker = machine.workspace.root / "ran"
    hostile = f"[core]\n\tfsmonitor = touch {marker}\n\tsshCommand = touch {marker}\n"
    (folder / "mine/.git/config").write_text((folder / "mine/.git/config").read_text() + hostile)
    (folder / "loose.py").write_text("")
    (folder / "copied").mkdir()
    found = find_unlisted(machine.workspace, machine.access)
    assert found == {"copied": None, "loose.py": None, "mine": Pack("mine", mine.url, commit=head(mine))}
    assert not marker.exists()
    adopt(machine.workspace, [{"name": "mine", "url": mine.url, "commit": head(mine)}])
    assert adopted_packs(machine.workspace) == [{"name": "mine", "url": mine.url, "commit": head(mine)}]


# --- out of the Comfy registry ---


@pytest.fixture(name="registry")
def fixture_registry(machine):
    with Registry() as registry:
        machine.outside = Outside(machine.access, RegistryAccess(registry.url, [registry.storage_url], patient=False))
        yield registry


def test_a_pack_of_the_registry_comes_as_its_archive_by_digest_and_needs_no_network_again(machine, registry):
    registry.publish("my-pack", "1.0.0", {"__init__.py": NODES, "requirements.txt": "shared_part<2\n"})
    machine.open()
    pack = Pack("MyPack", cnr_id="my-pack")
    lock = mended(machine, pack)
    (locked,) = lock.packs
    assert (locked.cnr_id, locked.version, len(locked.sha256), locked.node_types) == ("my-pack", "1.0.0", 64, ("A",))
    assert (machine.nodes(lock.id) / "MyPack/.tracking").is_file()
    registry.publish("my-pack", "1.1.0", {"__init__.py": NODES})
    asked = len(registry.requests)
    plan = machine.plan_fill(pack)
    assert not plan.changed and len(registry.requests) == asked
    assert unchanged_packs(machine.workspace, plan).row("MyPack").commit == "my-pack@1.0.0"
    newer = machine.plan_fill(pack, update=["MyPack"])
    assert newer.packs[0].version == "1.1.0" and newer.changed


def test_an_archive_that_is_another_one_under_the_same_version_is_refused_by_name(machine, registry):
    registry.publish("my-pack", "1.0.0", {"__init__.py": NODES})
    machine.open()
    pack = Pack("MyPack", cnr_id="my-pack", version="1.0.0")
    lock = mended(machine, pack)
    shutil.rmtree(machine.workspace.cache / "archives")
    shutil.rmtree(machine.nodes(lock.id) / "MyPack")
    registry.publish("my-pack", "1.0.0", {"__init__.py": "evil = 1\n"})
    _plan, report = machine.try_fill(pack)
    assert report.problems and report.problems[0].startswith("MyPack: version 1.0.0 was sha256 ")


# --- install.py ---


@needs_root
def test_an_install_script_runs_in_the_new_release_and_what_it_said_is_kept(machine, origin):
    script = "import pathlib, shared_part\npathlib.Path('made.txt').write_text(shared_part.version)\nprint('said this')\n"
    repository = origin("one", {"__init__.py": NODES, "requirements.txt": "shared_part<2\n", "install.py": script})
    other = origin("two", {"install.py": "raise SystemExit(3)\n"})
    machine.open()
    lock = mended(machine, pack_of(repository), pack_of(other, skip_install_script=True))
    assert (machine.nodes(lock.id) / "one/made.txt").read_text() == "1.0"
    assert "said this" in (machine.workspace.releases / lock.id / "install_logs/one.log").read_text()


@needs_root
def test_a_script_that_fails_is_named_with_its_words_and_the_next_run_runs_it_again(machine, origin):
    bad = origin("bad", {"__init__.py": NODES, "install.py": "import sys\nprint('no luck', file=sys.stderr)\nsys.exit(3)\n"})
    good = origin("good", {"__init__.py": NODES, "install.py": "open('made', 'w').close()\n"})
    _plan, path = machine.open()
    _plan, report = machine.try_fill(pack_of(bad), pack_of(good))
    assert states(report) == {"bad": "failed", "good": "installed"}
    assert "bad: " in report.problems[0] and "exit status 3" in report.problems[0] and "no luck" in report.problems[0]
    bad.commit({"install.py": "open('made', 'w').close()\n"})
    lock = mended(machine, pack_of(bad), pack_of(good), update=["bad"])
    assert (machine.nodes(lock.id) / "bad/made").exists() and lock.id == path.name


@needs_root
def test_the_same_script_in_the_same_environment_does_not_run_again(machine, origin):
    script = "import os, pathlib\npathlib.Path('made').write_text(os.urandom(8).hex())\n"
    one, two = origin("one", {"__init__.py": NODES, "install.py": script}), origin("two", {"__init__.py": NODES})
    machine.open()
    first = mended(machine, pack_of(one), pack_of(two))
    two.commit({"install.py": "", "new": ""})
    second = mended(machine, pack_of(one), pack_of(two), pack_of(origin("three", {"install.py": ""})), update=["two"])
    made = [(machine.nodes(lock.id) / "one/made").read_text() for lock in (first, second)]
    assert second.id != first.id and made[0] == made[1]
    one.commit({"new": ""})
    third = mended(machine, pack_of(one), pack_of(two), update=["one"])
    assert (machine.nodes(third.id) / "one/made").read_text() != made[0]


@needs_root
def test_what_a_script_does_to_the_environment_is_told_by_name(machine, origin):
    script = (
        "import pathlib, shared_part\n"
        "site = pathlib.Path(shared_part.__file__).parent.parent\n"
        "info = site / 'brought-3.0.dist-info'\n"
        "info.mkdir()\n"
        "(info / 'METADATA').write_text('Metadata-Version: 2.1\\nName: brought\\nVersion: 3.0\\n')\n"
        "(site / 'brought.py').write_text('x = 1\\n')\n"
        "(info / 'RECORD').write_text('brought.py,,\\nbrought-3.0.dist-info/METADATA,,\\nbrought-3.0.dist-info/RECORD,,\\n')\n"
        "(site / 'shared_part/__init__.py').unlink()\n"
    )
    repository = origin("one", {"__init__.py": NODES, "requirements.txt": "shared_part<2\n", "install.py": script})
    _plan, path = machine.open()
    _plan, report = machine.fill(pack_of(repository))
    said = "\n".join(report.warnings)
    assert report.row("one").added == ["brought==3.0"] and "one: its install.py brought brought==3.0" in said
    assert "one: its install.py changed the environment" in said and "shared_part/__init__.py" in said
    code = "import brought, shared_part; print(brought.x, shared_part.version)"
    assert run([str(path / "venv/bin/python"), "-c", code]).split() == ["1", "1.0"]
    release, _changed = seal(machine.workspace)
    assert machine.workspace.lock_of(release).packs[0].added == ("brought==3.0",)


# --- what outlives a release ---


def test_files_that_a_pack_keeps_outlive_its_releases(machine, origin):
    repository = origin("one", {"__init__.py": NODES, "styles.csv": "initial\n", "presets/a": "1"})
    pack = pack_of(repository, persist=("styles.csv", "presets/", "cache/", "later.json"))
    machine.open()
    first = machine.nodes(mended(machine, pack).id) / "one"
    lasting = machine.workspace.root / "persist/one"
    assert (first / "styles.csv").readlink() == lasting / "styles.csv" and (first / "styles.csv").read_text() == "initial\n"
    assert (first / "presets/a").read_text() == "1" and (first / "cache").is_dir() and not (first / "later.json").exists()
    (first / "styles.csv").write_text("mine\n")
    (first / "later.json").write_text("{}")
    repository.commit({"styles.csv": "upstream's\n"})
    second = machine.nodes(mended(machine, pack, update=["one"]).id) / "one"
    assert second != first and (second / "styles.csv").read_text() == "mine\n" and (second / "later.json").read_text() == "{}"
    assert not machine.plan_fill(pack).changed
    assert machine.plan_fill(replace(pack, persist=())).changed


# --- what it costs ---


def test_a_plain_second_run_starts_no_program(machine, origin, monkeypatch):
    repository = origin("one", {"__init__.py": NODES, "requirements.txt": "shared_part\n"})
    machine.open()
    mended(machine, pack_of(repository))

    def refuse(*_arguments, **_options):
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert not machine.plan_fill(pack_of(repository)).changed


def test_what_was_fetched_once_is_not_fetched_again_for_the_next_release(machine, origin):
    one, part = origin("one", {"__init__.py": NODES}), origin("part", {"p": ""})
    nested = origin("nested", {"__init__.py": NODES})
    nested.git("submodule", "--quiet", "add", part.url, "part")
    nested.commit({})
    moving = origin("moving", {"__init__.py": NODES})
    packs = [pack_of(one), pack_of(nested, recursive=True), pack_of(moving)]
    machine.open()
    first = mended(machine, *packs)
    for repository in (one, part, nested):
        repository.vanish()
    moving.commit({"new": ""})
    second = mended(machine, *packs, update=["moving"])
    assert second.id != first.id and (machine.nodes(second.id) / "nested/part/p").exists()
    record = json.loads((machine.workspace.state / "wanted.json").read_text())
    assert [row["name"] for row in record["packs"]] == ["one", "nested", "moving"]


def test_a_network_that_is_gone_after_the_first_half_loses_nothing_and_the_next_run_goes_on(machine, origin, tmp_path):
    class Fragile(server.Handler):
        left = 10**6

        def do_GET(self):
            Fragile.left -= 1
            if Fragile.left < 0:
                self.close_connection = True
                self.connection.shutdown(2)
            else:
                super().do_GET()

        def log_message(self, *_arguments):
            pass

    (tmp_path / "git").mkdir()
    repositories = [origin(f"pack{number}", {"__init__.py": NODES}) for number in range(6)]
    for repository in repositories:
        bare = tmp_path / f"git/{repository.path.name}.git"
        subprocess.run(["git", "clone", "--quiet", "--bare", str(repository.path), str(bare)], check=True)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a, **k: Fragile(*a, outside=tmp_path, www=tmp_path, **k))
    threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True).start()
    base = f"http://127.0.0.1:{httpd.server_port}/git"
    packs = [Pack(repository.path.name, f"{base}/{repository.path.name}.git", commit=head(repository)) for repository in repositories]
    machine.open()
    machine.outside = Outside(replace(machine.access, protocols=("http", "file")))
    Fragile.left = 3
    _plan, report = machine.try_fill(*packs)
    there = [name for name, state in states(report).items() if state == "installed"]
    assert len(there) == 3 and len(report.problems) == 3
    assert all(f"{name}: cannot fetch " in "\n".join(report.problems) for name, state in states(report).items() if state == "failed")
    Fragile.left = 3
    assert len(mended(machine, *packs).packs) == 6
    assert Fragile.left == 0
    httpd.shutdown()


# --- what hostile code of the account that builds may have left ---


@pytest.fixture(name="hostile")
def fixture_hostile(tools):
    """A machine whose releases and caches are another account's, with something of root's beside it; its repositories are too."""
    if os.geteuid() != 0:
        pytest.skip("only root can be led anywhere")
    builder = Account.named("games")
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="hostile.") as name:  # pytest keeps its own folders from other accounts
        place = Path(name)
        place.chmod(0o755)
        roots = place / "roots"
        roots.mkdir(mode=0o700)
        (roots / "precious").write_text("secret=1\n")
        release = place / "workspace/releases/r"
        (release / "ComfyUI/custom_nodes").mkdir(parents=True)
        subprocess.run(["chown", "-R", f"{builder.uid}:{builder.gid}", str(place / "workspace/releases")], check=True)
        yield SimpleNamespace(builder=builder, roots=roots, release=release, nodes=release / "ComfyUI/custom_nodes")


def test_root_removes_and_writes_nothing_where_the_account_leads_it(hostile):
    (hostile.roots / "pack/.git").mkdir(parents=True)
    shutil.rmtree(hostile.nodes)
    hostile.nodes.symlink_to(hostile.roots)
    with pytest.raises(CommandError):
        _fill._remove_unlisted(hostile.nodes, [], hostile.builder)
    with pytest.raises(CommandError):
        put_texts({hostile.nodes / "filled.json": "{}"}, hostile.builder)
    with pytest.raises(CommandError):
        remove_all([hostile.nodes / "precious"], hostile.builder)
    assert sorted(path.name for path in hostile.roots.iterdir()) == ["pack", "precious"]


def test_root_reads_no_file_that_is_not_the_accounts(hostile):
    pack = hostile.nodes / "pack"
    pack.symlink_to(hostile.roots)
    (hostile.roots / "requirements.txt").write_text("OPENAI_API_KEY=s3cret\n")
    with pytest.raises(RequirementsError) as caught:
        read_requirements(Source("pack", pack, owner=hostile.builder.uid))
    assert "s3cret" not in str(caught.value)
    assert read_own(pack / "precious", hostile.builder.uid) == ""
    pipe = hostile.release / "pipe"
    os.mkfifo(pipe)
    assert read_own(pipe, hostile.builder.uid) == ""


def test_who_is_blamed_for_a_build_is_right_also_after_others_were_left_out(machine, origin, python, tmp_path):
    folder = tmp_path / "wheels"
    shutil.copytree(python.torch_wheels_dir, folder)
    machine.python = replace(python, torch_wheels_dir=str(folder))
    write_sdist(folder, "needy", "import nothing_of_that_name")
    asks = {"a": "shared_part<2\n", "b": "shared_part>=2\n", "c": "needy\n", "d": "torch\n"}
    packs = [pack_of(origin(name, {"__init__.py": NODES, "requirements.txt": text})) for name, text in asks.items()]
    machine.open()
    _plan, report = machine.try_fill(*packs, policy=Policy("skip_pack"))
    assert states(report) == {"a": "installed", "b": "skipped", "c": "skipped", "d": "installed"}
    assert "needy" in report.row("c").error and "shared_part" in report.row("b").error


def test_a_skip_is_told_also_when_an_older_release_with_it_is_gone_back_to(machine, colliding, origin):
    skip = {"policy": Policy("skip_pack")}
    machine.open()
    first = mended(machine, *colliding, **skip)
    mended(machine, colliding[0], **skip)
    _plan, report = machine.fill(*colliding, **skip)
    assert machine.workspace.link("candidate") == first.id and states(report)["two"] == "skipped"


def test_another_rank_changes_who_is_skipped(machine, colliding):
    one, two = colliding
    skip = {"policy": Policy("skip_pack")}
    machine.open()
    assert [row.pack.name for row in mended(machine, one, two, **skip).skipped] == ["two"]
    assert [row.pack.name for row in mended(machine, one, replace(two, install_order=1), **skip).skipped] == ["one"]


def test_packs_of_one_repository_move_together(machine, origin):
    repository = origin("many", {"__init__.py": NODES})
    names = [f"branch{number}" for number in range(8)]
    for name in names:
        repository.git("branch", name)
    packs = [pack_of(repository, name, branch=name) for name in names]
    machine.open()
    mended(machine, *packs)
    for name in names:
        repository.git("checkout", "--quiet", name)
        repository.commit({name: ""})
    lock = mended(machine, *packs, update=["all"])
    assert all((machine.nodes(lock.id) / name / name).exists() for name in names)


# --- what one run leaves must not mislead the next ---


@pytest.fixture(name="big")
def fixture_big(machine, python, tmp_path):
    """A pack that asks for a package of many files; yields the pack and a function that counts those which are there."""
    folder = tmp_path / "wheels"
    shutil.copytree(python.torch_wheels_dir, folder)
    write_wheel(folder, "big", "1.0", files={f"big/d{number % 100}/f{number}.py": "x = 1\n" for number in range(FILES)})
    machine.python = replace(python, torch_wheels_dir=str(folder))
    return lambda release: sum(1 for _ in (machine.workspace.releases / release).glob("venv/lib/python3*/site-packages/big/d*/*.py"))


def test_a_package_that_uv_was_killed_in_is_made_whole_by_the_next_run(machine, origin, big):
    pack, other = pack_of(origin("p", {"requirements.txt": "big\n"})), pack_of(origin("other", {"__init__.py": NODES}))
    _plan, path = machine.open()
    ended = threading.Event()

    def kill():
        while not ended.is_set():
            children = subprocess.run(["pgrep", "-P", str(os.getpid()), "uv"], capture_output=True, text=True, check=False).stdout.split()
            if big(path.name) and children:
                os.kill(int(children[0]), signal.SIGKILL)
                return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(PythonEnvError):
            machine.fill(pack)
    finally:
        ended.set()
        killer.join()
    assert 0 < big(path.name) < FILES
    first = mended(machine, pack)
    assert (first.id, big(first.id)) == (path.name, FILES)
    machine.open()
    assert big(mended(machine, pack, other).id) == FILES


def test_an_environment_is_not_made_anew_where_a_build_failed(machine, origin, python, tmp_path):
    folder = tmp_path / "wheels"
    shutil.copytree(python.torch_wheels_dir, folder)
    machine.python = replace(python, torch_wheels_dir=str(folder))
    write_sdist(folder, "needy", "import nothing_of_that_name")
    _plan, path = machine.open()
    machine.try_fill(pack_of(origin("bad", {"requirements.txt": "needy\n"})))
    before = (path / "venv").stat().st_ino
    mended(machine, pack_of(origin("good", {"requirements.txt": "shared_part\n"})))
    assert (path / "venv").stat().st_ino == before


def test_a_pack_of_the_registry_that_a_script_took_the_mark_from_is_still_ours(machine, origin, registry):
    script = "import pathlib\nfor name in ('.emprops-archive', '.tracking'):\n    pathlib.Path(name).unlink()\n"
    registry.publish("my-pack", "1.0.0", {"__init__.py": NODES, "install.py": script})
    pack = Pack("P", cnr_id="my-pack")
    machine.open()
    _plan, report = machine.try_fill(pack, pack_of(origin("bad", {"install.py": "raise SystemExit(1)\n"})))
    assert states(report) == {"P": "installed", "bad": "failed"}
    assert [one.name for one in mended(machine, pack).packs] == ["P"]
    other = pack_of(origin("other", {"__init__.py": NODES}))
    machine.open()
    assert "P" not in [path.name for path in machine.nodes(mended(machine, other).id).iterdir()]


def test_files_that_a_pack_keeps_are_copied_whole_or_not_at_all(machine, origin):
    lasting = machine.workspace.root / "persist"
    lasting.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(lasting)], check=False).returncode:
        pytest.skip("only root can make a small disk")
    try:
        repository = origin("p", {"__init__.py": NODES, "presets/a": "1"})
        (repository.path / "presets/b").write_bytes(os.urandom(3_000_000))
        repository.commit({})
        pack = pack_of(repository, persist=("presets/",))
        machine.open()
        _plan, report = machine.try_fill(pack)
        assert states(report) == {"p": "failed"} and "No space left on device" in report.problems[0]
        subprocess.run(["mount", "-o", "remount,size=50m", str(lasting)], check=True)
        release = mended(machine, pack)
        assert (machine.nodes(release.id) / "p/presets/b").stat().st_size == 3_000_000
        assert [path.name for path in (lasting / "p").iterdir()] == ["presets"]
    finally:
        subprocess.run(["umount", "--lazy", str(lasting)], check=True)


@pytest.mark.parametrize("how", ["pin", "update"])
def test_a_commit_that_failed_does_not_take_the_place_of_the_one_that_serves(machine, origin, how):
    repository = origin("p", {"__init__.py": NODES, "requirements.txt": "shared_part\n"})
    good = head(repository)
    serving, _changed = machine.deploy(pack_of(repository))
    bad = repository.commit({"requirements.txt": "no_such_package\n"})
    if how == "pin":
        _plan, report = machine.try_fill(pack_of(repository, commit=bad))
    else:
        _plan, report = machine.try_fill(pack_of(repository), update=["p"])
    assert states(report) == {"p": "failed"}
    plan, report = machine.try_fill(pack_of(repository))
    assert (states(report), plan.packs[0].commit, plan.sealed) == ({"p": "installed"}, good, serving)
    # Upstream takes it back by a forced push, which is nothing to us, who never served it.
    repository.git("reset", "--hard", "--quiet", good)
    mend = repository.commit({"more": ""})
    machine.open()
    assert machine.plan_fill(pack_of(repository), update=["p"]).packs[0].commit == mend


def test_a_comfyui_that_failed_does_not_take_the_place_of_the_one_that_serves(machine, origin, fork):
    pack = pack_of(origin("p", {"__init__.py": NODES, "requirements.txt": "shared_part<2\n"}))
    (serving, _changed), before = machine.deploy(pack), head(fork)
    moved = fork.commit({"requirements.txt": "torch<9\nshared_part>=2\n"})
    machine.open(update=True)
    _plan, report = machine.try_fill(pack)
    assert states(report) == {"p": "failed"}
    plan, _path = machine.open()
    assert plan.fork.commit == before
    assert machine.plan_fill(pack).sealed == serving
    assert machine.plan_open(update=True).fork.commit == moved


def test_a_branch_that_is_only_named_now_is_kept_where_it_is(machine, origin, monkeypatch):
    repository = origin("p", {"__init__.py": NODES})
    machine.deploy(pack_of(repository))
    named = pack_of(repository, branch="main")
    plan, report = machine.try_fill(named)
    assert (plan.changed, report.row("p").changed) == (False, False)
    _fill.keep_settled(machine.workspace, plan)
    repository.commit({"more": ""})
    monkeypatch.setattr(_fill, "_first_commit", None)  # nobody is asked
    assert not machine.plan_fill(named).changed


def test_a_version_of_the_registry_that_is_pinned_or_set_free_asks_nobody(machine, registry):
    registry.publish("my-pack", "1.0.0", {"__init__.py": NODES})
    machine.open()
    mended(machine, Pack("P", cnr_id="my-pack"))
    asked = len(registry.requests)
    pinned = machine.plan_fill(Pack("P", cnr_id="my-pack", version="1.0.0"))
    _fill.keep_settled(machine.workspace, pinned)
    registry.publish("my-pack", "1.1.0", {"__init__.py": NODES})
    free = machine.plan_fill(Pack("P", cnr_id="my-pack"))
    assert (pinned.changed, free.changed, len(registry.requests)) == (False, False, asked)
    assert machine.plan_fill(Pack("P", cnr_id="my-pack"), update=["P"]).packs[0].version == "1.1.0"


def test_a_release_with_a_package_that_became_known_as_bad_is_not_wanted_any_more(machine, origin, monkeypatch):
    pack, other = pack_of(origin("p", {"requirements.txt": "shared_part\n"})), pack_of(origin("other", {"__init__.py": NODES}))
    bad, _changed = machine.deploy(pack)
    monkeypatch.setattr(_fill, "refused_packages", lambda: ["shared-part!=2.0"])
    told = "shared-part 2.0 is refused"
    monkeypatch.setattr(_fill, "bad_packages", lambda pins: [told] if pins.get("shared-part") == "2.0" else [])
    plan = machine.plan_fill(pack)
    assert (plan.sealed, plan.warnings) == (None, (told,))
    machine.open()
    good = mended(machine, pack)
    assert good.id != bad and "shared-part==1.0" in (machine.workspace.releases / good.id / "requirements.lock").read_text()
    machine.deploy(other)
    assert machine.plan_fill(pack).sealed == good.id


def test_what_a_script_made_for_one_python_is_not_taken_for_another(machine, origin):
    script = "import os, pathlib\npathlib.Path('made').write_text(os.urandom(8).hex())\n"
    pack = pack_of(origin("p", {"__init__.py": NODES, "install.py": script}))
    machine.open()
    first = mended(machine, pack)
    machine.open(python={"interpreter": str(Path(sys.executable).resolve())})
    second = mended(machine, pack)
    assert first.id != second.id
    made = [(machine.nodes(release.id) / "p/made").read_text() for release in (first, second)]
    assert made[0] != made[1]


def test_a_damaged_mirror_of_a_submodule_is_fetched_again(machine, origin):
    part, nested = origin("part", {"p": "x" * 100}), origin("nested", {"__init__.py": NODES})
    nested.git("submodule", "--quiet", "add", part.url, "part")
    nested.commit({})
    pack, other = pack_of(nested, recursive=True), pack_of(origin("other", {"__init__.py": NODES}))
    machine.deploy(pack)
    (mirror,) = (machine.workspace.cache / "git").glob("part-*.git")
    for path in [*mirror.glob("objects/pack/*.pack"), *mirror.glob("objects/[0-9a-f][0-9a-f]/*")]:
        path.unlink()
        path.write_bytes(b"damaged")
    release, _changed = machine.deploy(pack, other)
    assert (machine.nodes(release) / "nested/part/p").read_text() == "x" * 100


def test_going_back_keeps_the_commits_of_packs_that_are_left_out(machine, origin, tmp_path):
    first = origin("one", {"__init__.py": NODES, "requirements.txt": "shared_part<2\n"})
    second = origin("two", {"__init__.py": NODES, "requirements.txt": "shared_part>=2\n"})
    off = origin("off", {"__init__.py": NODES})
    wanted = [pack_of(first), pack_of(second), pack_of(off, enabled=False)]
    policy = {"policy": Policy("skip_pack")}
    machine.open()
    mended(machine, *wanted[:2], pack_of(off), **policy)
    release = mended(machine, *wanted, **policy)
    commits = {repository.path.name: head(repository) for repository in (first, second, off)}
    second.commit({"more": ""})
    off.commit({"more": ""})
    Activation(machine.workspace, tmp_path / "settings")._want_again(release.id)
    assert not machine.plan_fill(*wanted, **policy).changed
    assert {pack.name: pack.commit for pack in machine.workspace.settled()[1]} == commits
