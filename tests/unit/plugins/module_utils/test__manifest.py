# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import string
import subprocess

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import (
    ManifestError,
    Pack,
    add_needed,
    merge_packs,
    parse_manifest,
    parse_packs,
    read_manifest,
    render_env,
    resolve_env,
)
from hypothesis import given
from hypothesis import strategies as st

PROTOCOLS = ("https", "ssh")
URL = "https://github.com/somebody/a_pack"
COMMIT = "14cfba14" * 5
NAME_CHARACTERS = string.ascii_letters + string.digits + "._+- "


def entry(**values):
    return {"name": "a_pack", "url": URL, **values}


def packs_of(*entries):
    packs, warnings = parse_packs(entries, "nodes.json", PROTOCOLS)
    assert warnings == []
    return packs


def problems_of(*entries):
    with pytest.raises(ManifestError) as caught:
        parse_packs(entries, "nodes.json", PROTOCOLS)
    return str(caught.value)


# --- what is understood ---


@pytest.mark.parametrize(
    "given, wanted",
    [
        pytest.param(entry(), Pack("a_pack", URL), id="only a name and a url"),
        pytest.param(entry(url=f"git clone {URL}"), Pack("a_pack", URL), id="git clone in front of the url"),
        pytest.param(entry(url=f"  git  clone\t{URL}/ "), Pack("a_pack", URL), id="spaces and a slash around the url"),
        pytest.param(entry(url=f"{URL}.git"), Pack("a_pack", f"{URL}.git"), id=".git at the end"),
        pytest.param(entry(url="git@github.com:somebody/a_pack.git"), Pack("a_pack", "git@github.com:somebody/a_pack.git"), id="scp form"),
        pytest.param({"name": "a_pack", "gitUrl": URL}, Pack("a_pack", URL), id="gitUrl"),
        pytest.param({"name": "a_pack", "repositoryUrl": URL}, Pack("a_pack", URL), id="repositoryUrl"),
        pytest.param(entry(name="Another-Name"), Pack("Another-Name", URL), id="name is not the repository's"),
        pytest.param(entry(name="x Copy"), Pack("x Copy", URL), id="space inside the name"),
        pytest.param(entry(branch="add-video-dependencies"), Pack("a_pack", URL, branch="add-video-dependencies"), id="branch"),
        pytest.param(entry(commit=COMMIT), Pack("a_pack", URL, commit=COMMIT), id="commit"),
        pytest.param(entry(recursive=True), Pack("a_pack", URL, recursive=True), id="recursive"),
        pytest.param(entry(requirements=False), Pack("a_pack", URL, requirements=False), id="no requirements"),
        pytest.param(entry(env={"HF_TOKEN": "${HF_TOKEN}"}), Pack("a_pack", URL, env={"HF_TOKEN": "${HF_TOKEN}"}), id="env"),
        pytest.param(entry(install_order=0), Pack("a_pack", URL, install_order=0), id="install order"),
        pytest.param({"name": "a_pack", "cnr_id": "a-pack"}, Pack("a_pack", cnr_id="a-pack"), id="of the registry"),
        pytest.param({"name": "a_pack", "cnr_id": "a@1.0+x"}, Pack("a_pack", cnr_id="a", version="1.0+x"), id="a version of the registry"),
        pytest.param(entry(enabled=False), Pack("a_pack", URL, enabled=False), id="disabled"),
        pytest.param(entry(skip_install_script=True), Pack("a_pack", URL, skip_install_script=True), id="no install.py"),
        pytest.param(entry(install_script_network=True), Pack("a_pack", URL, install_script_network=True), id="install.py, network"),
        pytest.param(entry(build_requirements=["torch", "x"]), Pack("a_pack", URL, build_requirements=("torch", "x")), id="to build"),
        pytest.param(entry(persist=["a.csv", "b/c/"]), Pack("a_pack", URL, persist=("a.csv", "b/c/")), id="what outlives a release"),
        pytest.param(entry(branch=None, commit=None, env=None, install_order=None, recursive=None), Pack("a_pack", URL), id="nulls"),
    ],
)
def test_every_oddity_of_the_owners_is_understood(given, wanted):
    assert packs_of(given) == [wanted]


def test_the_text_may_be_the_owners_object_or_a_bare_list():
    for data in ({"custom_nodes": [entry()]}, [entry()]):
        assert parse_manifest(json.dumps(data), "nodes.json", PROTOCOLS) == ([Pack("a_pack", URL)], [])


def test_unknown_keys_are_warned_of_where_they_stand():
    text = json.dumps({"custom_nodes": [entry(custom_script="rm -rf /")], "// Updated": ""})
    packs, warnings = parse_manifest(text, "nodes.json", PROTOCOLS)
    assert packs == [Pack("a_pack", URL)]
    assert warnings == [
        "nodes.json: unknown key '// Updated' beside 'custom_nodes' is ignored",
        "nodes.json: entry 1 ('a_pack'): unknown key 'custom_script' is ignored",
    ]


def test_numbered_packs_come_first_ascending_and_the_others_as_they_stand():
    names = [("z", None), ("late", 10), ("a", None), ("early", -1), ("b", 2), ("a2", 2)]
    packs = packs_of(*(entry(name=name, install_order=order) for name, order in names))
    assert [pack.name for pack in packs] == ["early", "a2", "b", "late", "z", "a"]


def test_a_file_may_begin_with_a_byte_order_mark_and_have_spaces_after_its_lines(tmp_path):
    path = tmp_path / "nodes.json"
    path.write_bytes(
        b'\xef\xbb\xbf{"custom_nodes": [{"name": "a_pack",   \r\n "url": "%s"},{"name":"b","url":"%s"}]}' % ((URL.encode(),) * 2)
    )
    packs, warnings = read_manifest(str(path), PROTOCOLS)
    assert [pack.name for pack in packs] == ["a_pack", "b"] and warnings == []


def test_no_file_is_no_packs():
    assert read_manifest(None, PROTOCOLS) == read_manifest("", PROTOCOLS) == ([], [])


# --- what is refused ---


@pytest.mark.parametrize(
    "text, message",
    [
        pytest.param("", "nodes.json is not JSON: Expecting value: line 1", id="empty"),
        pytest.param("{'custom_nodes': []}", "nodes.json is not JSON: Expecting property name", id="Python"),
        pytest.param('{"custom_nodes": [],}', "nodes.json is not JSON: ", id="comma at the end"),
        pytest.param("<html>404</html>", "nodes.json is not JSON: Expecting value", id="HTML"),
        pytest.param("[" * 100_000, "nodes.json is not JSON: ", id="deeper than the parser goes"),
        pytest.param("{}", "nodes.json has no list 'custom_nodes'", id="no list"),
        pytest.param('{"custom_nodes": {"name": "x"}}', "nodes.json has no list 'custom_nodes'", id="an object instead of the list"),
        pytest.param('"text"', "nodes.json holds neither a list nor an object with 'custom_nodes'", id="a string"),
    ],
)
def test_a_text_that_is_no_manifest_is_refused_with_the_files_name(text, message):
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text, "nodes.json", PROTOCOLS)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.write_bytes(b"\xff\xfe"), lambda path: path.mkdir()], ids=["absent", "no text", "folder"]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, make):
    path = tmp_path / "nodes.json"
    make(path)
    with pytest.raises(ManifestError, match=f"the manifest {path} cannot be read: "):
        read_manifest(str(path), PROTOCOLS)


HOSTILE_NAMES = [
    "../x", "x/../../y", "/etc/cron.d/x", "a/b", "a\\b", "", ".", "..", " ", ".git", ".hidden", "-rf", "name ", " name", "name.",
    "a\nb", "a\x00b", "~root", "$(touch x)", "`x`", "a;b", "n" * 201, "ünïcode", None, 7, ["x"],
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=repr)
def test_a_name_that_is_no_plain_folder_name_is_refused(name):
    said = problems_of(entry(name=name))
    assert said.startswith(f"nodes.json: entry 1 ({name!r}): the name {name!r} cannot be a folder below custom_nodes")


@given(name=st.text(NAME_CHARACTERS, min_size=1, max_size=30) | st.text(max_size=10))
def test_a_name_that_is_accepted_is_one_visible_folder(tmp_path_factory, name):
    try:
        (pack,) = packs_of(entry(name=name))
    except ManifestError:
        return
    base = tmp_path_factory.getbasetemp()
    assert (base / pack.name).resolve().parent == base.resolve()
    assert pack.name == name == name.strip() and name[0] not in ".-"


@pytest.mark.parametrize(
    "values, reason",
    [
        pytest.param({"url": None}, "it has no url", id="no url"),
        pytest.param({"url": 5}, "it has no url", id="url is a number"),
        pytest.param({"url": ""}, "'' is no repository address", id="empty url"),
        pytest.param(
            {"url": "/srv/repository"},
            "'/srv/repository' is no repository address that is allowed here (allowed: https, ssh)",
            id="local path",
        ),
        pytest.param({"url": "file:///srv/x"}, "'file:///srv/x' is no repository address that is allowed here", id="file"),
        pytest.param({"url": "ext::sh -c x"}, "'ext::sh -c x' is no repository address", id="command as transport"),
        pytest.param({"url": "--upload-pack=x"}, "'--upload-pack=x' is no repository address", id="option"),
        pytest.param({"url": f"git clone --recursive {URL}"}, " is no repository address", id="options after git clone"),
        pytest.param({"branch": "--force"}, "'--force' is no branch, tag or commit", id="option as branch"),
        pytest.param({"branch": ""}, "'' is no branch", id="empty branch"),
        pytest.param({"branch": 5}, "'' is no branch", id="number as branch"),
        pytest.param({"commit": "14cfba14"}, "the commit '14cfba14' is not the full 40 hexadecimal digits", id="short commit"),
        pytest.param({"commit": 14}, "the commit 14 is not the full 40", id="number as commit"),
        pytest.param({"commit": "x" * 40}, "is not the full 40 hexadecimal digits", id="40 other characters"),
        pytest.param({"recursive": "yes"}, "recursive must be true or false, got 'yes'", id="recursive in words"),
        pytest.param({"requirements": 1}, "requirements must be true or false, got 1", id="requirements as number"),
        pytest.param({"install_order": "first"}, "install_order must be a number, got 'first'", id="order in words"),
        pytest.param({"install_order": True}, "install_order must be a number, got True", id="order true"),
        pytest.param({"env": ["A=1"]}, "env must be an object of names and values", id="env as list"),
        pytest.param({"env": {"A B": "1"}}, "env: 'A B' is no variable name", id="variable with a space"),
        pytest.param({"env": {"A=1\nPATH": "x"}}, "is no variable name", id="variable with a line break"),
        pytest.param({"env": {"A": 1}}, "env: the value of A must be a string", id="number as value"),
    ],
)
def test_a_wrong_value_is_refused_with_file_entry_and_reason(values, reason):
    said = problems_of(entry(**values))
    assert said.startswith("nodes.json: entry 1 ('a_pack'): ") and reason in said


@pytest.mark.parametrize(
    "variable",
    ["PATH", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
     "COMFYUI_ARGS", "EMPROPS_CONFIG_DIGEST", "GIT_SSH_COMMAND", "BASH_ENV"],
)  # fmt: skip
def test_a_variable_that_decides_how_an_instance_runs_is_refused(variable):
    assert f"env: {variable} decides how an instance runs" in problems_of(entry(env={variable: "x"}))


@pytest.mark.parametrize(
    "variable",
    ["HF_TOKEN", "CIVITAI_TOKEN", "EMPROPS_DEBUG_LOGGING", "STATIC_MODELS", "OLLAMA_HOST", "AWS_SECRET_ACCESS_KEY_ENCODED", "MY_PATH"],
)
def test_the_owners_variables_are_accepted(variable):
    assert packs_of(entry(env={variable: "x"}))[0].env == {variable: "x"}


def test_every_entry_that_is_wrong_is_listed():
    said = problems_of(entry(name="../x"), "text", entry(name="good"), entry(name="b", url="nowhere"), {})
    assert [line.split(":")[1].strip()[:7] for line in said.splitlines()] == ["entry 1", "entry 2", "entry 4", "entry 5"]
    assert "entry 2 is no object but str" in said


@pytest.mark.parametrize("second", ["a_pack", "A_Pack"], ids=["same name", "same name on a disk that ignores case"])
def test_a_name_that_is_taken_is_refused_with_both_entries(second):
    said = problems_of(entry(), entry(name="between"), entry(name=second))
    assert said == f"nodes.json: entry 3 ({second!r}): the name is already that of entry 1"


def test_one_repository_may_be_two_packs():
    assert len(packs_of(entry(), entry(name="other", branch="dev"))) == 2


def test_an_address_with_a_password_is_refused_without_showing_it():
    said = problems_of(entry(url="https://somebody:s3cret-value@github.com/x/y"))
    assert "holds a password" in said and "s3cret-value" not in said


# --- the inventory's own packs ---


def test_the_inventorys_pack_stands_where_both_have_a_name():
    listed = packs_of(entry(), entry(name="kept"))
    packs, warnings = merge_packs(listed, [entry(name="A_Pack", branch="dev"), entry(name="first", install_order=1, odd=1)], PROTOCOLS)
    assert [(pack.name, pack.branch) for pack in packs] == [("first", None), ("kept", None), ("A_Pack", "dev")]
    assert warnings == ["custom_nodes_packs: entry 2 ('first'): unknown key 'odd' is ignored"]


def test_a_wrong_pack_of_the_inventory_is_told_by_the_inventorys_name():
    with pytest.raises(ManifestError, match=r"custom_nodes_packs: entry 1 \('x'\): it has no url"):
        merge_packs([], [{"name": "x"}], PROTOCOLS)


# --- environment ---


def test_what_workflows_need_is_added_and_what_is_listed_stands():
    listed, _warnings = parse_packs([entry(), entry(name="fork", url="https://github.com/operator/fork")], "m", PROTOCOLS)
    needed = [
        entry(name="A_PACK", url="https://github.com/stranger/a_pack"),
        entry(name="other-name", url=f"{URL}.git"),
        entry(name="fresh", url="https://github.com/somebody/fresh", branch="stable"),
    ]
    packs = add_needed(listed, needed, PROTOCOLS)
    assert [(pack.name, pack.url, pack.branch) for pack in packs] == [
        ("a_pack", URL, None),
        ("fork", "https://github.com/operator/fork", None),
        ("fresh", "https://github.com/somebody/fresh", "stable"),
    ]


def test_what_workflows_need_is_checked_like_a_manifest():
    with pytest.raises(ManifestError, match="the workflows: entry 1"):
        add_needed([], [entry(url="file:///etc")], PROTOCOLS)


def with_env(name="a_pack", **env):
    return Pack(name, URL, env=env)


@pytest.mark.parametrize(
    "template, secrets, value, unset",
    [
        pytest.param("plain", {}, "plain", [], id="plain"),
        pytest.param("${TOKEN}", {"TOKEN": "abc"}, "abc", [], id="reference"),
        pytest.param("a${X}b${Y}c", {"X": "1", "Y": "2"}, "a1b2c", [], id="references inside"),
        pytest.param("${TOKEN}", {}, "", ["TOKEN"], id="unset is empty, never the literal"),
        pytest.param("x-${TOKEN}", {"TOKEN": ""}, "x-", ["TOKEN"], id="empty counts as unset"),
        pytest.param("${A}", {"A": "${B}", "B": "no"}, "${B}", [], id="replaced once"),
        pytest.param("$TOKEN", {"TOKEN": "abc"}, "$TOKEN", [], id="without braces it is text"),
        pytest.param("$(id) `id` ${X:-y}", {}, "$(id) `id` ${X:-y}", [], id="a shell's words are text"),
    ],
)
def test_references_are_replaced_and_nothing_is_evaluated(template, secrets, value, unset):
    assert resolve_env([with_env(KEY=template)], secrets) == ({"KEY": value}, unset)


def test_the_process_environment_is_no_source_of_values(monkeypatch):
    monkeypatch.setenv("TOKEN", "from the process")
    assert resolve_env([with_env(KEY="${TOKEN}")], {}) == ({"KEY": ""}, ["TOKEN"])


def test_two_packs_may_want_the_same_value():
    packs = [with_env("one", HF_TOKEN="${HF_TOKEN}"), with_env("two", HF_TOKEN="${HF_TOKEN}", OTHER="x")]
    assert resolve_env(packs, {"HF_TOKEN": "t"})[0] == {"HF_TOKEN": "t", "OTHER": "x"}


def test_two_packs_that_want_different_values_are_named_and_the_values_are_not():
    packs = [with_env("one", KEY="${A}"), with_env("two", OTHER="x"), with_env("three", KEY="s3cret-b")]
    with pytest.raises(ManifestError) as caught:
        resolve_env(packs, {"A": "s3cret-a"})
    assert str(caught.value) == "one and three want different values of KEY, and an instance can hold only one"


@pytest.mark.parametrize("value", ["a\nPATH=/evil", "a\rb", "a\x00b", "\x1b[2J", "\x7f"], ids=repr)
def test_a_value_that_would_end_its_line_is_refused_without_showing_it(value):
    with pytest.raises(ManifestError) as caught:
        resolve_env([with_env(KEY="${A}")], {"A": value})
    assert str(caught.value) == "the value of KEY for a_pack holds a control character or a line break"


def test_the_file_is_sorted_and_holds_what_a_reader_of_quotes_gets_back(tmp_path):
    environment = {"B": "$(touch evil)`touch evil`$HOME", "A": 'q"uote\\', "EMPTY": ""}
    text = render_env(environment)
    assert text == ('# Written by emprops.comfyui.custom_nodes.\nA="q\\"uote\\\\"\nB="\\$(touch evil)\\`touch evil\\`\\$HOME"\nEMPTY=""\n')
    (tmp_path / "file").write_text(text)
    # A shell reads double quotes as systemd does; unlike systemd it would also evaluate what is not escaped.
    said = subprocess.run(
        ["sh", "-c", '. ./file; printf "%s|" "$A" "$B" "$EMPTY"'], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout == f"{environment['A']}|{environment['B']}||"
    assert not (tmp_path / "evil").exists()


def test_no_variables_are_a_file_with_its_first_line():
    assert render_env({}) == "# Written by emprops.comfyui.custom_nodes.\n"


@pytest.mark.parametrize(
    "given, problem",
    [
        pytest.param(entry(persist=["/etc/passwd"]), "'/etc/passwd' is no file or folder below the pack's own", id="absolute"),
        pytest.param(entry(persist=["../x"]), "'../x' is no file or folder", id="above"),
        pytest.param(entry(persist=["a/../../x"]), "is no file or folder", id="above in the middle"),
        pytest.param(entry(persist=[".git/config"]), "is no file or folder", id="git's"),
        pytest.param(entry(persist=["/"]), "is no file or folder", id="all"),
        pytest.param(entry(persist=["d/", "d/x.json"]), "'d/x.json' is in another one of them, or holds it", id="one in another"),
        pytest.param(entry(persist=["d/x", "d"]), "'d' is in another one of them, or holds it", id="one around another"),
        pytest.param(entry(persist=[""]), "persist must be a list of names", id="empty"),
        pytest.param(entry(persist="a"), "persist must be a list of names", id="no list"),
        pytest.param(entry(build_requirements=[1]), "build_requirements must be a list of names", id="numbers"),
        pytest.param(entry(enabled="yes"), "enabled must be true or false", id="no switch"),
        pytest.param(entry(cnr_id="a"), "it has a cnr_id, so url mean nothing", id="both"),
        pytest.param({"name": "a", "cnr_id": "a", "commit": COMMIT}, "it has a cnr_id, so commit mean nothing", id="a commit too"),
        pytest.param({"name": "a", "cnr_id": "../a@1"}, "is not an id or id@version of the Comfy registry", id="hostile id"),
        pytest.param({"name": "a", "cnr_id": "a@../1"}, "is not an id or id@version", id="hostile version"),
        pytest.param({"name": "a", "cnr_id": 5}, "is not an id or id@version", id="a number for an id"),
    ],
)
def test_what_an_entry_must_not_say_beside_its_address(given, problem):
    assert problem in problems_of(given)


def test_the_environment_of_a_disabled_pack_is_nobodys():
    one, two = packs_of(entry(env={"A": "1"}, enabled=False), {**entry(name="b", url=f"{URL}2"), "env": {"A": "2"}})
    assert resolve_env([one, two], {}) == ({"A": "2"}, [])


def test_a_pack_of_the_registry_that_is_listed_is_not_needed_once_more():
    listed = packs_of({"name": "mine", "cnr_id": "A-Pack"})
    assert add_needed(listed, [{"name": "other", "cnr_id": "a-pack@1.0"}], PROTOCOLS) == listed
    assert len(add_needed(listed, [entry()], PROTOCOLS)) == 2
