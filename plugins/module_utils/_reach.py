# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Can this machine talk to the servers behind these addresses? Nothing is sent but a greeting.

Runs on Python 3.8 too, so that the preflight can say which Python is missing.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

HIDDEN = "***"
WEB_PORTS = {"http": 80, "https": 443}
SSH_PORT = 22
# What a proxy answers when it is the proxy that has the problem.
PROXY_STATUS = {407, 502, 503, 504}
# Parameters of a query that a server would take as a header too, and all whose values nobody should see.
TOKEN_PARAMETERS = {"access_token", "api_key", "apikey", "token"}
SECRET_PARAMETERS = TOKEN_PARAMETERS | {"auth", "key", "password", "secret"}

_SCP_LIKE = re.compile(r"^(?P<user>[^@/\s:]+)@(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):(?!//)(?P<path>\S+)$")


class AddressError(ValueError):
    """The address is none that a repository or a model can have."""


@dataclass(frozen=True)
class Address:
    """Where a greeting goes: one per server, however many files lie on it."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.scheme == "file":
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_address(url: str) -> Address:
    if not url or any(character.isspace() or not character.isprintable() for character in url):
        raise AddressError("is empty or has spaces or control characters in it")
    if url.startswith("/"):
        return Address(scheme="file", path=url)
    scp = _SCP_LIKE.match(url)
    if scp:
        return Address(scheme="ssh", host=scp["host"].strip("[]"), port=SSH_PORT)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressError(f"is not an address: {error}") from None
    if parts.scheme == "file":
        return Address(scheme="file", path=parts.path)
    if parts.scheme not in {"http", "https", "ssh"}:
        raise AddressError(f"has the scheme '{parts.scheme}', known are https, http, ssh, file, user@host:path and an absolute path")
    if not host:
        raise AddressError("names no host")
    return Address(scheme=parts.scheme, host=host, port=port or WEB_PORTS.get(parts.scheme, SSH_PORT))


def hide_credentials(url: str) -> str:
    """The address with each password, token and web user replaced; SSH's user name is no secret and stays."""
    if _SCP_LIKE.match(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url if "@" not in url else HIDDEN
    user, at, host = parts.netloc.rpartition("@")
    if at:
        name, colon, _password = user.partition(":")
        if parts.scheme in WEB_PORTS:
            user = HIDDEN
        elif colon:
            user = f"{name}:{HIDDEN}"
    query = "&".join(_hide_parameter(parameter) for parameter in parts.query.split("&"))
    if not at and query == parts.query:
        return url
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}", query=query))


def model_addresses(models: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where models come from, as addresses without secrets; of those only that have no second address to turn to."""
    listed = [[url for url in (model.get("url"), *(model.get("urls") or ())) if url] for model in models]
    addresses = [_model_address(str(urls[0]).strip()) for urls in listed if len(urls) == 1]
    return list(dict.fromkeys(address for address in addresses if address))


def _model_address(url: str) -> str:
    """Tokens that a person wrote into an address are the module's business, and a signature is a secret too."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return hide_credentials(url)
    if url.lower().startswith("urn:air:"):
        return "https://civitai.com"
    if parts.scheme == "file":
        path = unquote(parts.path)
        return "" if " " in path else path  # an address has no blanks; the module will see that file
    if parts.scheme in WEB_PORTS:
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
    return hide_credentials(url.replace("ssh+store:", "ssh:", 1))


def reach_all(addresses: set[Address], timeout: float) -> dict[Address, str]:
    """Greet every server at once; the answer is why it cannot be reached, or nothing."""
    answers: dict[Address, str] = {}

    def ask(address: Address) -> None:
        answers[address] = reach(address, timeout)

    # Daemons, because a name server that is silent holds its thread for longer than anyone wants to wait.
    threads = [threading.Thread(target=ask, args=(address,), daemon=True) for address in addresses]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 2 * timeout
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {address: answers.get(address, f"no answer within {2 * timeout:g} seconds") for address in addresses}


def reach(address: Address, timeout: float) -> str:
    try:
        if address.scheme == "file":
            return "" if Path(address.path).exists() else "there is no such path on the machine"
        if address.scheme == "ssh":
            return _greet_ssh(address, timeout)
        return _greet_web(address, timeout)
    except Exception as error:  # one odd server must not keep the others' answers from the reader
        return describe(error, timeout)


def describe(error: BaseException, timeout: float) -> str:
    """Say which of the ways to fail it was, because each has another person to call."""
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        return describe(error.reason, timeout)
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved (DNS)"
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused: nothing listens there"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return f"it does not answer within {timeout:g} seconds"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {getattr(error, 'verify_message', '') or getattr(error, 'reason', '') or error}"
    if isinstance(error, http.client.HTTPException):
        return "what answers there does not speak HTTP"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _greet_ssh(address: Address, timeout: float) -> str:
    with socket.create_connection((address.host, address.port), timeout) as connection:
        connection.settimeout(timeout)
        heard = b""
        # A server may say other lines before its version.
        while not heard.startswith(b"SSH-") and b"\nSSH-" not in heard and len(heard) < 4096:
            more = connection.recv(256)
            if not more:
                return "what answers there does not speak SSH"
            heard += more
    return "" if b"SSH-" in heard else "what answers there does not speak SSH"


class _StayHere(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer; where it leads is nobody's business here."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def _greet_web(address: Address, timeout: float) -> str:
    request = urllib.request.Request(f"{address}/", method="HEAD")  # noqa: S310 - parse_address let only http and https through
    try:
        with urllib.request.build_opener(_StayHere).open(request, timeout=timeout):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        proxied = address.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(f"{address.host}:{address.port}")
        return f"the proxy answers {error.code}" if proxied and error.code in PROXY_STATUS else ""


def _hide_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    return f"{name}={HIDDEN}" if equals and value and name.lower() in SECRET_PARAMETERS else parameter
