# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_file import WorkflowError
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_graph import DEEPEST, MOST_NODES, Graph, is_link
from support.workflows import DEEPER, INSIDE, UNDEFINED, api, call, document, inner_link, link, node, slot, subgraph, ui, widget

CHECKPOINT = "CheckpointLoaderSimple"
BASE, OTHER = "base.safetensors", "other.safetensors"


def flat(data):
    """(id, class, whether it runs) of every node."""
    return [(one.id, one.type, one.active) for one in Graph(document(data)).nodes]


def node_of(data, key="1"):
    (found,) = [one for one in Graph(document(data)).nodes if one.id == key]
    return found


def values_of(data, key="1", order=None):
    return node_of(data, key).named_values(order)


def linked(data, key="1"):
    """The inputs that another node feeds, and the class of that node."""
    return {name: origin and origin.type for name, origin in node_of(data, key).links().items()}


@pytest.mark.parametrize(
    "mode, active",
    [
        pytest.param(0, True, id="always"),
        pytest.param(2, False, id="muted"),
        pytest.param(4, False, id="bypassed"),
        pytest.param(1, True, id="on-event"),
        pytest.param(3, True, id="on-trigger"),
        pytest.param(None, True, id="null"),
        pytest.param("2", True, id="text-is-no-mode"),
        pytest.param([4], True, id="list-is-no-mode"),
    ],
)
def test_muted_and_bypassed_nodes_do_not_run(mode, active):
    assert flat(ui(node("A", mode=mode))) == [("1", "A", active)]


def test_a_node_without_a_mode_runs():
    bare = node("A")
    del bare["mode"]
    assert flat(ui(bare)) == [("1", "A", True)]


@pytest.mark.parametrize("outer, inner, active", [(0, 0, True), (2, 0, False), (4, 0, False), (0, 2, False), (0, 4, False)])
def test_what_is_inside_runs_when_all_around_it_does(outer, inner, active):
    data = ui(node(INSIDE, id=7, mode=outer), subgraphs=[subgraph(INSIDE, node("A", id=3, mode=inner))])
    assert flat(data) == [("7:3", "A", active)]


def test_muting_reaches_through_every_wall():
    subgraphs = [subgraph(INSIDE, node(DEEPER, id=2)), subgraph(DEEPER, node("A", id=3))]
    assert flat(ui(node(INSIDE, mode=4), subgraphs=subgraphs)) == [("1:2:3", "A", False)]


def test_subgraphs_open_wherever_they_are_used_and_however_deep():
    subgraphs = [subgraph(INSIDE, node("A", id=3), node(DEEPER, id=4)), subgraph(DEEPER, node("B", id=5))]
    data = ui(node(INSIDE, id=1), node("C", id=2), node(INSIDE, id=9, mode=2), subgraphs=subgraphs)
    assert flat(data) == [
        ("1:3", "A", True),
        ("1:4:5", "B", True),
        ("2", "C", True),
        ("9:3", "A", False),
        ("9:4:5", "B", False),
    ]


def test_a_definition_inside_a_definition_is_found():
    inner = subgraph(DEEPER, node("A", id=3))
    outer = subgraph(INSIDE, node(DEEPER, id=2), definitions={"subgraphs": [inner]})
    assert flat(ui(node(INSIDE), subgraphs=[outer])) == [("1:2:3", "A", True)]


def test_a_definition_that_nobody_uses_is_skipped():
    assert flat(ui(node("A"), subgraphs=[subgraph(INSIDE, node("B"))])) == [("1", "A", True)]


def test_an_undefined_subgraph_stays_as_its_id():
    assert flat(ui(node(UNDEFINED))) == [("1", UNDEFINED, True)]


def test_an_instance_itself_is_no_node():
    assert flat(ui(node(INSIDE, properties={"cnr_id": "comfy-core"}), subgraphs=[subgraph(INSIDE)])) == []


def promoting(*values, inputs=("first", "second"), **instance):
    """An instance with two promoted names; the links are not in the order of the inputs."""
    inner = subgraph(
        INSIDE,
        node(CHECKPOINT, BASE, id=3, inputs=[slot("x"), widget("ckpt_name", 8)]),
        node("VAELoader", "inner.pt", id=4, inputs=[widget("vae_name", 9)]),
        inputs=inputs,
        links=[inner_link(9, -10, 4, 1, 0), inner_link(8, -10, 3, 0, 1)],
    )
    entries = instance.pop("entries", [widget(name) for name in inputs])
    return ui(node(INSIDE, *values, inputs=entries, **instance), subgraphs=[inner])


def test_the_value_outside_is_the_one_that_runs():
    data = promoting(OTHER, "outer.pt")
    assert values_of(data, "1:3", ["ckpt_name"]) == {"ckpt_name": OTHER}
    assert values_of(data, "1:4", ["vae_name"]) == {"vae_name": "outer.pt"}
    assert linked(data, "1:3") == {} == linked(data, "1:4")


def test_an_instance_without_values_leaves_those_inside():
    for data in (promoting(), promoting(widgets_values=None)):
        assert values_of(data, "1:3", ["ckpt_name"]) == {"ckpt_name": BASE}


def test_inputs_without_a_widget_take_no_value():
    inner = subgraph(
        INSIDE,
        node(CHECKPOINT, BASE, id=3, inputs=[slot("model", 7), widget("ckpt_name", 8)]),
        inputs=["model", "name"],
        links=[inner_link(7, -10, 3, 0, 0), inner_link(8, -10, 3, 1, 1)],
    )
    data = ui(node(INSIDE, OTHER, inputs=[slot("model"), widget("name")]), subgraphs=[inner])
    assert values_of(data, "1:3", ["ckpt_name"]) == {"ckpt_name": OTHER}


def test_one_value_outside_sets_every_widget_that_it_leads_to():
    inner = subgraph(
        INSIDE,
        node(CHECKPOINT, BASE, id=3, inputs=[widget("ckpt_name", 8)]),
        node(CHECKPOINT, BASE, id=4, inputs=[widget("ckpt_name", 9)]),
        inputs=["name"],
        links=[inner_link(8, -10, 3), inner_link(9, -10, 4)],
    )
    data = ui(node(INSIDE, OTHER, inputs=[widget("name")]), subgraphs=[inner])
    assert [values_of(data, key, ["ckpt_name"]) for key in ("1:3", "1:4")] == [{"ckpt_name": OTHER}] * 2


def two_walls(*values):
    deeper = subgraph(
        DEEPER, node(CHECKPOINT, BASE, id=3, inputs=[widget("ckpt_name", 8)]), inputs=["name"], links=[inner_link(8, -10, 3)]
    )
    middle = subgraph(
        INSIDE, node(DEEPER, "middle.safetensors", id=2, inputs=[widget("name", 5)]), inputs=["title"], links=[inner_link(5, -10, 2)]
    )
    return ui(node(INSIDE, *values, inputs=[widget("title")]), subgraphs=[middle, deeper])


@pytest.mark.parametrize("values, expected", [([OTHER], OTHER), ([], "middle.safetensors")])
def test_a_value_goes_through_two_walls(values, expected):
    assert values_of(two_walls(*values), "1:2:3", ["ckpt_name"]) == {"ckpt_name": expected}


def test_two_instances_of_one_subgraph_have_their_own_values():
    first = promoting("first.safetensors", "a.pt")
    data = {**first, "nodes": [*first["nodes"], node(INSIDE, "second.safetensors", "b.pt", id=2)]}
    assert [values_of(data, key, ["ckpt_name"])["ckpt_name"] for key in ("1:3", "2:3")] == ["first.safetensors", "second.safetensors"]


def test_old_proxy_widgets_leave_the_value_inside():
    inner = subgraph(INSIDE, node(CHECKPOINT, BASE, id=3))
    data = ui(node(INSIDE, OTHER, properties={"proxyWidgets": [["3", "ckpt_name"]]}), subgraphs=[inner])
    assert values_of(data, "1:3", ["ckpt_name"]) == {"ckpt_name": BASE}


def test_a_promoted_input_that_is_linked_outside_is_fed_from_there():
    data = promoting(OTHER, "outer.pt", entries=[widget("first", 1), widget("second")])
    data["nodes"].append(node("Switch", id=20))
    data["links"] = [link(1, 20, 1)]
    assert linked(data, "1:3") == {"ckpt_name": "Switch"}
    assert linked(data, "1:4") == {}


def test_a_link_out_of_a_subgraph_leads_to_the_node_inside():
    inner = subgraph(INSIDE, node("Switch", id=3), outputs=["x", "y"], links=[inner_link(4, 3, -20, 0, 1)])
    data = ui(
        node(CHECKPOINT, BASE, inputs=[widget("ckpt_name", 1)]), node(INSIDE, id=2), links=[link(1, 2, 1, 1, 0)], subgraphs=[inner]
    )
    assert linked(data) == {"ckpt_name": "Switch"}


GROUP = {"pair": {"nodes": [node(CHECKPOINT, BASE), node("VAELoader", "a.pt")], "links": [], "external": []}}


@pytest.mark.parametrize("mark", ["/", ">"])
def test_the_values_of_a_group_stand_before_its_defaults(mark):
    data = ui(node(f"workflow{mark}pair", OTHER, "b.pt", id=6), groups=GROUP)
    assert flat(data) == [("6:0", CHECKPOINT, True), ("6:1", "VAELoader", True)]
    assert [node_of(data, key).values for key in ("6:0", "6:1")] == [[OTHER], ["b.pt"]]


@pytest.mark.parametrize("values", [None, []])
def test_a_group_without_values_has_its_defaults(values):
    data = ui(node("workflow/pair", widgets_values=values), groups=GROUP)
    assert [node_of(data, key).values for key in ("1:0", "1:1")] == [[BASE], ["a.pt"]]


def test_nodes_of_a_group_without_widgets_take_none_of_its_values():
    group = {"g": {"nodes": [node("A", widgets_values=None), node(CHECKPOINT, BASE), {"type": "B"}, node("VAELoader", "a.pt")]}}
    data = ui(node("workflow/g", OTHER, "b.pt"), groups=group)
    assert [one.values for one in Graph(document(data)).nodes] == [None, [OTHER], None, ["b.pt"]]


def test_a_group_that_says_fewer_values_is_matched_by_what_looks_like_a_file():
    group = {"g": {"nodes": [node("KSampler", 5, "fixed", 20), node(CHECKPOINT, BASE)]}}
    data = ui(node("workflow/g", "fixed", 20, OTHER), groups=group)
    assert node_of(data, "1:1").values == [OTHER]


def test_a_group_whose_names_cannot_be_matched_keeps_its_defaults():
    data = ui(node("workflow/pair", "only-one.safetensors"), groups=GROUP)
    assert [node_of(data, key).values for key in ("1:0", "1:1")] == [[BASE], ["a.pt"]]


def test_a_muted_group_is_muted_inside():
    assert [one[2] for one in flat(ui(node("workflow/pair", mode=2), groups=GROUP))] == [False, False]


def test_a_group_that_nobody_uses_is_a_library_copy():
    assert flat(ui(node("A"), groups=GROUP)) == [("1", "A", True)]


def test_an_undefined_group_stays_as_it_is_called():
    assert flat(ui(node("workflow/lost"), groups=GROUP)) == [("1", "workflow/lost", True)]


def test_a_group_in_a_group_takes_its_part_of_the_values():
    group = {
        "outer": {"nodes": [node("VAELoader", "a.pt"), node("workflow/inner", BASE)]},
        "inner": {"nodes": [node(CHECKPOINT, "innermost.safetensors")]},
    }
    data = ui(node("workflow/outer", "b.pt", OTHER), groups=group)
    assert [(one.id, one.values) for one in Graph(document(data)).nodes] == [("1:0", ["b.pt"]), ("1:1:0", [OTHER])]


def test_a_group_inside_a_subgraph_opens_too():
    data = ui(node(INSIDE), subgraphs=[subgraph(INSIDE, node("workflow/pair", id=2))], groups=GROUP)
    assert [one[0] for one in flat(data)] == ["1:2:0", "1:2:1"]


def test_an_old_component_is_not_opened():
    data = ui(node("## pair [1a2b3c]"), components={"## pair [1a2b3c]": {"nodes": [node(CHECKPOINT, BASE)], "links": []}})
    assert flat(data) == [("1", "## pair [1a2b3c]", True)]


NAMED = {"name": "y", "size": 3}


@pytest.mark.parametrize(
    "raw, order, expected",
    [
        pytest.param(node("A", "x", 2), ["name", "size"], {"name": "x", "size": 2}, id="known-order"),
        pytest.param(node("A", 1, "fixed", 20), ["seed", "", "steps"], {"seed": 1, "steps": 20}, id="no-name-no-input"),
        pytest.param(node("A", "x"), ["name", "size"], {"name": "x"}, id="shorter-than-the-order"),
        pytest.param(node("A", "x", 2, 3), ["name", "size"], {"name": "x", "size": 2}, id="longer-than-the-order"),
        pytest.param(node("A", widgets_values={"name": "x"}), ["other"], {"name": "x"}, id="dict"),
        pytest.param(node("A", widgets_values=None), ["name"], {}, id="none"),
        pytest.param(node("A", widgets_values="x"), ["name"], {}, id="text-is-no-list"),
        pytest.param(node("A", "x", 2, widgets_values_named=NAMED), None, {"name": "x", "size": 2}, id="named-lends-names"),
        pytest.param(node("A", "x", widgets_values_named=NAMED, inputs=[widget("title")]), None, {"title": "x"}, id="named-too-long"),
        pytest.param(node("A", "x", 2, inputs=[widget("name"), slot("m"), widget("size", 3)]), None, {"name": "x", "size": 2}, id="inputs"),
        pytest.param(
            node("A", "x", 5, "randomize", inputs=[widget("name"), widget("seed")]), None, {"name": "x", "seed": 5}, id="seed-is-followed"
        ),
        pytest.param(node("A", "x", 2, inputs=[widget("name")]), None, {}, id="nothing-fits"),
    ],
)
def test_values_are_told_by_position(raw, order, expected):
    assert values_of(ui(raw), order=order) == expected


def feeding(*nodes, links=()):
    return ui(node(CHECKPOINT, BASE, inputs=[widget("ckpt_name", 1)]), *nodes, links=links)


@pytest.mark.parametrize(
    "data, expected",
    [
        pytest.param(feeding(node("Switch", id=2), links=[link(1, 2, 1)]), {"ckpt_name": "Switch"}, id="another-node"),
        pytest.param(feeding(node("PrimitiveNode", OTHER, id=2), links=[link(1, 2, 1)]), {}, id="a-primitive-is-in-step"),
        pytest.param(feeding(), {}, id="a-link-from-nowhere"),
        pytest.param(feeding(links=[link(1, 99, 1)]), {}, id="a-link-from-no-node"),
        pytest.param(
            feeding(
                node("Switch", id=2),
                node("Reroute", id=3, inputs=[slot("", 2)]),
                node("Reroute", id=4, inputs=[slot("", 3)]),
                links=[link(1, 4, 1), link(2, 2, 3), link(3, 3, 4)],
            ),
            {"ckpt_name": "Switch"},
            id="through-reroutes",
        ),
        pytest.param(
            feeding(
                node("PrimitiveNode", id=2),
                node("Reroute", id=3, inputs=[slot("", 2)]),
                links=[link(1, 3, 1), link(2, 2, 3)],
            ),
            {},
            id="a-primitive-behind-a-reroute",
        ),
        pytest.param(
            feeding(node("Reroute", id=2, inputs=[slot("", 2)]), links=[link(1, 2, 1), link(2, 2, 2)]), {}, id="a-reroute-into-itself"
        ),
        pytest.param(feeding(node("Reroute", id=2, inputs=[]), links=[link(1, 2, 1)]), {}, id="a-reroute-from-nowhere"),
        pytest.param(feeding(node("Switch", id="2"), links=[link(1, 2, 1)]), {"ckpt_name": "Switch"}, id="ids-of-two-kinds"),
        pytest.param(
            ui(
                node(CHECKPOINT, BASE, inputs=[widget("ckpt_name", 1)]),
                node("Switch", id=2),
                links={"0": {"id": 1, "origin_id": 2, "origin_slot": 0, "target_id": 1, "target_slot": 0, "type": "*"}},
            ),
            {"ckpt_name": "Switch"},
            id="object-links-of-version-1",
        ),
        pytest.param(ui(node(CHECKPOINT, BASE, inputs=[widget("ckpt_name")])), {}, id="converted-and-not-linked"),
    ],
)
def test_a_linked_widget_is_fed_by_another_node_unless_that_is_a_primitive(data, expected):
    assert linked(data) == expected


def test_a_prompt_holds_values_and_links():
    data = api(call(CHECKPOINT, ckpt_name=BASE, model=["2", 0], lost=["9", 0], both=["a.pt", "b.pt"]), call("Switch"))
    assert flat(data) == [("1", CHECKPOINT, True), ("2", "Switch", True)]
    assert linked(data) == {"model": "Switch", "lost": None}
    assert values_of(data)["ckpt_name"] == BASE


def test_a_wrapped_list_in_a_prompt_is_the_list():
    assert values_of(api(call("A", names={"__value__": ["a.pt", "b.pt", "c.pt"]}))) == {"names": ("a.pt", "b.pt", "c.pt")}


def test_a_wrapped_list_in_a_prompt_is_no_link():
    found = node_of(api(call("A", names={"__value__": ["2", 0]}), call("Switch")))
    assert found.links() == {}


def test_a_prompt_may_have_paths_for_ids_and_strange_keys():
    data = {"15:3": call("A"), "version": 1, "extra": {"x": 1}, "x": None, "y": [], "4": {"class_type": "B"}}
    assert flat(data) == [("15:3", "A", True), ("4", "B", True)]


def test_a_prompt_says_its_packs_beside_the_title():
    data = api({**call("A"), "_meta": {"title": "x", "cnr_id": "boats"}})
    assert node_of(data).properties["cnr_id"] == "boats"


@pytest.mark.parametrize(
    "raw, key",
    [
        pytest.param({"id": 5, "widgets_values": [BASE]}, "5", id="no-type"),
        pytest.param(node(None, id=5), "5", id="null-type"),
        pytest.param(node(7, id=5), "5", id="number-type"),
        pytest.param(node([], id=5), "5", id="list-type"),
        pytest.param(None, "?", id="null"),
        pytest.param("A", "?", id="text"),
    ],
)
def test_a_node_without_a_class_is_told_of_and_left_out(raw, key):
    graph = Graph(document(ui(raw, node("B", id=6))))
    assert [one.type for one in graph.nodes] == ["B"]
    assert graph.problems == [("odd_node", "a node without a class", key)]


def test_a_prompt_node_without_a_class_is_told_of():
    graph = Graph(document({"1": call("A"), "2": {"inputs": {}}, "3": {"class_type": 4}}))
    assert [problem[2] for problem in graph.problems] == ["2", "3"]


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param([1, 1], id="twice"),
        pytest.param([1, "1"], id="number-and-text"),
        pytest.param([None, None], id="null"),
        pytest.param([[1], {"a": 1}], id="containers"),
        pytest.param([1.5, float("nan")], id="floats"),
        pytest.param([True, False], id="booleans"),
        pytest.param([10**4000, -1], id="huge"),
    ],
)
def test_no_id_loses_a_node(ids):
    data = ui(*(node("A", id=key) for key in ids), subgraphs=[subgraph(INSIDE, *(node("B", id=key) for key in ids))])
    data["nodes"].append(node(INSIDE, id=5))
    assert [one.type for one in Graph(document(data)).nodes] == ["A", "A", "B", "B"]


def test_a_long_id_is_cut():
    subgraphs = [subgraph(INSIDE, node("A", id="y" * 10_000))]
    (found,) = Graph(document(ui(node(INSIDE, id="x" * 10_000), subgraphs=subgraphs))).nodes
    assert len(found.id) < 200


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ui(node(INSIDE), subgraphs=[subgraph(INSIDE, node(INSIDE))]), id="itself"),
        pytest.param(ui(node(INSIDE), subgraphs=[subgraph(INSIDE, node(DEEPER)), subgraph(DEEPER, node(INSIDE))]), id="over-two"),
        pytest.param(ui(node("workflow/g"), groups={"g": {"nodes": [node("workflow>g")]}}), id="a-group-in-itself"),
        pytest.param(ui(node("0"), subgraphs=[subgraph(str(n), node(str(n + 1))) for n in range(DEEPEST + 2)]), id="too-deep"),
    ],
)
def test_a_subgraph_without_an_end_makes_the_file_unusable(data):
    with pytest.raises(WorkflowError, match="^recursion: "):
        Graph(document(data))


def test_a_cycle_that_nobody_enters_does_no_harm():
    assert flat(ui(node("A"), subgraphs=[subgraph(INSIDE, node(INSIDE))])) == [("1", "A", True)]


def test_as_many_nodes_as_allowed_are_read_and_not_one_more():
    many = [node("A")] * MOST_NODES
    assert len(Graph(document(ui(*many))).nodes) == MOST_NODES
    with pytest.raises(WorkflowError, match=f"more than {MOST_NODES} nodes"):
        Graph(document(ui(*many, node("A"))))


def test_subgraphs_that_multiply_count_as_often_as_they_are_used():
    levels = [subgraph(f"level{number}", *[node(f"level{number + 1}", id=key) for key in range(10)]) for number in range(10)]
    with pytest.raises(WorkflowError, match="more than"):
        Graph(document(ui(node("level0"), subgraphs=levels)))


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"definitions": []}, id="definitions-list"),
        pytest.param({"definitions": {"subgraphs": {"0": None}}}, id="subgraphs-dict"),
        pytest.param({"definitions": {"subgraphs": [None, {}, {"id": 5}, {"id": INSIDE, "nodes": 7}]}}, id="subgraphs-odd"),
        pytest.param({"extra": []}, id="extra-list"),
        pytest.param({"extra": {"groupNodes": []}}, id="groups-list"),
        pytest.param({"extra": {"groupNodes": {"g": None, "h": {"nodes": "x"}}}}, id="groups-odd"),
        pytest.param({"links": 5}, id="links-number"),
        pytest.param({"links": [None, [], [1], [[1], 2, 3, 4, 5], {"id": {}}, {}]}, id="links-odd"),
    ],
)
def test_what_is_odd_around_the_nodes_is_passed_over(more):
    data = {**ui(node("A", "x", inputs=[widget("name", 1)]), node(INSIDE, id=2), node("workflow/h", id=3)), **more}
    graph = Graph(document(data))
    assert graph.nodes[0].type == "A"
    assert [one.named_values() and one.links() for one in graph.nodes][0] == {}


@pytest.mark.parametrize(
    "value, expected",
    [
        pytest.param(["1", 0], True, id="text-and-slot"),
        pytest.param([1, 0], True, id="number-and-slot"),
        pytest.param(["a.safetensors", "b.safetensors"], False, id="two-names"),
        pytest.param(["1", 0, 0], False, id="three"),
        pytest.param(["1"], False, id="one"),
        pytest.param("1", False, id="text"),
        pytest.param(["1", True], False, id="a-boolean-is-no-slot"),
    ],
)
def test_a_link_in_a_prompt_is_an_id_and_a_slot(value, expected):
    assert is_link(value) is expected
