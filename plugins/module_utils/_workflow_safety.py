# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The gate for what strangers write into workflows: names, folders and addresses of models, and texts that may be secrets.

What passes here, the module `models` takes too; its own rules for addresses are used, not repeated.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._model_paths import NOT_MODELS
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import TOKEN_SHAPES, DownloadError, parse_wanted_url
from ansible_collections.emprops.comfyui.plugins.module_utils._reach import HIDDEN, SECRET_PARAMETERS, WEB_PORTS

LONGEST_PART = 255
LONGEST_PATH = 1024
LONGEST_URL = 2048
LONGEST_MESSAGE = 200
# A secret that hides behind this much text is left alone: strings in workflows can be megabytes.
SCANNED = 4096

DEFAULT_HOSTS: tuple[str, ...] = (
    "huggingface.co",
    "hf.co",
    "civitai.com",
    "civitai.red",
    "github.com",
    "raw.githubusercontent.com",
    "media.githubusercontent.com",
    "objects.githubusercontent.com",
    "release-assets.githubusercontent.com",
)
# This word in a list stands for them.
DEFAULT = "default"
# Their addresses end in numbers; the server says the file's name.
_NAMELESS_HOSTS = ("civitai.com", "civitai.red")
# ComfyUI finds settings, code and people's files here.
_FORBIDDEN_DIRECTORIES = NOT_MODELS | {"configs"}

_ORIGIN = re.compile(r"(?:(?P<scheme>https?)://)?(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?", re.IGNORECASE)
# Places that are no web servers: the sources of models that read them judge by these entries themselves.
_ELSEWHERE = re.compile(r"(?:file|ssh|ssh\+store)://\S+", re.IGNORECASE)
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)
# A last label that is a number, decimal, octal or hexadecimal, makes the whole an IP address to a browser.
_IP_ADDRESS = re.compile(r"\[.*|(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_PRIVATE_NAME = re.compile(r"(?:.*\.)?(?:localhost|localdomain|local|internal|intranet|lan|home|corp|arpa)\.?", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(r"token|secret|jwt|session|authkey|passw|apikey|accesskey|credential|signature|authorization")

_TOO_LONG = f"a name has at most {LONGEST_PATH} bytes"
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
# One of these is in every shape; looking for them first spares almost every text the expression above.
_MARK = re.compile(r"hf_|api_org_|sk[-_]|gh[pousr]_|github_pat_|glpat-|AKIA|ASIA|AIza|ya29\.|eyJ|xox|r8_|rpa_|comfyui-|Bearer |-----BEGIN ")
_USER_IN_URL = re.compile(r"(?<=://)[^/?#\s@]*(?:@[^/?#\s@]*)*@")
_ASSIGNMENT = re.compile(
    r"(?P<name>(?:token|secret|password|passwd|api[-_]?key|access[-_]?key|signature|credential|auth|(?<=[?&;])key|(?<=[?&;])sig)"
    r"[\"']?\s?[=:]\s?[\"']?)(?!//)[^\s&;,\"']+",
    re.IGNORECASE,
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PASSWORDS = {"password", "passwd", "passphrase", "pwd", "secret", "secrets", "credential", "credentials"}
_TOKENS = {"token", "apikey", "accesstoken", "authtoken", "authorization", "bearer"}
_KEYS = {"api", "access", "secret", "private", "auth", "account", "license", "civitai", "hf", "huggingface", "openai"}
# Tokens of language and training, not of doors.
_PLAIN_TOKENS = {"bos", "class", "concept", "eos", "image", "instance", "pad", "placeholder", "special", "start", "stop", "trigger", "unk"}
_CHOICES = {
    *("", "none", "null", "nil", "n/a", "na", "no", "yes", "true", "false", "on", "off", "auto", "automatic", "default", "disabled"),
    *("enabled", "undefined", "public", "anonymous", "optional", "hugging face", "huggingface", "civitai", "environment"),
}
_PLACEHOLDER = re.compile(
    r"[^A-Za-z0-9]*|[xX*._-]+|.*(?:\.\.\.|…)"
    r"|\$\{.*\}|\$[A-Z_][A-Z0-9_]*|%\w+%|<.*>|\[.*\]|\{.*\}"
    r"|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"  # the name of an environment variable
    r"|(?i:(?:.*[\s_-])?(?:your|enter|insert|paste|put|replace|example|placeholder|change|changeme|dummy|here)(?:[\s_-].*)?)",
    re.DOTALL,
)


class RefusedError(ValueError):
    """What a workflow says breaks a rule; the message is the rule, and never holds what was refused."""


class HostsError(ValueError):
    """The operator's list of allowed hosts cannot be used."""


@dataclass(frozen=True)
class CheckedUrl:
    url: str
    file_name: str | None
    secret_removed: bool


def check_model_name(value: str) -> str:
    """The name with plain slashes, which may lead through sub-folders. Raises RefusedError."""
    if isinstance(value, str) and "://" in value:
        raise RefusedError("it is an address, not a name")
    return _check_path(value)


def check_directory(value: str) -> str:
    """A key of ComfyUI's folders, or a path below models, without slashes at its end. Raises RefusedError."""
    path = _check_path(value.rstrip(" ").rstrip("/\\") if isinstance(value, str) else value)
    if path.startswith("~") or "$" in path or ":" in path:
        raise RefusedError("a folder has no ~ in front and no $ or : in it")
    if path.partition("/")[0].casefold() in _FORBIDDEN_DIRECTORIES:
        raise RefusedError("it is not a folder for models")
    return path


def check_hosts(allowed_hosts: Sequence[str]) -> None:
    """Raise HostsError where an entry is no host and no origin, before any address is judged by the list."""
    _parse_hosts(tuple(allowed_hosts))


def is_named_origin(origin: tuple[str, str, int], allowed_hosts: Sequence[str]) -> bool:
    """Is this (scheme, host, port) on the list with its scheme, and so allowed to be private or unencrypted?"""
    return _parse_hosts(tuple(allowed_hosts)).get(origin, False)


def is_private_host(host: str) -> bool:
    """Is it an IP address in any spelling, or a name that no public host has?"""
    return bool(_IP_ADDRESS.fullmatch(host) or _PRIVATE_NAME.fullmatch(host))


def check_url(url: str, allowed_hosts: Sequence[str]) -> CheckedUrl:
    """The address to download from, without secrets. Raises RefusedError, and HostsError as check_hosts does.

    A host on the list means https there; `scheme://host:port` means exactly that, private or unencrypted as it may be;
    `default` means DEFAULT_HOSTS.
    """
    origins = _parse_hosts(tuple(allowed_hosts))
    if not isinstance(url, str):
        raise RefusedError("an address is a text")
    url = url.strip(" \t\r\n")
    if len(url) > LONGEST_URL:
        raise RefusedError(f"an address has at most {LONGEST_URL} characters")
    if _has_invisible(url) or "\\" in url:
        raise RefusedError("an address has no backslashes, line breaks or invisible characters")
    match = _URL.fullmatch(url)
    if match is None:
        raise RefusedError("an address is https://host/path, with a plain host name, without a user name or password")
    scheme, host = match["scheme"].lower(), match["host"].lower()
    port = int(match["port"] or WEB_PORTS[scheme])
    if (scheme, host, port) not in origins:
        raise RefusedError(_why_not(scheme, host, port))
    path = match["path"] or "/"
    segments = [unquote(segment) for segment in path.split("/")]
    if any(segment in (".", "..") or _has_invisible(segment) for segment in segments):
        raise RefusedError("the path of an address leads straight down and has no control characters")
    if TOKEN_SHAPES.search("/".join(segments)):
        raise RefusedError("the path of an address has what looks like a token in it")
    query, secret_removed = _clean_query((match["query"] or "?")[1:])
    usual = port == WEB_PORTS[scheme]
    try:
        clean = parse_wanted_url(f"{scheme}://{host}{'' if usual else f':{port}'}{path}{'?' if query else ''}{query}")
    except DownloadError as error:
        raise RefusedError(str(error)) from None
    # hf.co has become huggingface.co by now
    parts = urlsplit(clean)
    if (parts.scheme, _bracketed(parts.hostname or ""), parts.port or WEB_PORTS[scheme]) not in origins:
        raise RefusedError("the address stands for one on huggingface.co, which is not on the list of allowed hosts")
    return CheckedUrl(clean, None if host in _NAMELESS_HOSTS else _file_name(clean), secret_removed)


def printable(text: str) -> str:
    """The text for a message: on one line, not long, and without what looks like a secret."""
    cut = text[:SCANNED]
    cut = _USER_IN_URL.sub(f"{HIDDEN}@", cut)
    cut = _ASSIGNMENT.sub(rf"\g<name>{HIDDEN}", TOKEN_SHAPES.sub(HIDDEN, cut))
    cut = "".join("\ufffd" if unicodedata.category(character) in _INVISIBLE else character for character in cut[: LONGEST_MESSAGE + 1])
    return cut if len(cut) <= LONGEST_MESSAGE else f"{cut[: LONGEST_MESSAGE - 1]}…"


def looks_like_secret(widget_name: str | None, value: str) -> bool:
    """Is this value a token by its own shape, or, being no choice or placeholder, by the name of its widget?"""
    head = value[:SCANNED].strip()
    if len(head) >= 16 and _MARK.search(head) and TOKEN_SHAPES.search(head):
        return True
    words = [word.lower() for word in _WORD.findall((widget_name or "")[:100]) if not word.isdigit()]
    last, before = words[-1] if words else "", words[-2] if len(words) > 1 else ""
    password = last in _PASSWORDS
    token = (last in _TOKENS and before not in _PLAIN_TOKENS) or (last == "key" and before in _KEYS)
    if not (password or token) or head.lower() in _CHOICES or _PLACEHOLDER.fullmatch(head):
        return False
    return password or (len(head) >= 8 and "://" not in head and not re.search(r"\s", head))


def _check_path(value: object) -> str:
    if not isinstance(value, str):
        raise RefusedError("a name is a text")
    if len(value) > LONGEST_PATH:
        raise RefusedError(_TOO_LONG)
    if _has_invisible(value) or "\ufffd" in value:
        raise RefusedError("a name has no control, invisible or undecodable characters")
    path = value.strip().replace("\\", "/")
    if not path:
        raise RefusedError("it is empty")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        raise RefusedError("a name is relative: no slash, drive or server in front")
    if any(mark in path for mark in ("{{", "{%", "{#")):
        raise RefusedError("a name has no template marks in it")
    if len(path.encode()) > LONGEST_PATH:
        raise RefusedError(_TOO_LONG)
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise RefusedError("a name leads straight down: no empty part, no '.' and no '..'")
        if part.startswith(".") or part.endswith(".") or part != part.strip():
            raise RefusedError("a part of a name has no dot at its ends and no blank there")
        if len(part.encode()) > LONGEST_PART:
            raise RefusedError(f"a part of a name has at most {LONGEST_PART} bytes")
    return path


def _has_invisible(text: str) -> bool:
    return not (text.isascii() and text.isprintable()) and any(unicodedata.category(character) in _INVISIBLE for character in text)


@lru_cache(maxsize=16)
def _parse_hosts(allowed_hosts: tuple[str, ...]) -> dict[tuple[str, str, int], bool]:
    """The allowed origins, and whether each was named with its scheme, and so may be private."""
    origins: dict[tuple[str, str, int], bool] = {}
    for entry in allowed_hosts:
        if entry == DEFAULT:
            origins = {**_parse_hosts(DEFAULT_HOSTS), **origins}
            continue
        if _ELSEWHERE.fullmatch(entry):
            continue
        match = _ORIGIN.fullmatch(entry)
        port = int(match["port"] or 1) if match else 0
        if match is None or not 0 < port < 65536:
            raise HostsError(f"allowed_hosts: {printable(entry)!r} is neither a host name nor scheme://host:port")
        scheme, host = match["scheme"], match["host"].lower()
        if scheme is None and (match["port"] or is_private_host(host)):
            raise HostsError(
                f"allowed_hosts: {printable(entry)!r} needs its scheme in front, for only a public host on its usual port goes without"
            )
        web = (scheme or "https").lower()
        origin = (web, host, int(match["port"] or WEB_PORTS[web]))
        origins[origin] = scheme is not None or origins.get(origin, False)
    return origins


def _why_not(scheme: str, host: str, port: int) -> str:
    if is_private_host(host):
        return "the host is an IP address or a name of a private network, and not on the list of allowed hosts"
    if scheme != "https":
        return "the address is not https"
    if port != WEB_PORTS["https"]:
        return "the address has a port of its own, and this origin is not on the list of allowed hosts"
    return f"the host {host[:100]} is not on the list of allowed hosts"


def _clean_query(query: str) -> tuple[str, bool]:
    """Without Hugging Face's `download=true`, which changes nothing, and without what only its owner should have."""
    kept = []
    secret_removed = False
    for parameter in map(str.strip, re.split("[&;]", query)):
        decoded = unquote(parameter)
        name, _equals, value = decoded.partition("=")
        if TOKEN_SHAPES.search(decoded):
            secret_removed = True
        elif _is_secret_parameter(name):
            secret_removed = secret_removed or bool(value)
        elif parameter and not (name.lower() == "download" and value.lower() in ("", "1", "true")):
            kept.append(parameter)
    return "&".join(kept), secret_removed


def _is_secret_parameter(name: str) -> bool:
    plain = re.sub("[^a-z0-9]", "", name.lower())
    return plain in SECRET_PARAMETERS or plain in ("sig", "pwd") or _SECRET_PARAMETER.search(plain) is not None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _file_name(url: str) -> str | None:
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    try:
        return name if "/" not in name and check_model_name(name) == name else None
    except RefusedError:
        return None
