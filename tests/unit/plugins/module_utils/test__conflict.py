# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._conflict import Ask, explain, smallest
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.sets(st.integers(0, 19), min_size=1, max_size=4), min_size=1, max_size=3), st.randoms())
def test_what_is_found_collides_and_nothing_of_it_can_be_spared(conflicts, random):
    items = list(range(20))
    random.shuffle(items)
    questions = 0

    def fails(some):
        nonlocal questions
        questions += 1
        return any(conflict <= set(some) for conflict in conflicts)

    found = smallest(items, fails)
    assert len(found) == len(set(found)) and fails(found)
    assert not any(fails([one for one in found if one != spared]) for spared in found)
    assert questions < 60


def test_where_nothing_is_needed_to_fail_nobody_is_found():
    assert smallest([1, 2], lambda _some: True) == []


@pytest.mark.parametrize("turned", [False, True])
def test_the_words_are_the_same_whatever_the_order(turned):
    asks = [Ask("two", "numpy>=2"), Ask("one", "numpy<2"), Ask("the inventory", "numpy!=1.5", limits=True)]
    said = explain(asks[::-1] if turned else asks, "Because\n  so.", "two")
    assert said.splitlines() == [
        "the Python requirements of one, the inventory and two cannot be met together:",
        "  one asks for numpy<2",
        "  the inventory limits to numpy!=1.5",
        "  two asks for numpy>=2",
        "  (Because so.)",
        "  What could be done: custom_nodes_on_conflict: {prefer: {numpy: <version>}} outvotes whoever wants another; "
        "another commit of two, or requirements: false if it does without; custom_nodes_on_conflict: skip_pack leaves two out.",
    ]


def test_a_line_that_fails_by_itself_is_no_conflict():
    said = explain([Ask("one", "nowhere")], "nowhere was not found", "one").splitlines()
    assert said[0] == "one asks for nowhere, which cannot be had:" and "prefer" not in said[-1] and "skip_pack leaves one out" in said[-1]


def test_where_no_pack_is_to_blame_the_advice_is_another():
    assert "another version of ComfyUI, or other constraints" in explain([Ask("ComfyUI", "nowhere")], "", None)
