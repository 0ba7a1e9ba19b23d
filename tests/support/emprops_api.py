# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A stand-in for EmProps' own API, as far as it tells which packs a machine should have.

    GET  /custom-nodes/defaults         the packs that are default ones
    GET  /custom-nodes/name/<name>      one pack, as the database has it
    POST /workflows/dependencies        rows of workflows, by workflow_names or workflow_ids; unknown ones have none
    GET  /collections/<id>              a collection with its components, unless `collections_served` is false
    POST /collections/dependencies      the workflow of each collection, and its packs without their refs
    GET  /health                        200

What it knows is a dict, `api.data`, or a JSON file that is read anew for each request:
    {"custom_nodes": [pack(…), …], "workflows": {"<name>": ["<pack>", …]}, "collections": {"<id>": "<workflow>"},
     "collections_served": true, "answers": {"<path>": <any JSON>}, "faults": {"<path>": "<fault>"}}
An answer stands in for the whole envelope at its path. FAULTS says what faults there are; `NAME*2` is for the first two requests,
a number is a status, `to:URL` redirects there, and the path `*` is any.
"""

from __future__ import annotations

import argparse
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

FAULTS = {
    "html": "a page with status 200",
    "broken": "JSON that ends half-way",
    "huge": "ten million bytes of JSON",
    "deep": "lists in lists in lists",
    "error": "status 200 with an error in it",
    "hangup": "the connection is closed instead of an answer",
    "silent": "no answer comes",
}
PAGE = b"<!DOCTYPE html>\n<html><body>Bad gateway</body></html>\n"
SETTINGS = ("branch", "commit", "recursive", "requirements")


def pack(name: str, **values) -> dict:
    """A pack as the API lists it."""
    return {
        "id": f"id-of-{name}",
        "name": name,
        "repositoryUrl": f"https://github.com/example/{name}",
        "description": name,
        "branch": None,
        "commit": None,
        "recursive": False,
        "requirements": True,
        "env": None,
        "is_default": False,
        "install_order": None,
        "createdAt": "2025-08-13T00:00:00.000Z",
        "updatedAt": "2025-08-13T00:00:00.000Z",
        **values,
    }


def database_row(node: dict) -> dict:
    """The same as the database has it, which some answers are."""
    return {
        "id": node["id"],
        "name": node["name"],
        "download_url": node["repositoryUrl"],
        "description": node["description"],
        "is_env_required": node["env"] is not None,
        "env_conf": node["env"],
        "hash": None,
        "install_settings": {key: node[key] for key in SETTINGS},
        "is_default": node["is_default"],
        "install_order": node["install_order"],
    }


class EmpropsApi:
    """A running stand-in: `url` is where it listens, `requests` what it was asked. With a token, no other one is let in."""

    def __init__(self, data: dict | Path | None = None, listen: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        self._data = {} if data is None else data
        self.token = token
        self.requests: list[SimpleNamespace] = []
        self.met: Counter[tuple[str, str]] = Counter()
        self.closing = threading.Event()

        class Handler(_Handler):
            api = self

        self._server = ThreadingHTTPServer((listen, port), Handler)
        self._server.daemon_threads = True
        self.host = f"{listen}:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> EmpropsApi:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Nothing listens there any more."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def data(self) -> dict:
        return json.loads(self._data.read_text(encoding="utf-8")) if isinstance(self._data, Path) else self._data

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    api: EmpropsApi

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.api.requests.append(SimpleNamespace(method=self.command, path=path, headers=dict(self.headers), body=body))
        data = self.api.data
        if self._fail(path, data.get("faults", {})):
            return
        if path == "/health":
            self._send(200, b"OK", "text/html")
        elif self.api.token and self.headers.get("Authorization") != f"Bearer {self.api.token}":
            self._answer(None, 401, "Invalid API key")
        elif path in data.get("answers", {}):
            self._send(200, json.dumps(data["answers"][path]).encode())
        else:
            self._route(path, body, data)

    do_POST = do_GET

    def _route(self, path: str, body: bytes, data: dict) -> None:
        nodes = {node["name"].lower(): node for node in data.get("custom_nodes", [])}
        collections = data.get("collections", {})
        first, _slash, name = path.removeprefix("/").partition("/")
        if (self.command, path) == ("GET", "/custom-nodes/defaults"):
            self._answer([node for node in nodes.values() if node["is_default"]])
        elif self.command == "GET" and path.startswith("/custom-nodes/name/"):
            node = nodes.get(path.removeprefix("/custom-nodes/name/").lower())
            self._answer(database_row(node)) if node else self._answer(None, 404, "Custom node not found")
        elif (self.command, path) == ("POST", "/workflows/dependencies"):
            self._workflows(json.loads(body), data.get("workflows", {}), nodes)
        elif (self.command, path) == ("POST", "/collections/dependencies"):
            rows = [self._dependencies(wanted, data, nodes) for wanted in json.loads(body)["collection_ids"]]
            self._answer({"collections": rows, "summary": {"total_collections": len(rows)}})
        elif self.command == "GET" and first == "collections" and data.get("collections_served", True):
            if name in collections:
                component = self._row(collections[name], data["workflows"], nodes)
                components = [{"id": component["workflow_id"], "name": component["workflow_name"], **component}]
                self._answer({"id": name, "name": f"Collection {name}", "components": components})
            else:
                self._answer(None, 404, "Collection not found")
        else:
            self._send(404, f"<!DOCTYPE html>\n<pre>Cannot {self.command} {path}</pre>\n".encode(), "text/html")

    def _workflows(self, wanted: dict, workflows: dict, nodes: dict) -> None:
        if "workflow_names" not in wanted and "workflow_ids" not in wanted:
            self._answer(None, 400, "Either workflow_ids or workflow_names must be provided")
            return
        rows = [self._row(name, workflows, nodes) for name in workflows]
        names, ids = wanted.get("workflow_names", []), wanted.get("workflow_ids", [])
        self._answer([row for row in rows if row["workflow_name"] in names or row["workflow_id"] in ids])

    def _row(self, name: str, workflows: dict, nodes: dict) -> dict:
        packs = [nodes[each.lower()] for each in workflows[name]]
        return {"workflow_id": f"id-of-{name}", "workflow_name": name, "models": [], "custom_nodes": packs}

    def _dependencies(self, collection: str, data: dict, nodes: dict) -> dict:
        row = {"collection_id": collection, "collection_title": None, "workflow_id": None, "workflow_name": None}
        workflow = data.get("collections", {}).get(collection)
        if workflow is None:
            return {**row, "models": [], "custom_nodes": []}
        found = self._row(workflow, data["workflows"], nodes)
        bare = [{"id": node["id"], "name": node["name"], "downloadUrl": node["repositoryUrl"]} for node in found["custom_nodes"]]
        return {**row, **found, "custom_nodes": bare}

    def _fail(self, path: str, faults: dict) -> bool:
        """Answer with the fault that is asked for, if there is one."""
        key = path if path in faults else "*"
        fault, _star, times = faults.get(key, "").partition("*")
        self.api.met[key, fault] += 1
        if not fault or (times and self.api.met[key, fault] > int(times)):
            return False
        if fault == "html":
            self._send(200, PAGE, "text/html; charset=utf-8")
        elif fault == "broken":
            self._send(200, b'{"data": [{"name": ')
        elif fault == "huge":
            self._send(200, json.dumps({"data": ["x" * 10_000_000], "error": None}).encode())
        elif fault == "deep":
            self._send(200, b"[" * 500_000)
        elif fault == "error":
            self._answer(None, error="the database is\x1b[31m on holiday")
        elif fault == "hangup":
            self.close_connection = True
        elif fault == "silent":
            self.close_connection = True
            self.api.closing.wait()
        elif fault.startswith("to:"):
            self._send(302, b"", "text/plain", Location=fault.removeprefix("to:"))
        else:
            self._answer(None, int(fault), "Asked for by the test")
        return True

    def _answer(self, data: object, status: int = 200, error: str | None = None) -> None:
        self._send(status, json.dumps({"data": data, "error": error}).encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json; charset=utf-8", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:  # whoever asked has heard enough
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: tests are noisy enough."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer as the part of EmProps' API does that lists custom-node packs.")
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--data", type=Path, required=True, help="JSON file with what it knows, read anew for each request")
    parser.add_argument("--token", help="the one bearer token that is let in (default: all are)")
    options = parser.parse_args()
    with EmpropsApi(options.data, options.listen, options.port, options.token) as api:
        print(f"EmProps API on {api.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
