# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Models for a machine that gets no token: whoever has the tokens asks the hubs, and hands on links that are signed.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import ContentError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import failure_words
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._civitai import is_air
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._file import is_file_address
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Download
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._ssh import is_ssh_address
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, printable_url, split_secrets

SIGNERS = 8

Entry = Mapping[str, Any]


def label_of(row: Entry) -> str:
    return f"{row.get('directory')}/{row.get('name')}"


def is_readable(result: Mapping[str, Any]) -> bool:
    """Whether what a machine says of its models has the shape that the module gives it."""
    rows = result.get("models", [])
    return isinstance(rows, list) and all(isinstance(row, Mapping) and isinstance(row.get("state"), str) for row in rows)


def lacking(result: Mapping[str, Any]) -> set[str]:
    """The models that only a link can help: missing ones, and those whose link is no longer taken."""
    return {label_of(row) for row in result.get("models", ()) if row["state"] == "missing" or row.get("expired")}


def hide_tokens(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """The list of models as a machine may see it: without the tokens that a person wrote into an address."""
    clean = []
    for entry in entries:
        urls = {"url": _hide_token(str(entry["url"]))} if entry.get("url") else {}
        more = {"urls": [_hide_token(url) for url in _more_urls(entry)]} if entry.get("urls") else {}
        clean.append({**entry, **urls, **more})
    return clean


def sign_links(open_url: Callable[[str], Download], entries: Iterable[Entry]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Links by label, and why there is none for the others; one that a machine needs no link for is in neither."""
    entries = list(entries)
    with ThreadPoolExecutor(SIGNERS) as pool:
        answers = list(zip(map(label_of, entries), pool.map(lambda entry: _sign(open_url, entry), entries), strict=True))
    links = {label: answer for label, answer in answers if isinstance(answer, dict)}
    return links, {label: answer for label, answer in answers if isinstance(answer, str)}


def explain(result: dict[str, Any], refused: Mapping[str, str]) -> dict[str, Any]:
    """What a module says without a link, with the reason why it got none."""
    rows = [_explain_row(row, refused) for row in result.get("models", ())]
    words = failure_words(rows)
    return {**result, "models": rows, "failed": True, "msg": words} if rows and refused and words else result


def _sign(open_url: Callable[[str], Download], entry: Entry) -> dict[str, Any] | str | None:
    problems = []
    for url in [str(entry.get("url") or ""), *_more_urls(entry)]:
        if not url:
            continue
        if is_file_address(url) or is_ssh_address(url):
            return None  # the machine reads it by itself, and the path may not even be one here
        try:
            download = open_url(url)
            offer = download.look(entry["name"])
            link = download.link() if download.transport == "ranges" else None
        except (ContentError, DownloadError, OSError) as error:
            problems.append(str(error))
            continue
        if link is not None and link.token is None:
            told = {"size": offer.size, "sha256": offer.sha256, "etag": offer.etag, "source": offer.address}
            return {"url": link.url, "expires": link.expires, **told}
        problems.append(f"{download.printable} is not to be had by a signed link, and the token stays on the controller")
    return "; ".join(problems) or None


def _more_urls(entry: Entry) -> list[str]:
    """As the module reads them, for which a text is a list with commas."""
    urls = entry.get("urls") or []
    return [str(url) for url in urls] if isinstance(urls, list) else str(urls).split(",")


def _hide_token(url: str) -> str:
    """What is none of the other addresses is read as one of the web, as Downloads.open does, however it begins."""
    url = url.strip()
    if is_file_address(url) or is_ssh_address(url) or is_air(url):
        return url
    try:
        return split_secrets(url)[0]
    except DownloadError:
        return printable_url(url)


def _explain_row(row: dict[str, Any], refused: Mapping[str, str]) -> dict[str, Any]:
    if row["state"] not in ("missing", "failed") or label_of(row) not in refused:
        return row
    return {**{key: value for key, value in row.items() if key != "expired"}, "state": "failed", "error": refused[label_of(row)]}
