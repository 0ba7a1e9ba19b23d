# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Addresses of models as text: checked, quoted, made fit to print, and parted from the secrets that people leave in them.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from urllib.parse import SplitResult, parse_qsl, quote, unquote, unquote_plus, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._reach import HIDDEN, TOKEN_PARAMETERS, WEB_PORTS

LONGEST_URL = 8192

_HUGGING_FACE = ("huggingface.co", "hf.co")
_BLOB = re.compile(r"(?P<place>/(?:(?:datasets|spaces)/)?[^/]+/[^/]+)/blob/(?P<rest>[^/]+/.+)")
_HUGGING_FACE_BLOB = re.compile(r"(?P<place>/(?:(?:datasets|spaces)/)?[^/]+(?:/[^/]+)?)/blob/(?P<rest>.+)")
# What tokens look like by themselves, wherever they stand.
TOKEN_SHAPES = re.compile(
    r"hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,}"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    # These could be the end of a word.
    r"|(?<![A-Za-z0-9])(?:"
    r"sk[-_](?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}|r8_[A-Za-z0-9]{30,}|rpa_[A-Z0-9]{30,}|comfyui-[0-9a-f]{64}"
    r"|Bearer [A-Za-z0-9._~+/-]{16,}=*)"
)
# One of these makes the whole address a key: Amazon and those who copied it, Google, CloudFront, Azure.
_SIGNATURES = ("x-amz-signature", "x-goog-signature", "signature", "sig")


class DownloadError(Exception):
    """The file cannot be had; the message says why, `status` and `code` what the server called it."""

    status: int | None = None
    code: str = ""


class PassingError(DownloadError):
    """What may be better in a moment; `pause` is how many seconds the server asked for."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


class LinkExpiredError(DownloadError):
    """A signed link is not taken any more: a new one is needed."""


def parse_wanted_url(url: str) -> str:
    """The address to ask for what a person wrote."""
    parts = urlsplit(parse_url(url))
    if any(name.lower() in TOKEN_PARAMETERS for name, _value in parse_qsl(parts.query)):
        raise DownloadError("the url carries a token; give it by host in 'tokens' instead")
    if is_signed(url):
        return parts.geturl()
    if parts.hostname in _HUGGING_FACE:
        parts = parts._replace(netloc=_HUGGING_FACE[0])
        match = _HUGGING_FACE_BLOB.fullmatch(parts.path)
    else:
        match = _BLOB.fullmatch(parts.path)
    if match:
        view = "raw" if parts.hostname == "github.com" else "resolve"
        parts = parts._replace(path=f"{match['place']}/{view}/{match['rest']}")
    # As split_secrets wants it, and the server reads the same.
    return parts._replace(path=parts.path.replace("@", "%40")).geturl()


def parse_url(url: str) -> str:
    """Check an address and quote what a request line cannot carry."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        path = quote(parts.path, safe="/%:@!$&'()*+,;=~") or "/"
        query = quote(parts.query, safe="/%?:@!$&'()*+,;=~")
    except ValueError as error:
        raise DownloadError("the url is malformed") from error
    if parts.scheme not in WEB_PORTS:
        raise DownloadError("the url is neither http nor https")
    if parts.username is not None or parts.password is not None:
        raise DownloadError("the url carries a user name or password; give a token by host in 'tokens' instead")
    if not re.fullmatch(r"[a-z0-9._:-]+", parts.hostname or "") or port == 0:
        raise DownloadError("the url has no usable host name")
    if len(path) + len(query) > LONGEST_URL:
        raise DownloadError(f"the url is longer than {LONGEST_URL} characters")
    return parts._replace(netloc=parts.netloc.lower(), path=path, query=query, fragment="").geturl()


def printable_url(url: str) -> str:
    """The address without anything that may be a secret."""
    try:
        parts = urlsplit(url)
        # A password with a slash in it looks like the beginning of the path.
        place = f"{parts.netloc}{parts.path}".rpartition("@")[2]
        malformed = urlsplit(f"//{place}").port == 0 or (_is_user_behind(parts) and "@" not in parts.path)
    except ValueError:
        malformed = True
    if malformed:
        return "(a malformed url)"
    shown = "/".join(HIDDEN if TOKEN_SHAPES.search(unquote(part)) else part for part in place.split("/"))
    return quote(f"{parts.scheme}://{shown}", safe="/%:@!$&'()*+,;=~[]", errors="replace")


def split_secrets(url: str) -> tuple[str, str | None]:
    """The address without the token that a person wrote into it, and the token; user:password is one too, with its colon.

    Signatures stay where they are: they are good for this one file, and only as part of its address.
    """
    try:
        parts = urlsplit(url.strip())
        user, at, host = parts.netloc.rpartition("@")
    except ValueError:
        raise DownloadError("the url is malformed") from None
    if _is_user_behind(parts):
        raise DownloadError(
            "the url has an @ behind its host: in a path it is written %40, and a user name or password has %2F, %3F and %23 for / ? #"
        )
    tokens = [unquote(user)] if at else []
    kept = []
    for parameter in parts.query.split("&"):
        name, _equals, value = parameter.partition("=")
        if unquote_plus(name).lower() in TOKEN_PARAMETERS:
            tokens.append(unquote_plus(value))
        elif any(unquote_plus(more.partition("=")[0]).lower() in TOKEN_PARAMETERS for more in parameter.split(";")[1:]):
            raise DownloadError("the url carries a token behind a semicolon; write & there, or give the token by host in 'tokens'")
        else:
            kept.append(parameter)
    token = next(filter(None, tokens), None)
    if token is not None and not is_header_text(token):
        raise DownloadError("the url carries a token with a character that no token has")
    if not at and not parts.fragment and len(kept) == len(parts.query.split("&")):
        return url, None
    return parts._replace(netloc=host, query="&".join(kept), fragment="").geturl(), token


def is_signed(url: str) -> bool:
    return any(name in _SIGNATURES for name in _query(url))


def expires_at(url: str) -> float | None:
    """When a signed link ends, in seconds since 1970, if it says so itself."""
    ended = _expires_at(_query(url))
    return None if ended is None or ended < 0 else ended


def _expires_at(query: Mapping[str, str]) -> float | None:
    if not any(name in _SIGNATURES for name in query):
        return None
    try:
        for date, lifetime in (("x-amz-date", "x-amz-expires"), ("x-goog-date", "x-goog-expires")):
            if date in query and lifetime in query:
                begin = datetime.strptime(query[date], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
                return begin.timestamp() + int(query[lifetime][:9])
        if "expires" in query:
            return float(int(query["expires"][:12]))
        if "se" in query:
            # Azure leaves out the seconds, or the whole time of day, where they are zero.
            end = datetime.fromisoformat(query["se"].removesuffix("Z"))
            return end.replace(tzinfo=end.tzinfo or timezone.utc).timestamp()
    except (ValueError, OverflowError):
        pass
    return None


def parse_tokens(tokens: Mapping[str, str | None]) -> dict[str, str]:
    """Tokens by host, without the empty ones; what cannot be a header is refused by the name of its host, which may be a number in YAML."""
    for host, token in tokens.items():
        if token is not None and not isinstance(token, str):
            raise DownloadError(f"the token for {host} is not a text")
        if token and not is_header_text(token):
            raise DownloadError(f"the token for {host} contains a space, a line break or another character that no token has")
    return {str(host).lower(): token for host, token in tokens.items() if token}


def is_header_text(text: str) -> bool:
    return re.fullmatch(r"[!-~]*", text) is not None


def origin_of(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, host_of(url), port_of(parts)


def host_of(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return f"[{host}]" if ":" in host else host


def port_of(parts: SplitResult) -> int:
    return parts.port or WEB_PORTS[parts.scheme]


def _is_user_behind(parts: SplitResult) -> bool:
    """Is what looks like the host perhaps a user, whose password has one of / ? # in it? The @ of an AIR is none."""
    return parts.scheme != "urn" and ("@" in parts.path or (not parts.path and "@" in f"{parts.query}{parts.fragment}"))


def _query(url: str) -> dict[str, str]:
    try:
        return {name.lower(): value for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    except ValueError:
        return {}
