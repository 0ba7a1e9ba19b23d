# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import pwd
import select

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _command
from ansible_collections.emprops.comfyui.plugins.module_utils._command import (
    Account,
    CommandError,
    machine_environment,
    package_index_environment,
    run,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture(autouse=True)
def fixture_own_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "SSL_CERT")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def sh(script, **options):
    return run(["sh", "-c", script], **options)


def test_standard_output_alone_is_returned(tmp_path):
    assert sh("echo out; echo err >&2; pwd", cwd=tmp_path) == f"out\n{tmp_path}\n"


def test_output_that_is_no_text_is_no_error():
    assert sh(r"printf 'a\377b'") == "a\ufffdb"


def test_of_a_talkative_program_the_end_is_kept(monkeypatch):
    monkeypatch.setattr(_command, "OUTPUT_LIMIT", 5)
    assert sh("echo 0123456789") == "6789\n"


def test_the_environment_is_the_machines_and_not_the_callers(monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "x")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    seen = dict(line.split("=", 1) for line in run(["env"], env={"OWN": "1"}).splitlines())
    assert "SECRET_OF_THE_CALLER" not in seen
    assert (seen["OWN"], seen["LC_ALL"], seen["https_proxy"]) == ("1", "C.UTF-8", "http://proxy.example:3128")
    assert seen["PATH"].split(":")[0] == "/usr/local/sbin"


def test_nothing_waits_for_an_answer_from_the_keyboard():
    assert sh("cat") == ""


def test_files_are_readable_by_others_whatever_the_umask_of_the_caller(tmp_path):
    before = os.umask(0o077)
    try:
        sh("touch file", cwd=tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_failure_tells_the_program_its_status_and_its_last_words_and_no_environment():
    with pytest.raises(CommandError) as caught:
        sh("echo said on stdout; echo first >&2; echo last >&2; exit 3", env={"TOKEN": "s3cret-value"})
    assert str(caught.value).startswith("sh -c ")
    assert "failed (exit 3): first\nlast" in str(caught.value)
    assert "s3cret-value" not in str(caught.value) + caught.value.output
    assert "said on stdout" in caught.value.output


@pytest.mark.parametrize(
    "script, message",
    [
        pytest.param("exit 1", "(exit 1): no output", id="silent"),
        pytest.param("echo on stdout; exit 1", "(exit 1): on stdout", id="only standard output"),
        pytest.param("kill -9 $$", "(signal 9): no output", id="killed"),
    ],
)
def test_a_failure_says_what_there_is_to_say(script, message):
    with pytest.raises(CommandError) as caught:
        sh(script)
    assert str(caught.value).endswith(message)


def test_a_long_command_is_shown_by_its_start():
    with pytest.raises(CommandError, match=r"^false 1 2 3 … failed"):
        run(["false", "1", "2", "3", "4", "5"])


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(CommandError, match="cannot run /nonexistent/program: No such file or directory"):
        run(["/nonexistent/program"])


def test_out_of_time_the_children_end_as_well(tmp_path):
    with pytest.raises(CommandError, match=r"did not end within 0\.5 s"):
        sh("sleep 600 & echo $! > child; wait", cwd=tmp_path, timeout=0.5)
    child = int((tmp_path / "child").read_text())
    try:
        handle = os.pidfd_open(child)
    except ProcessLookupError:
        return
    with os.fdopen(handle):  # readable from the moment it has ended
        assert select.select([handle], [], [], 60)[0]


def test_no_name_means_the_account_of_this_process():
    assert Account.named(None) == Account.named("") == Account.named(pwd.getpwuid(os.geteuid()).pw_name)


def test_an_account_that_is_not_there_is_named():
    with pytest.raises(CommandError, match="there is no account 'nobody-of-that-name' on this machine"):
        Account.named("nobody-of-that-name")


def test_a_process_without_an_account_is_told_so(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242421)
    with pytest.raises(CommandError, match="there is no account 4242421"):
        Account.named(None)


@as_root
def test_root_becomes_the_account_entirely():
    nobody = Account.named("nobody")
    uid, gid, groups, home, user = sh('id -u; id -g; id -G; echo "$HOME"; echo "$USER"', account=nobody).splitlines()
    assert (int(uid), int(gid), groups) == (nobody.uid, nobody.gid, str(nobody.gid))
    assert (home, user) == (nobody.home, "nobody")


def test_the_proxies_of_the_machine_are_read_where_a_login_finds_them(tmp_path):
    (tmp_path / "environment").write_text(
        "# http_proxy=http://comment.example\n"
        'export https_proxy="http://proxy.example:3128"\n'
        "NO_PROXY='localhost,127.0.0.1'\n"
        "LD_PRELOAD=/evil.so\n"
        "PATH=/evil\n"
        "without a value\n"
    )
    environment = machine_environment(tmp_path)
    assert environment["https_proxy"] == "http://proxy.example:3128"
    assert environment["NO_PROXY"] == "localhost,127.0.0.1"
    assert not {"http_proxy", "LD_PRELOAD"} & set(environment)
    assert "/evil" not in environment["PATH"]


def test_the_environment_of_the_run_wins_over_the_machines_file(tmp_path, monkeypatch):
    (tmp_path / "environment").write_text("https_proxy=http://file.example\n")
    monkeypatch.setenv("https_proxy", "http://run.example")
    monkeypatch.setenv("SSL_CERT_FILE", "/ca.pem")
    environment = machine_environment(tmp_path)
    assert (environment["https_proxy"], environment["SSL_CERT_FILE"]) == ("http://run.example", "/ca.pem")


def test_without_any_file_there_is_still_a_path(tmp_path):
    assert set(machine_environment(tmp_path)) == {"PATH", "LANG", "LC_ALL"}


PIP_CONF = """[global]
index-url = https://index.example/simple
extra-index-url =
    https://one.example/simple
    https://two.example/simple
find-links = /wheels /more%20wheels
cert = /ca.pem
"""


def test_uv_is_told_the_index_that_pip_is_configured_for(tmp_path):
    (tmp_path / "pip.conf").write_text(PIP_CONF)
    assert package_index_environment(tmp_path) == {
        "UV_DEFAULT_INDEX": "https://index.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "/wheels,/more%20wheels",
        "SSL_CERT_FILE": "/ca.pem",
    }


def test_pips_environment_wins_over_its_file(tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text(PIP_CONF)
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.example/simple")
    assert package_index_environment(tmp_path)["UV_DEFAULT_INDEX"] == "https://other.example/simple"


def test_uvs_own_configuration_wins_over_pips(tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text(PIP_CONF)
    monkeypatch.setenv("UV_INDEX_URL", "https://uv.example/simple")
    assert package_index_environment(tmp_path) == {"UV_INDEX_URL": "https://uv.example/simple"}
    monkeypatch.delenv("UV_INDEX_URL")
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv/uv.toml").write_text("")
    assert package_index_environment(tmp_path) == {}


@pytest.mark.parametrize(
    "text", [None, "", "no section\n", "[install]\nindex-url = https://x.example\n"], ids=["absent", "empty", "broken", "other section"]
)
def test_where_pip_is_not_configured_there_is_nothing_to_tell(tmp_path, text):
    if text is not None:
        (tmp_path / "pip.conf").write_text(text)
    assert package_index_environment(tmp_path) == {}


def test_a_program_starts_in_the_root_folder_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["pwd"]).strip() == "/"
    assert run(["pwd"], cwd=tmp_path).strip() == str(tmp_path)
