# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What becomes a row and what a question, and that the text is YAML which says just that."""

from __future__ import annotations

import re
import textwrap

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.filter.render_catalogue import FilterModule
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import parse_catalogue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.fixtures.workflow_results import candidate, model, pack, result, unresolved

RENDER = FilterModule().filters()["render_catalogue"]
LOW = {"confidence": "low", "how": ["stars"]}


def rows_of(text):
    return yaml.safe_load(text)["comfyui_catalogue"]


def catalogue_of(**sections):
    return yaml.safe_dump({"comfyui_catalogue": sections}, sort_keys=False)


def comments_above(text, name):
    """The comments directly above the row of this name."""
    above = textwrap.dedent(text[: text.index(f"- name: {name}\n")]).splitlines()
    number = len(above)
    while number and above[number - 1].lstrip().startswith("# "):
        number -= 1
    return [line.strip().removeprefix("# ") for line in above[number:]]


def answered(text, question, number=0):
    """The file after a person took the "# " away from one of the rows below a question."""
    lines = text.splitlines(keepends=True)
    start = next(index for index, line in enumerate(lines) if f"DECIDE: {question}" in line)
    starts = [index for index, line in enumerate(lines) if index > start and line.startswith("    # - ")]
    first = starts[number]
    end = first + 1
    while end < len(lines) and lines[end].startswith("    #   "):
        end += 1
    lines[first:end] = [line.replace("# ", "", 1) for line in lines[first:end]]
    return "".join(lines)


# --- strong evidence ---


def test_what_workflows_declare_becomes_rows_that_can_be_used():
    text = RENDER(result(packs=[pack(classes=["B", "A"])], models=[model(sha256="ab" * 32, size=7)]))
    assert rows_of(text) == {
        "custom_nodes": [{"name": "a_pack", "url": "https://github.com/somebody/a_pack", "classes": ["A", "B"]}],
        "models": [
            {
                "name": "a.safetensors",
                "directory": "loras",
                "url": "https://huggingface.co/some/repo/resolve/main/a.safetensors",
                "sha256": "ab" * 32,
                "size": 7,
            }
        ],
        "accepted": [],
    }
    assert parse_catalogue(rows_of(text)).warnings == ()
    assert "DECIDE: " not in text.partition("comfyui_catalogue:")[2]


def test_a_comment_says_where_it_was_seen_and_how_it_is_known():
    seen_in = [f"/far/away/{letter}.json" for letter in "dbcae"]
    text = RENDER(result(packs=[pack(seen_in=seen_in, how=["cnr_id", "sibling"])], models=[model("x.ckpt", pickle=True, warnings=["odd"])]))
    assert comments_above(text, "a_pack") == ["in a.json, b.json, c.json and 2 more; known by: cnr_id, sibling; confidence high"]
    assert comments_above(text, "x.ckpt") == [
        "in a.json; address from the workflow's list of models; confidence high",
        "a pickle, which can run code when it is loaded",
        "odd",
    ]
    assert "/far/away" not in text


def test_rows_are_sorted_without_regard_to_case():
    found = result(
        packs=[pack(name) for name in ("b", "C", "a")],
        models=[model("z.pt", "loras"), model("a.pt", "vae"), model("B.pt", "loras"), model("a.pt", "clip")],
    )
    rows = rows_of(RENDER(found))
    assert [row["name"] for row in rows["custom_nodes"]] == ["a", "b", "C"]
    assert [f"{row['directory']}/{row['name']}" for row in rows["models"]] == ["loras/B.pt", "loras/z.pt", "clip/a.pt", "vae/a.pt"]


# --- questions ---

QUESTIONS = [
    pytest.param(
        {"packs": [pack(classes=["X"], candidates=[candidate("a_pack"), candidate("b", "else", 3)], **LOW)]},
        "which pack has the class X?",
        ("custom_nodes", {"name": "a_pack", "url": "https://github.com/somebody/a_pack", "classes": ["X"]}),
        id="a pack that is not sure",
    ),
    pytest.param(
        {"packs": [pack(classes=["X"], repository=None)]},
        "which pack has the class X?",
        ("custom_nodes", {"name": "a_pack", "url": "", "classes": ["X"]}),
        id="a pack from nowhere",
    ),
    pytest.param(
        {"unresolved": [unresolved("X")]},
        "which pack has the class X?",
        ("custom_nodes", {"name": "", "url": "", "classes": ["X"]}),
        id="a class that nobody knows",
    ),
    pytest.param(
        {"unresolved": [unresolved(name, suggestion="someone/private_pack") for name in ("B", "A")]},
        "which pack has the class A, B?",
        ("custom_nodes", {"name": "private_pack", "url": "https://github.com/someone/private_pack", "classes": ["A", "B"]}),
        id="classes of a pack that only workflows name",
    ),
    pytest.param(
        {
            "models": [model(url=None, source="none")],
            "unresolved": [unresolved("loras/a.safetensors", "model", reason="no source is known")],
        },
        "where does loras/a.safetensors come from? no source is known",
        ("models", {"name": "a.safetensors", "directory": "loras", "url": ""}),
        id="a model from nowhere",
    ),
    pytest.param(
        {"models": [model(source="note", confidence="low")]},
        "are the folder and the address of loras/a.safetensors right?",
        ("models", {"name": "a.safetensors", "directory": "loras", "url": model()["url"]}),
        id="a model that is not sure",
    ),
    pytest.param(
        {"unresolved": [unresolved("a.safetensors", "model", reason="nothing says which folder its node looks in")]},
        "which folder does a.safetensors belong to? nothing says which folder its node looks in",
        ("models", {"name": "a.safetensors", "directory": "", "url": ""}),
        id="a model without a folder",
    ),
    pytest.param(
        {"builtin_too_new": [{"class": "New", "needs_version": "0.9", "reason": "newer than 0.3", "seen_in": ["/w/a.json"]}]},
        "go on without New? newer than 0.3",
        ("accepted", {"name": "New", "note": ""}),
        id="a class of a newer ComfyUI",
    ),
]


@pytest.mark.parametrize("found, question, row", QUESTIONS)
def test_a_question_has_no_effect_until_its_row_is_uncommented(found, question, row):
    text = RENDER(result(**found))
    assert f"# DECIDE: {question}\n" in text
    assert not any(rows_of(text).values())
    section, wanted = row
    decided = rows_of(answered(text, question))
    assert decided[section] == [wanted]
    assert not any(rows for name, rows in decided.items() if name != section)


@pytest.mark.parametrize("found, question, row", QUESTIONS)
def test_an_answer_stays_and_ends_the_question(found, question, row):
    decided = answered(RENDER(result(**found)), question)
    again = RENDER(result(**found), decided)
    assert rows_of(again)[row[0]] == [row[1]]
    assert question not in again
    assert RENDER(result(**found), again) == again


def test_a_model_without_a_folder_is_answered_by_a_row_that_has_one():
    found = result(unresolved=[unresolved("sub/a.pt", "model", reason="nothing says which folder its node looks in")])
    text = RENDER(found, catalogue_of(models=[{"name": "a.pt", "directory": "sams/sub"}]))
    assert "which folder does" not in text and "not needed" not in text
    assert "DECIDE: go on without sub/a.pt?" in text


def test_every_candidate_is_ready_to_be_chosen():
    candidates = [candidate("a_pack", stars=9), candidate("b", "else", 7), candidate("c", "else")]
    text = RENDER(result(packs=[pack(classes=["X"], candidates=candidates, **LOW)], unresolved=[unresolved("X")]))
    assert "# stars: a_pack 9, b 7\n" in text
    chosen = answered(text, "which pack", number=1)
    assert rows_of(chosen)["custom_nodes"] == [{"name": "b", "url": "https://github.com/else/b", "classes": ["X"]}]
    again = RENDER(result(packs=[pack(classes=["X"], candidates=candidates, **LOW)], unresolved=[unresolved("X")]), chosen)
    assert "DECIDE: " not in again.partition("comfyui_catalogue:")[2]
    assert "not needed" not in again


def test_a_pack_that_is_there_answers_for_more_classes_that_workflows_say_it_has():
    kept = {"name": "private_pack", "url": "https://github.com/us/private_pack", "classes": ["A"]}
    text = RENDER(result(unresolved=[unresolved("B", suggestion="someone/private_pack")]), catalogue_of(custom_nodes=[kept]))
    assert comments_above(text, "private_pack") == ["in a.json", "also used, and not among its classes: B"]
    assert "DECIDE: " not in text.partition("comfyui_catalogue:")[2]


def test_what_is_unresolved_can_be_accepted_by_name():
    found = result(unresolved=[unresolved("X"), unresolved("unet/a.gguf", "model")])
    rows = {"accepted": ["X", {"name": "diffusion_models/a.gguf", "note": "built on the host"}]}
    text = RENDER(found, catalogue_of(**rows))
    assert rows_of(text)["accepted"] == [rows["accepted"][1], "X"]
    assert "DECIDE: " not in text.partition("comfyui_catalogue:")[2]
    assert "not needed" in RENDER(result(), text)


def test_one_model_with_two_addresses_is_a_question():
    other = model(url="https://huggingface.co/else/repo/resolve/main/a.safetensors")
    text = RENDER(result(models=[model(), other]))
    assert rows_of(text)["models"] is None
    assert rows_of(answered(text, "which address", number=1))["models"][0]["url"] == other["url"]


# --- what is there ---


def test_rows_that_are_there_are_kept_to_the_letter():
    rows = {
        "custom_nodes": [{"name": "z", "url": "{{ mirror }}/z", "note": "ours", "branch": "x", "unknown": {"a": [1, None, True]}}],
        "models": [
            {"directory": "clip", "name": "b\\x.pt", "size": 3, "url": None},
            {"name": "old.pt", "directory": "vae", "note": "a\n\n b: #c"},
        ],
        "accepted": [{"name": "X", "note": ""}],
        "more": {"kept": "too"},
    }
    text = RENDER(result(packs=[pack("z")], models=[model("x.pt", "text_encoders/b")], unresolved=[unresolved("X")]), catalogue_of(**rows))
    assert rows_of(text) == rows


def test_the_operators_word_stands_and_the_workflows_word_is_beside_it():
    rows = {
        "custom_nodes": [{"name": "fork", "url": "https://github.com/us/fork", "classes": ["A"]}],
        "models": [{**model(), "url": "https://us/a"}],
    }
    rows["models"][0] = {key: rows["models"][0][key] for key in ("name", "directory", "url")}
    text = RENDER(result(packs=[pack("Fork", classes=["A", "B"])], models=[model()]), catalogue_of(**rows))
    assert rows_of(text) == {**rows, "accepted": []}
    assert comments_above(text, "fork")[1:] == ["also used, and not among its classes: B"]
    assert comments_above(text, "a.safetensors")[1:] == [f"the workflows would have it from {model()['url']}"]


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param({"name": "A_PACK", "url": "https://github.com/us/fork"}, id="its folder"),
        pytest.param({"name": "ours", "url": "git@github.com:somebody/a_pack.git"}, id="its repository"),
        pytest.param({"name": "ours", "gitUrl": "https://github.com/somebody/a_pack"}, id="its repository in another key"),
        pytest.param({"name": "ours", "url": "https://github.com/us/fork", "classes": ["a_pack node"]}, id="its classes"),
    ],
)
def test_a_pack_is_there_already_by(kept):
    text = RENDER(result(packs=[pack()]), catalogue_of(custom_nodes=[kept]))
    assert rows_of(text)["custom_nodes"] == [kept]
    assert "not needed" not in text


def test_what_no_workflow_needs_any_more_is_kept_and_marked():
    first = RENDER(result(packs=[pack()], models=[model()]))
    text = RENDER(result(), first)
    assert rows_of(text) == rows_of(first)
    assert comments_above(text, "a_pack") == comments_above(text, "a.safetensors") == ["not needed by any workflow read"]
    assert RENDER(result(packs=[pack()], models=[model()]), text) == first


def test_ansibles_own_tags_are_kept():
    row = "{name: a, url: !unsafe '{{ x }}', env: {T: !vault \"$ANSIBLE\\n12\\n\"}}"
    text = f"comfyui_catalogue: {{custom_nodes: [{row}]}}"
    written = RENDER(result(), text)
    assert "url: !unsafe '{{ x }}'" in written
    assert 'T: !vault "$ANSIBLE\\n12\\n"' in written
    assert RENDER(result(), written) == written


@pytest.mark.parametrize(
    "text, words",
    [
        pytest.param("a: [", "it is not YAML", id="no YAML"),
        pytest.param("- a", "it holds no variables", id="a list"),
        pytest.param("comfyui_catalogue: {}\nother: 1\nmore: 2", "nothing else; it holds more, other", id="other variables would be lost"),
        pytest.param("comfyui_catalogue: [a]", "comfyui_catalogue is no object", id="a list inside"),
        pytest.param("comfyui_catalogue: {models: {a: 1}}", "models is no list", id="no list"),
        pytest.param("comfyui_catalogue: {models: [{name: a}]}", "models: entry 1 has no name or no directory", id="no directory"),
        pytest.param("comfyui_catalogue: {custom_nodes: [a]}", "custom_nodes: entry 1 has no name", id="no row"),
        pytest.param("comfyui_catalogue: !!python/object/apply:os.getpid []", "it is not YAML", id="code"),
    ],
)
def test_a_file_that_is_no_catalogue_is_left_alone(text, words):
    with pytest.raises(AnsibleFilterError) as failure:
        RENDER(result(), text)
    assert words in str(failure.value)


# --- hostile names ---

HOSTILE = [
    pytest.param("{{ lookup('pipe', 'id') }}", id="Jinja"),
    pytest.param("{% set a = 1 %}", id="Jinja statement"),
    pytest.param("a\ncomfyui_catalogue:\n  models: [1]", id="line break"),
    pytest.param("a\u2028    - name: evil", id="another line break"),
    pytest.param("a\x85- name: evil", id="and another"),
    pytest.param("a\u202eb", id="writing backwards"),
    pytest.param("a\ud800b", id="half a character"),
    pytest.param("a" * 5000, id="long"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_no_value_anywhere(name):
    found = result(
        packs=[pack(name, repository="https://github.com/a/b"), pack("fine", classes=["Fine", name])],
        models=[model(name), model("y.pt", name), model("z.pt", url=f"https://huggingface.co/{name}")],
        unresolved=[unresolved(name), unresolved(name, "model")],
    )
    text = RENDER(found)
    assert rows_of(text)["custom_nodes"] == [{"name": "fine", "url": "https://github.com/somebody/fine", "classes": ["Fine"]}]
    assert not rows_of(text)["models"] and not rows_of(text)["accepted"]
    for line in text.splitlines():
        assert line.isprintable()
        assert "{{" not in line.partition("#")[0] and "{%" not in line.partition("#")[0]
    # Nor after a person uncommented all that there is.
    everything = re.sub(r"(?m)^    # (- |  )", r"    \1", text)
    assert "# - " not in everything
    for section in rows_of(everything).values():
        for row in section or []:
            assert name not in [*row.values(), *row.get("classes", [])]


def test_odd_but_honest_names_are_quoted_right():
    names = ["null", "yes", "1e3", "an: b", "it's", '"x"', "日本 (v1) + $a & b, c ~.safetensors", "#x", "- y", "@z", "0x1F", "2024-01-01"]
    text = RENDER(result(models=[model(name) for name in names]))
    kept = {row["name"] for row in rows_of(text)["models"]}
    assert kept == set(names)


# --- properties ---

EFFORT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

words = st.text(max_size=12)
classes = st.lists(words, max_size=3)
files = st.lists(st.sampled_from(["/w/a.json", "/w/b.json", "/v/c.png"]), min_size=1, max_size=3)
confidences = st.sampled_from(["high", "low"])
urls = st.sampled_from(
    [None, "https://github.com/a/b", "https://github.com/c/d.git", "https://huggingface.co/a/b/x.pt", "{{ x }}", "ftp://x"]
)
names = st.one_of(words, st.sampled_from(["a", "A", "b_pack", "x.pt", "sub/x.pt", "X"]))
candidates = st.lists(st.builds(lambda name, url: {"name": name, "repository": url, "stars": 1}, names, urls), max_size=3)
packs = st.lists(
    st.builds(
        lambda name, **values: pack(name, **values),
        names,
        repository=urls,
        classes=classes,
        seen_in=files,
        confidence=confidences,
        candidates=candidates,
    ),
    max_size=4,
)
models = st.lists(
    st.builds(
        lambda name, directory, **values: model(name, directory, **values),
        names,
        st.one_of(words, st.sampled_from(["loras", "clip", "text_encoders", "loras/sub"])),
        url=urls,
        seen_in=files,
        confidence=confidences,
        source=st.sampled_from(["workflow", "note", "none"]),
    ),
    max_size=4,
)
open_rows = st.lists(
    st.builds(
        lambda name, kind, **values: unresolved(name, kind, **values),
        names,
        st.sampled_from(["class", "model"]),
        reason=words,
        suggestion=st.one_of(words, st.sampled_from([None, "a/b_pack", "https://github.com/c/d", "{{ x }}/a"])),
    ),
    max_size=4,
)
results = st.builds(lambda packs, models, open_rows: result(packs=packs, models=models, unresolved=open_rows), packs, models, open_rows)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
kept_packs = st.lists(st.builds(lambda more, name: {**more, "name": name}, st.dictionaries(words, values, max_size=2), names), max_size=3)
kept_models = st.lists(
    st.builds(
        lambda more, name, directory: {**more, "name": name, "directory": directory},
        st.dictionaries(words, values, max_size=2),
        names,
        names,
    ),
    max_size=3,
)
previous = st.builds(
    lambda packs, models, accepted: {"custom_nodes": packs, "models": models, "accepted": accepted},
    kept_packs,
    kept_models,
    st.lists(names, max_size=2),
)


def writable(value):
    """YAML cannot hold half a character, and no workflow's name with one is made a value."""
    try:
        return yaml.safe_load(yaml.safe_dump(value)) == value
    except (yaml.YAMLError, UnicodeError):
        return False


@EFFORT
@given(results)
def test_writing_again_changes_nothing(found):
    text = RENDER(found)
    assert RENDER(found, text) == text
    # What a person need not decide can be used as it is.
    parse_catalogue(rows_of(text))


@EFFORT
@given(results, previous.filter(writable))
def test_no_row_is_ever_changed_or_lost(found, before):
    text = RENDER(found, yaml.safe_dump({"comfyui_catalogue": before}))
    after = rows_of(text)
    for section, rows in before.items():
        assert [row for row in rows if row not in (after[section] or [])] == []
    assert RENDER(found, text) == text
