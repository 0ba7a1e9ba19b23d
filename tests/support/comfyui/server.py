# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The HTTP and WebSocket side."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import mimetypes
import os
import sys
import time
import traceback
import urllib.parse
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import folder_paths
import nodes
from aiohttp import WSMsgType, web
from comfy.cli_args import args
from comfy.model_management import device, ram
from comfyui_version import __version__
from execution import PromptExecutor, PromptQueue, validate_prompt

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# The owners' fork names each socket itself, whatever ?clientId= says, and takes prompts on it.
FORK_WS = os.environ.get("STANDIN_FORK_WS") == "1"
NO_PROMPT = {"type": "no_prompt", "message": "No prompt provided", "details": "No prompt provided", "extra_info": {}}


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


@web.middleware
async def guard_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A page of another site may not use a program on loopback; any other host gets no protection, as in the real one."""
    host = urllib.parse.urlsplit("//" + request.headers.get("Host", "").lower())
    origin = urllib.parse.urlsplit(request.headers.get("Origin", "").lower())
    if _is_loopback(host.hostname) and origin.hostname:
        same_port = host.port == origin.port or None in (host.port, origin.port)
        if host.hostname != origin.hostname or not same_port:
            logging.warning(f"WARNING: request with non matching host and origin {host.netloc} != {origin.netloc}, returning 403")
            return web.Response(status=403)
    return web.Response() if request.method == "OPTIONS" else await handler(request)


@web.middleware
async def allow_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = web.Response() if request.method == "OPTIONS" else await handler(request)
    response.headers["Access-Control-Allow-Origin"] = args.enable_cors_header
    response.headers["Access-Control-Allow-Methods"] = "POST, GET, DELETE, PUT, OPTIONS"
    response.headers["Access-Control-Allow-Headers"] = "Content-Type, Authorization"
    response.headers["Access-Control-Allow-Credentials"] = "true"
    return response


def node_info(name: str) -> dict[str, Any]:
    node_class = nodes.NODE_CLASS_MAPPINGS[name]
    types = node_class.INPUT_TYPES()
    outputs = node_class.RETURN_TYPES
    return {
        "input": types,
        "input_order": {category: list(inputs) for category, inputs in types.items()},
        "output": outputs,
        "output_is_list": getattr(node_class, "OUTPUT_IS_LIST", [False] * len(outputs)),
        "output_name": getattr(node_class, "RETURN_NAMES", outputs),
        "name": name,
        "display_name": nodes.NODE_DISPLAY_NAME_MAPPINGS.get(name, name),
        "description": getattr(node_class, "DESCRIPTION", ""),
        "python_module": getattr(node_class, "RELATIVE_PYTHON_MODULE", "nodes"),
        "category": getattr(node_class, "CATEGORY", "sd"),
        "output_node": getattr(node_class, "OUTPUT_NODE", False) is True,
    }


class PromptServer:
    instance: PromptServer

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        PromptServer.instance = self  # packs add routes through it
        self.loop = loop
        self.messages: asyncio.Queue[tuple[str, Any, str | None]] = asyncio.Queue()
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self.number = 0
        self.prompt_queue = PromptQueue(self.queue_updated)
        middleware = allow_origin if args.enable_cors_header else guard_origin
        self.app = web.Application(client_max_size=round(args.max_upload_size * 1024**2), middlewares=[middleware])
        self.routes = web.RouteTableDef()
        for method, path, handler in (
            ("GET", "/", self.get_root),
            ("GET", "/ws", self.websocket),
            ("GET", "/system_stats", self.get_system_stats),
            ("GET", "/object_info", self.get_object_info),
            ("GET", "/object_info/{node_class}", self.get_one_object_info),
            ("GET", "/embeddings", self.get_embeddings),
            ("GET", "/models", self.get_model_types),
            ("GET", "/models/{folder}", self.get_models),
            ("GET", "/extensions", self.get_extensions),
            ("GET", "/prompt", self.get_prompt),
            ("POST", "/prompt", self.post_prompt),
            ("GET", "/queue", self.get_queue),
            ("POST", "/queue", self.post_queue),
            ("GET", "/history", self.get_history),
            ("POST", "/history", self.post_history),
            ("GET", "/history/{prompt_id}", self.get_one_history),
            ("GET", "/view", self.view),
            ("POST", "/upload/image", self.upload_image),
            ("POST", "/interrupt", self.post_interrupt),
            ("POST", "/free", self.post_free),
        ):
            self.routes.route(method, path)(handler)
        logging.info(f"[Prompt Server] web root: {args.front_end_root or Path(folder_paths.base_path, 'web')}")

    def add_routes(self) -> None:
        """After the packs, which may have added some; everything also under /api."""
        routes = [route for route in self.routes if isinstance(route, web.RouteDef)]
        self.app.add_routes([web.RouteDef(one.method, "/api" + one.path, one.handler, one.kwargs) for one in routes])
        self.app.add_routes(self.routes)
        for name, folder in nodes.EXTENSION_WEB_DIRS.items():
            self.app.add_routes([web.static(f"/extensions/{urllib.parse.quote(name)}", folder)])

    # Messages. Those of a prompt go to the client that sent it.

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        self.loop.call_soon_threadsafe(self.messages.put_nowait, (event, data, sid))

    def send_to_client(self, event: str, data: dict[str, Any]) -> None:
        if event == "executing":
            self.last_node_id = data["node"]
        if self.client_id is not None:
            self.send_sync(event, data, self.client_id)

    def queue_updated(self) -> None:
        self.send_sync("status", {"status": self.queue_info()})

    def queue_info(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": self.prompt_queue.remaining()}}

    async def send(self, event: str, data: Any, sid: str | None = None) -> None:
        for socket in list(self.sockets.values()) if sid is None else [self.sockets.get(sid)]:
            if socket is not None:
                try:
                    await socket.send_json({"type": event, "data": data})
                except ConnectionError as error:
                    logging.warning(f"send error: {error}")

    async def publish_loop(self) -> None:
        while True:
            await self.send(*await self.messages.get())

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sid = uuid.uuid4().hex if FORK_WS else request.query.get("clientId") or uuid.uuid4().hex
        self.sockets[sid] = socket
        try:
            if FORK_WS:
                await self.send("client_id", {"client_id": sid}, sid)
            await self.send("status", {"status": self.queue_info(), "sid": sid}, sid)
            if self.client_id == sid and self.last_node_id is not None:
                await self.send("executing", {"node": self.last_node_id}, sid)
            async for message in socket:
                if FORK_WS and message.type == WSMsgType.TEXT:
                    await self.fork_message(json.loads(message.data), sid)
        finally:
            if self.sockets.get(sid) is socket:
                del self.sockets[sid]
        return socket

    async def fork_message(self, message: dict[str, Any], sid: str) -> None:
        if message.get("type") == "ping":
            await self.sockets[sid].send_json({"type": "pong"})
        elif message.get("type") == "prompt":
            status, answer = self.submit({**message.get("data", {}), "client_id": sid})
            await self.send("prompt_queued" if status == 200 else "error", answer, sid)

    # Prompts.

    def submit(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "prompt" not in body:
            return 400, {"error": NO_PROMPT, "node_errors": {}}
        number = float(body["number"]) if "number" in body else -self.number if body.get("front") else self.number
        self.number += "number" not in body
        extra_data = body.get("extra_data", {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        valid, error, outputs, node_errors = validate_prompt(body["prompt"])
        if not valid:
            logging.warning(f"invalid prompt: {error}")
            return 400, {"error": error, "node_errors": node_errors}
        prompt_id = str(uuid.uuid4())
        self.prompt_queue.put((number, prompt_id, body["prompt"], extra_data, outputs))
        return 200, {"prompt_id": prompt_id, "number": number, "node_errors": node_errors}

    async def post_prompt(self, request: web.Request) -> web.Response:
        logging.info("got prompt")
        status, answer = self.submit(await request.json())
        return web.json_response(answer, status=status)

    async def get_prompt(self, request: web.Request) -> web.Response:
        return web.json_response(self.queue_info())

    async def get_queue(self, request: web.Request) -> web.Response:
        running, pending = self.prompt_queue.current()
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def post_queue(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("clear"):
            self.prompt_queue.remove(None)
        self.prompt_queue.remove(body.get("delete", []))
        return web.Response()

    async def get_history(self, request: web.Request) -> web.Response:
        return web.json_response(self.prompt_queue.history(last=int(request.query.get("max_items", 0))))

    async def get_one_history(self, request: web.Request) -> web.Response:
        return web.json_response(self.prompt_queue.history(request.match_info["prompt_id"]))

    async def post_history(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.prompt_queue.forget(None if body.get("clear") else body.get("delete", []))
        return web.Response()

    async def post_interrupt(self, request: web.Request) -> web.Response:
        nodes.interrupt_processing()
        return web.Response()

    async def post_free(self, request: web.Request) -> web.Response:
        self.prompt_queue.forget_results = bool((await request.json()).get("free_memory"))
        return web.Response()

    # What there is.

    async def get_root(self, request: web.Request) -> web.Response:
        return web.Response(text=f"ComfyUI stand-in {__version__}: no interface here, only the API.\n")

    async def get_system_stats(self, request: web.Request) -> web.Response:
        total, free = ram()
        system = {
            "os": os.name,
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": __version__,
            "python_version": sys.version,
            "pytorch_version": "none",
            "embedded_python": False,
            "argv": sys.argv,
            "standin": True,
        }
        return web.json_response({"system": system, "devices": [device()]})

    async def get_object_info(self, request: web.Request) -> web.Response:
        found = {}
        for name in nodes.NODE_CLASS_MAPPINGS:
            try:
                found[name] = node_info(name)
            except Exception:  # a pack's own code; the others are still listed
                logging.error(f"[ERROR] An error occurred while retrieving information for the '{name}' node.")
                logging.error(traceback.format_exc())
        return web.json_response(found)

    async def get_one_object_info(self, request: web.Request) -> web.Response:
        name = request.match_info["node_class"]
        return web.json_response({name: node_info(name)} if name in nodes.NODE_CLASS_MAPPINGS else {})

    async def get_embeddings(self, request: web.Request) -> web.Response:
        return web.json_response([str(Path(name).with_suffix("")) for name in folder_paths.get_filename_list("embeddings")])

    async def get_model_types(self, request: web.Request) -> web.Response:
        return web.json_response(list(folder_paths.folder_names_and_paths))

    async def get_models(self, request: web.Request) -> web.Response:
        folder = request.match_info["folder"]
        if folder not in folder_paths.folder_names_and_paths:
            return web.Response(status=404)
        return web.json_response(folder_paths.get_filename_list(folder))

    async def get_extensions(self, request: web.Request) -> web.Response:
        found = [
            f"/extensions/{urllib.parse.quote(name)}/{path.relative_to(folder).as_posix()}"
            for name, folder in nodes.EXTENSION_WEB_DIRS.items()
            for path in sorted(Path(folder).rglob("*.js"))
        ]
        return web.json_response(found)

    # Files.

    async def view(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        filename, folder = folder_paths.annotated_filepath(query.get("filename", ""))
        if not filename:
            return web.Response(status=404)
        folder = folder or folder_paths.get_directory_by_type(query.get("type", "output"))
        if filename.startswith("/") or ".." in filename or folder is None:
            return web.Response(status=400)
        place = Path(folder, query.get("subfolder", ""))
        if not folder_paths.is_inside(folder, place):
            return web.Response(status=403)
        path = place / Path(filename).name
        if not path.is_file():
            return web.Response(status=404)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return web.FileResponse(path, headers={"Content-Type": kind, "Content-Disposition": f'filename="{path.name}"'})

    async def upload_image(self, request: web.Request) -> web.Response:
        form = await request.post()
        image, kind, subfolder = form.get("image"), str(form.get("type", "input")), str(form.get("subfolder", ""))
        folder = folder_paths.get_directory_by_type(kind)
        if not isinstance(image, web.FileField) or not image.filename or folder is None:
            return web.Response(status=400)
        path = Path(folder, subfolder, image.filename)
        if not folder_paths.is_inside(folder, path):
            return web.Response(status=400)
        path.parent.mkdir(parents=True, exist_ok=True)
        data, stem, number = image.file.read(), path.stem, 1
        while form.get("overwrite") not in ("true", "1") and path.exists() and path.read_bytes() != data:
            path = path.with_name(f"{stem} ({number}){path.suffix}")
            number += 1
        path.write_bytes(data)
        return web.json_response({"name": path.name, "subfolder": subfolder, "type": kind})

    # Life.

    def work(self) -> None:
        """One prompt after the other, in a thread of its own, for ever."""
        executor = PromptExecutor(self.send_to_client)
        while True:
            _, prompt_id, prompt, extra_data, outputs = self.prompt_queue.take()
            if self.prompt_queue.forget_results:
                self.prompt_queue.forget_results = False
                executor.reset()
            self.client_id = extra_data.get("client_id")
            started = time.perf_counter()
            result, status = executor.execute(prompt, prompt_id, extra_data, outputs)
            self.prompt_queue.done(result, status)
            self.send_to_client("executing", {"node": None, "prompt_id": prompt_id})
            logging.info(f"Prompt executed in {time.perf_counter() - started:.2f} seconds")

    async def run(self, addresses: list[str], port: int) -> None:
        runner = web.AppRunner(self.app, access_log=None)
        await runner.setup()
        logging.info("Starting server\n")
        for address in addresses:
            await web.TCPSite(runner, address, port).start()
            shown = f"[{address}]" if ":" in address else address
            logging.info(f"To see the GUI go to: http://{shown}:{port}")
        await self.publish_loop()
