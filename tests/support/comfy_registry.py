# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A stand-in for the Comfy registry and the storage of its archives, which listens on a port of its own.

/nodes/<id>                                        a pack; 302 to the id in small letters
/nodes/<id>/versions, /nodes/<id>/versions/<v>     its versions
/nodes/<id>/install                                which counts as an installation
/bulk/nodes/versions                               versions of packs (POST)
storage: /<id>/<version>/node.zip                  the archive

`faults["<id>@<version>"]` spoils its archive; a list is used up, one fault per request. FAULTS says what there is.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from support.hub_api import registry_node, registry_version

FAULTS = {
    "404": "it is not there",
    "503": "not available",
    "truncate": "the body ends half-way",
    "half": "the body is half of it, and said to be that",
    "chunked": "the body has no declared length",
    "other": "the same files, and one more",
    "html": "a web page with status 200",
    "gzip": "the body is said to be compressed",
    "slow": "one byte, and another one ten times a second",
    "elsewhere": "it is on a third port: another host, as far as HTTP goes",
    "loop": "a redirect to itself",
}


def zip_of(files: Mapping[str, str | bytes]) -> bytes:
    """An archive of these files, as the registry's: deflated, with the files at the top; the same bytes each time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return content.getvalue()


class Registry:
    """A running registry: `url` and `storage_url` are where it listens, `requests` the paths it was asked for, of all ports."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict] = {}
        self.versions: dict[tuple[str, str], dict] = {}
        self.archives: dict[tuple[str, str], bytes] = {}
        self.faults: dict[str, str | list[str]] = {}
        self.requests: list[str] = []
        self.installations = 0
        self.closing = threading.Event()
        self._servers = [self._serve(answer) for answer in (_Handler.registry_answer, _Handler.storage_answer, _Handler.send_archive)]
        self.url, self.storage_url, self.elsewhere_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def __enter__(self) -> Registry:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def publish(self, pack_id: str, version: str, content: Mapping[str, str | bytes] | bytes, status: str = "Active", **values) -> dict:
        """Have this version, as the pack's latest one. Returns it as the registry describes it, to be changed at will."""
        url = f"{self.storage_url}/{pack_id}/{version}/node.zip"
        described = registry_version(version, status, downloadUrl=url, node_id=pack_id, **values)
        self.archives[pack_id, version] = content if isinstance(content, bytes) else zip_of(content)
        self.versions[pack_id, version] = described
        self.nodes.setdefault(pack_id, registry_node(pack_id))["latest_version"] = described
        return described

    def fault(self, key: str) -> str:
        faults = self.faults.get(key, "")
        if isinstance(faults, list):
            return faults.pop(0) if faults else ""
        return faults

    def _serve(self, answer) -> ThreadingHTTPServer:
        registry = self

        class Handler(_Handler):
            pass

        Handler.registry, Handler.answer = registry, answer
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        return server


class _Handler(BaseHTTPRequestHandler):
    registry: Registry

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.registry.requests.append(path)
        self.answer(path)

    do_POST = do_GET

    def registry_answer(self, path: str) -> None:
        registry = self.registry
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/bulk/nodes/versions" and self.command == "POST":
            self.send({"node_versions": [self.bulk(wanted) for wanted in json.loads(body)["node_versions"]]})
        elif match := re.fullmatch(r"/nodes/([^/]+)", path):
            if match[1] in registry.nodes:
                self.send(registry.nodes[match[1]])
            elif match[1].lower() in registry.nodes:
                self.send(b"", 302, Location=f"/nodes/{match[1].lower()}")
            else:
                self.send({"message": "Node not found"}, 404)
        elif match := re.fullmatch(r"/nodes/([^/]+)/versions", path):
            self.send([version for (pack_id, _name), version in registry.versions.items() if pack_id == match[1]])
        elif (match := re.fullmatch(r"/nodes/([^/]+)/versions/([^/]+)", path)) and match.groups() in registry.versions:
            self.send(registry.versions[match.groups()])
        elif match := re.fullmatch(r"/nodes/([^/]+)/install", path):
            registry.installations += 1
            self.send(registry.nodes[match[1]]["latest_version"])
        else:
            self.send({"message": "Not found"}, 404)

    def bulk(self, wanted: dict) -> dict:
        version = self.registry.versions.get((wanted["node_id"], wanted["version"]))
        if version is None:
            return {"identifier": wanted, "status": "not_found"}
        return {"identifier": wanted, "status": "success", "node_version": version}

    def storage_answer(self, path: str) -> None:
        pack_id, version = path.split("/")[1:3]
        fault = self.registry.fault(f"{pack_id}@{version}")
        content = self.registry.archives.get((pack_id, version), b"")
        if fault.isdigit() or not content:
            self.send({"message": "no"}, int(fault or 404))
        elif fault == "html":
            self.send(b"<!DOCTYPE html><title>Sign in</title>", **{"Content-Type": "text/html; charset=utf-8"})
        elif fault == "elsewhere":
            self.send(b"", 302, Location=self.registry.elsewhere_url + path)
        elif fault == "loop":
            self.send(b"", 302, Location=path)
        else:
            self.send_archive(path, fault)

    def send_archive(self, path: str, fault: str = "") -> None:
        pack_id, version = path.split("/")[1:3]
        content = self.registry.archives[pack_id, version]
        if fault == "other":
            content = _with_one_more(content)
        if fault == "half":
            content = content[: len(content) // 2]
        head = {"Content-Type": "application/zip", "Content-Length": str(len(content))}
        if fault == "gzip":
            head["Content-Encoding"] = "gzip"
        if fault == "chunked":
            del head["Content-Length"]  # to the end of the connection
        self.send_response(200)
        for name, value in head.items():
            self.send_header(name, value)
        self.end_headers()
        if fault == "slow":
            for byte in content:
                self.wfile.write(bytes([byte]))
                if self.registry.closing.wait(0.1):
                    return
        self.wfile.write(content[: len(content) // 2] if fault == "truncate" else content)

    def send(self, answer: object, status: int = 200, **headers: str) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # whoever asked has heard enough
            super().handle()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def _with_one_more(content: bytes) -> bytes:
    changed = io.BytesIO(content)
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr(zipfile.ZipInfo("added_later.py"), "import os\n")
    return changed.getvalue()
