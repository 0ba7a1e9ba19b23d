# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Prompts: what makes one valid, the queue they wait in, and how one is run.

Left out: lists of values, lazy inputs and nodes that expand into others.
"""

from __future__ import annotations

import hashlib
import heapq
import inspect
import logging
import threading
import time
import traceback
from typing import Any

import nodes
from comfy.model_management import InterruptProcessingException

CONVERSIONS = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def _reason(kind: str, message: str, details: str = "", **extra_info: Any) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def _class_of(prompt: dict[str, Any], node_id: str) -> Any:
    return nodes.NODE_CLASS_MAPPINGS[prompt[node_id]["class_type"]]


def _full_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def _constants(prompt: dict[str, Any], node_id: str, names: set[str]) -> dict[str, Any]:
    inputs = prompt[node_id]["inputs"]
    return {name: value for name, value in inputs.items() if name in names and not isinstance(value, list)}


def _accepted(function: Any) -> tuple[set[str], bool]:
    spec = inspect.getfullargspec(function)
    return set(spec.args), spec.varkw is not None


def _check_value(inputs: dict[str, Any], name: str, kind: Any, options: dict[str, Any], own_check: bool) -> dict[str, Any] | None:
    value = inputs[name]
    extra = {"input_name": name, "input_config": (kind, options), "received_value": value}
    if isinstance(kind, str) and kind in CONVERSIONS:
        try:
            value = inputs[name] = CONVERSIONS[kind](value)
        except (TypeError, ValueError) as error:
            message = f"Failed to convert an input value to a {kind} value"
            return _reason("invalid_input_type", message, f"{name}, {value}, {error}", **extra, exception_message=str(error))
    if own_check:
        return None
    if "min" in options and value < options["min"]:
        return _reason("value_smaller_than_min", f"Value {value} smaller than min of {options['min']}", name, **extra)
    if "max" in options and value > options["max"]:
        return _reason("value_bigger_than_max", f"Value {value} bigger than max of {options['max']}", name, **extra)
    if isinstance(kind, list) and value not in kind:
        long = len(kind) > 20
        extra["input_config"] = None if long else extra["input_config"]
        listed = f"(list of length {len(kind)})" if long else str(kind)
        return _reason("value_not_in_list", "Value not in list", f"{name}: '{value}' not in {listed}", **extra)
    return None


def _validate_node(prompt: dict[str, Any], node_id: str, results: dict[str, tuple[bool, list[dict[str, Any]]]]) -> bool:
    """Whether the node and all it stands on are valid; reasons are kept per node."""
    if node_id in results:
        return results[node_id][0]
    node_class = _class_of(prompt, node_id)
    inputs = prompt[node_id]["inputs"]
    types = node_class.INPUT_TYPES()
    own_check = getattr(node_class, "VALIDATE_INPUTS", None)
    own_names, own_all = _accepted(own_check) if own_check else (set(), False)
    errors: list[dict[str, Any] | None] = []
    sources_valid = True
    specs = [(name, category, spec) for category in ("required", "optional") for name, spec in types.get(category, {}).items()]
    for name, category, spec in specs:
        kind, options = spec[0], (spec[1] if len(spec) > 1 else {})
        value = inputs.get(name)
        if name not in inputs:
            if category == "required":
                errors.append(_reason("required_input_missing", "Required input is missing", name, input_name=name))
        elif isinstance(value, list) and not _is_link(value):
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(_reason("bad_linked_input", message, name, input_name=name, input_config=(kind, options), received_value=value))
        elif isinstance(value, list):
            received = _class_of(prompt, value[0]).RETURN_TYPES[value[1]]
            if "*" not in (kind, received) and received != kind:
                details = f"{name}, received_type({received}) mismatch input_type({kind})"
                extra = {"input_name": name, "input_config": (kind, options), "received_type": received, "linked_node": value}
                errors.append(_reason("return_type_mismatch", "Return type mismatch between linked nodes", details, **extra))
            else:
                sources_valid = _validate_node(prompt, value[0], results) and sources_valid
        else:
            errors.append(_check_value(inputs, name, kind, options, own_all or name in own_names))
    if own_check:
        given = _constants(prompt, node_id, {name for name, _, _ in specs if own_all or name in own_names})
        verdict = own_check(**given)
        if verdict is not True:
            why = "" if verdict is False else f" - {verdict}"
            message = "Custom validation failed for node"
            errors += [_reason("custom_validation_failed", message, name + why, input_name=name) for name in given]
    found = [error for error in errors if error]
    results[node_id] = (sources_valid and not found, found)
    return results[node_id][0]


def validate_prompt(prompt: dict[str, Any]) -> tuple[bool, dict[str, Any] | None, list[str], dict[str, Any]]:
    """Whether it can run, the error if not, the output nodes that are good, and the errors of each node."""
    for node_id, node in prompt.items():
        if "class_type" not in node:
            message = "Cannot execute because a node is missing the class_type property."
            return False, _reason("invalid_prompt", message, f"Node ID '#{node_id}'"), [], {}
        if node["class_type"] not in nodes.NODE_CLASS_MAPPINGS:
            message = f"Cannot execute because node {node['class_type']} does not exist."
            return False, _reason("invalid_prompt", message, f"Node ID '#{node_id}'"), [], {}
    outputs = [node_id for node_id in prompt if getattr(_class_of(prompt, node_id), "OUTPUT_NODE", False) is True]
    if not outputs:
        return False, _reason("prompt_no_outputs", "Prompt has no outputs"), [], {}

    good, node_errors, lines = [], {}, []
    results: dict[str, tuple[bool, list[dict[str, Any]]]] = {}
    for output in outputs:
        try:
            valid = _validate_node(prompt, output, results)
        except Exception as error:  # a link to nowhere, a circle, or a pack's own code
            extra = {"exception_type": _full_name(type(error)), "traceback": traceback.format_tb(error.__traceback__)}
            results[output] = (False, [_reason("exception_during_validation", "Exception when validating node", str(error), **extra)])
            valid = False
        if valid:
            good.append(output)
            continue
        logging.error(f"Failed to validate prompt for output {output}:")
        lines += [f"{reason['message']}: {reason['details']}" for reason in results[output][1]]
        for node_id, (_, reasons) in results.items():
            if reasons:
                class_type = prompt[node_id]["class_type"]
                entry = node_errors.setdefault(node_id, {"errors": reasons, "dependent_outputs": [], "class_type": class_type})
                entry["dependent_outputs"].append(output)
                logging.error(f"* {class_type} {node_id}:")
                for reason in reasons:
                    logging.error(f"  - {reason['message']}: {reason['details']}")
        logging.error("Output will be ignored")
    if not good:
        return False, _reason("prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(lines)), [], node_errors
    return True, None, good, node_errors


class PromptQueue:
    def __init__(self, on_change: Any) -> None:
        self._changed = threading.Condition()
        self._on_change = on_change
        self._pending: list[tuple[Any, ...]] = []
        self._running: tuple[Any, ...] | None = None
        self._history: dict[str, dict[str, Any]] = {}
        self.forget_results = False

    def put(self, item: tuple[Any, ...]) -> None:
        with self._changed:
            heapq.heappush(self._pending, item)
            self._changed.notify()
        self._on_change()

    def take(self) -> tuple[Any, ...]:
        with self._changed:
            while not self._pending:
                self._changed.wait()
            self._running = heapq.heappop(self._pending)
        self._on_change()
        return self._running

    def done(self, result: dict[str, Any], status: dict[str, Any]) -> None:
        with self._changed:
            self._history[self._running[1]] = {"prompt": self._running, **result, "status": status}
            self._running = None
        self._on_change()

    def current(self) -> tuple[list[Any], list[Any]]:
        with self._changed:
            return ([self._running] if self._running else []), list(self._pending)

    def remaining(self) -> int:
        return sum(len(part) for part in self.current())

    def remove(self, prompt_ids: list[str] | None) -> None:
        """Take these out of the queue, or all that wait."""
        with self._changed:
            self._pending = [item for item in self._pending if prompt_ids is not None and item[1] not in prompt_ids]
            heapq.heapify(self._pending)
        self._on_change()

    def history(self, prompt_id: str | None = None, last: int | None = None) -> dict[str, Any]:
        with self._changed:
            if prompt_id is not None:
                return {prompt_id: self._history[prompt_id]} if prompt_id in self._history else {}
            return dict(list(self._history.items())[-last:] if last else self._history)

    def forget(self, prompt_ids: list[str] | None) -> None:
        with self._changed:
            for prompt_id in list(self._history) if prompt_ids is None else prompt_ids:
                self._history.pop(prompt_id, None)


class PromptExecutor:
    def __init__(self, send: Any) -> None:
        self._send = send
        # What each node of the last prompt gave, by all that went into it: the same prompt again runs nothing.
        self._results: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def reset(self) -> None:
        self._results = {}

    def execute(self, prompt: dict[str, Any], prompt_id: str, extra_data: dict[str, Any], wanted: list[str]) -> tuple[Any, Any]:
        messages: list[tuple[str, dict[str, Any]]] = []

        def tell(event: str, **data: Any) -> None:
            messages.append((event, {"prompt_id": prompt_id, **data, "timestamp": int(time.time() * 1000)}))
            self._send(*messages[-1])

        nodes.interrupt_processing(False)
        tell("execution_start")
        signatures: dict[str, str] = {}
        order: list[str] = []
        for output in wanted:
            self._plan(prompt, output, signatures, order)
        self._results = {key: self._results[key] for key in signatures.values() if key in self._results}
        tell("execution_cached", nodes=[node_id for node_id in order if signatures[node_id] in self._results])

        ui_outputs: dict[str, Any] = {}
        executed: list[str] = []
        success = True
        for node_id in order:
            key = signatures[node_id]
            failure = None
            if key not in self._results:
                self._send("executing", {"node": node_id, "display_node": node_id, "prompt_id": prompt_id})
                failure = self._run_node(prompt, node_id, extra_data, signatures)
            if failure:
                class_type = prompt[node_id]["class_type"]
                event, details = failure
                tell(event, node_id=node_id, node_type=class_type, executed=executed, **details)
                success = False
                break
            executed.append(node_id)
            ui = self._results[key][1]
            if ui:
                ui_outputs[node_id] = ui
                self._send("executed", {"node": node_id, "display_node": node_id, "output": ui, "prompt_id": prompt_id})
        if success:
            tell("execution_success")
        meta = {one: {"node_id": one, "display_node": one, "parent_node": None, "real_node_id": one} for one in ui_outputs}
        status = {"status_str": "success" if success else "error", "completed": success, "messages": messages}
        return {"outputs": ui_outputs, "meta": meta}, status

    def _plan(self, prompt: dict[str, Any], node_id: str, signatures: dict[str, str], order: list[str]) -> None:
        """Put the node after all it stands on, and sign it with everything that went into it."""
        if node_id in signatures:
            return
        node_class = _class_of(prompt, node_id)
        inputs = prompt[node_id]["inputs"]
        parts: list[Any] = [prompt[node_id]["class_type"], self._is_changed(prompt, node_id, node_class)]
        for name in sorted(inputs):
            value = inputs[name]
            if _is_link(value):
                self._plan(prompt, value[0], signatures, order)
                value = [signatures[value[0]], value[1]]
            parts.append((name, value))
        signatures[node_id] = hashlib.sha256(repr(parts).encode()).hexdigest()
        order.append(node_id)

    @staticmethod
    def _is_changed(prompt: dict[str, Any], node_id: str, node_class: Any) -> Any:
        check = getattr(node_class, "IS_CHANGED", None)
        if check is None:
            return None
        names, everything = _accepted(check)
        try:
            verdict = check(**_constants(prompt, node_id, set(prompt[node_id]["inputs"]) if everything else names))
        except Exception as error:  # a pack's own code
            logging.warning(f"WARNING: {error}")
            verdict = float("nan")
        # Not a number is equal to nothing, itself included: such a node always runs.
        return time.monotonic_ns() if verdict != verdict else verdict

    def _run_node(self, prompt: dict[str, Any], node_id: str, extra_data: dict[str, Any], signatures: dict[str, str]) -> Any:
        """Run it and keep what it gave; the event and its details when it failed."""
        hidden = {"PROMPT": prompt, "EXTRA_PNGINFO": extra_data.get("extra_pnginfo"), "UNIQUE_ID": node_id}
        given: dict[str, Any] = {}
        try:
            node_class = _class_of(prompt, node_id)
            types = node_class.INPUT_TYPES()
            known = {**types.get("required", {}), **types.get("optional", {})}
            for name, value in prompt[node_id]["inputs"].items():
                if name in known:
                    given[name] = self._results[signatures[value[0]]][0][value[1]] if _is_link(value) else value
            given.update({name: hidden.get(kind) for name, kind in types.get("hidden", {}).items()})
            nodes.before_node_execution()
            answer = getattr(node_class(), node_class.FUNCTION)(**given)
            ui, values = (answer.get("ui", {}), answer.get("result", ())) if isinstance(answer, dict) else ({}, answer)
            self._results[signatures[node_id]] = (tuple(values), ui)
            return None
        except InterruptProcessingException:
            logging.info("Processing interrupted")
            return "execution_interrupted", {}
        except Exception as error:  # a pack's own code
            logging.error(f"!!! Exception during processing !!! {error}")
            logging.error(traceback.format_exc())
            plain = (int, float, bool, str, type(None))
            return "execution_error", {
                "exception_message": str(error),
                "exception_type": _full_name(type(error)),
                "traceback": traceback.format_tb(error.__traceback__),
                "current_inputs": {name: [value if isinstance(value, plain) else str(value)[:200]] for name, value in given.items()},
                "current_outputs": [],
            }
