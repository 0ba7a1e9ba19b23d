# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A stand-in for the interfaces of Hugging Face, CivitAI and the Comfy registry, with answers in their shapes.

/api/<kind>/<repository>/revision/<revision>      Hugging Face: what a repository is
/api/<kind>/<repository>/paths-info/<revision>    and what files in it are (POST, a form)
/api/models?search=                               and repositories with their files
/api/v1/model-versions/<id>, …/by-hash/<SHA256>   CivitAI: a version of a model
/api/v1/models/<id>, /api/v1/models?query=        a model, models
/comfy-nodes/<class>/node, /nodes/<id>            the Comfy registry: packs
/nodes/<id>/install                               which counts as an installation
/bulk/nodes/versions                              versions of packs (POST)
/files/<name>                                     a plain file, asked for by range
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, quote, unquote, urlsplit

COMMIT = "462165984030d82259a11f4367a4eed129e94a7b"
REVISIONS = ("main", "refs/pr/3", COMMIT)


@dataclass
class Repository:
    files: dict[str, dict] = field(default_factory=dict)
    kind: str = "models"
    gated: str | bool = False
    locked: bool = False  # even its list of files
    renamed: str | None = None


def stored_file(sha256: str, size: int, status: str = "safe") -> dict:
    """A file in LFS, as paths-info describes it."""
    return {
        "type": "file",
        "oid": "c14ba1d0a1d2fe4b4e5ae0fd4f2a6e1bd5c1a7a1",
        "size": size,
        "lfs": {"oid": sha256, "size": size, "pointerSize": 135},
        "xetHash": "f" * 64,
        "securityFileStatus": {"status": status, "pickleImportScan": {"status": "innocuous"}},
    }


def civitai_file(number: int, name: str, sha256: str, **values) -> dict:
    return {
        "id": number,
        "name": name,
        "type": "Model",
        "sizeKB": 2082642.474609375,
        "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp16"},
        "pickleScanResult": "Success",
        "virusScanResult": "Success",
        "hashes": {"AutoV2": sha256[:10].upper(), "SHA256": sha256.upper(), "CRC32": "0A1B2C3D"},
        "primary": False,
        "downloadUrl": "https://civitai.com/api/download/models/1?type=Model&format=SafeTensor",
        **values,
    }


def civitai_version(number: int, model: int, *files: dict, **values) -> dict:
    return {"id": number, "modelId": model, "name": "v1", "status": "Published", "model": {"name": "A"}, "files": list(files), **values}


def registry_version(version: str, status: str = "Active", **values) -> dict:
    return {
        "id": "1d8a4d4e-0b5c-4a4c-9f69-0a6d4cf0f1f5",
        "version": version,
        "status": f"NodeVersionStatus{status}",
        "downloadUrl": f"https://cdn.example.com/{version}/node.zip",
        "deprecated": False,
        "dependencies": ["pillow>=10.3.0"],
        **values,
    }


def registry_node(pack_id: str, **values) -> dict:
    return {
        "id": pack_id,
        "name": f"{pack_id} for everyone",
        "repository": f"https://github.com/example/{pack_id}",
        "publisher": {"id": "example", "name": "Example"},
        "status": "NodeStatusActive",
        "latest_version": {**registry_version("1.2.0"), "node_id": pack_id},
        **values,
    }


class HubApi:
    """A running stand-in: `url` is where it listens, `requests` what it was asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.civitai: dict[int, dict] = {}
        self.nodes: dict[str, dict] = {}
        self.classes: dict[str, str] = {}
        self.versions: dict[tuple[str, str], dict] = {}
        self.files: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.requests: list[SimpleNamespace] = []
        self.installations = 0
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> HubApi:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    hub: HubApi

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.hub.requests.append(SimpleNamespace(method=self.command, path=unquote(parts.path), headers=dict(self.headers), body=body))
        if "python-urllib" in self.headers.get("User-Agent", "").lower():
            self.send(b"error code: 1010", 403)
        elif match := re.fullmatch(r"/api/(models|datasets|spaces)/(.+)/(revision|paths-info)/([^/]+)", parts.path):
            self.hugging_face(match[1], unquote(match[2]), match[3], unquote(match[4]), body)
        elif parts.path == "/api/models":
            self.send([self.listed(name) for name in self.hub.repositories if self.query["search"].lower() in name.lower()])
        elif match := re.fullmatch(r"/api/v1/(model-versions/by-hash|model-versions|models)/(\w+)", parts.path):
            self.civitai(*match.groups())
        elif parts.path == "/api/v1/models":
            versions = self.hub.civitai.values()
            self.send({"items": [{"id": version["modelId"], "modelVersions": [version]} for version in versions], "metadata": {}})
        elif match := re.fullmatch(r"/comfy-nodes/([^/]+)/node", parts.path):
            pack_id = self.hub.classes.get(unquote(match[1]))
            self.send({"message": "no node found"}, 404) if pack_id is None else self.send(self.hub.nodes[pack_id])
        elif parts.path == "/bulk/nodes/versions" and self.command == "POST":
            self.send({"node_versions": [self.bulk(wanted) for wanted in json.loads(body)["node_versions"]]})
        elif match := re.fullmatch(r"/nodes/([^/]+)", parts.path):
            self.node(match[1])
        elif re.fullmatch(r"/nodes/[^/]+/install", parts.path):
            self.hub.installations += 1
            self.send(registry_version("1.2.0"))
        elif parts.path.removeprefix("/files/") in self.hub.files:
            content, headers = self.hub.files[parts.path.removeprefix("/files/")]
            headers = {"Content-Range": f"bytes 0-0/{len(content)}", "Content-Type": "application/octet-stream", **headers}
            self.send(content[:1], 206, **headers)
        else:
            self.send({"error": "Not Found"}, 404)

    do_POST = do_GET

    def hugging_face(self, kind: str, name: str, view: str, revision: str, body: bytes) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None or repository.kind != kind:
            self.send({"error": "Repository not found"}, 401, **{"X-Error-Code": "RepoNotFound"})
        elif repository.renamed:
            self.send(b"", 307, Location=f"/api/{kind}/{repository.renamed}/{view}/{quote(revision, safe='')}")
        elif repository.locked:
            words = {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to model {name} is restricted."}
            self.send({"error": "restricted"}, 403 if "Authorization" in self.headers else 401, **words)
        elif revision not in REVISIONS:
            self.send({"error": f"Invalid rev id: {revision}"}, 404, **{"X-Error-Code": "RevisionNotFound"})
        elif view == "revision":
            self.send({"_id": "64b1", "id": name, "sha": COMMIT, "gated": repository.gated, "disabled": False})
        else:
            paths = parse_qs(body.decode()).get("paths", [])
            self.send([{"path": path, **repository.files[path]} for path in paths if path in repository.files])

    def listed(self, name: str) -> dict:
        return {"id": name, "siblings": [{"rfilename": path} for path in self.hub.repositories[name].files]}

    def civitai(self, view: str, value: str) -> None:
        for version in self.hub.civitai.values():
            digests = [file["hashes"]["SHA256"] for file in version["files"]]
            if view == "models" and str(version["modelId"]) == value:
                self.send({"id": version["modelId"], "modelVersions": [{**version, "modelId": None}]})
                return
            if (view.endswith("by-hash") and value in digests) or (view == "model-versions" and str(version["id"]) == value):
                self.send(version)
                return
        self.send({"error": "Model not found"}, 404)

    def node(self, pack_id: str) -> None:
        if pack_id in self.hub.nodes:
            self.send(self.hub.nodes[pack_id])
        elif pack_id.lower() in self.hub.nodes:
            self.send(b"", 302, Location=f"/nodes/{pack_id.lower()}")
        else:
            self.send({"message": "Node not found"}, 404)

    def bulk(self, wanted: dict) -> dict:
        version = self.hub.versions.get((wanted["node_id"], wanted["version"]))
        if version is None:
            return {"identifier": wanted, "status": "not_found"}
        return {"identifier": wanted, "status": "success", "node_version": version}

    def send(self, answer: object, status: int = 200, **headers: str) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""
