# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""An address to the source that fetches it. What a Download is stands in _offer.py, which the sources import; this file imports them.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources import _civitai, _file, _ssh
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._civitai import CivitAIDownload
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._hugging_face import HuggingFaceDownload
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Download
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._plain import PlainDownload
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._xet import XetTools
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import is_signed, parse_wanted_url, split_secrets
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions


@dataclass(frozen=True)
class DownloadOptions:
    """What some of the sources need beside the address."""

    ssh_key_file: Path | None = None
    ssh_known_hosts_file: Path | None = None
    tools_dir: Path | None = None
    python: str = ""
    index_url: str = ""
    civitai_url: str = _civitai.BASE_URL


class Downloads:
    """All sources, with what they share."""

    def __init__(self, client: Client, options: DownloadOptions | None = None) -> None:
        options = options or DownloadOptions()
        self._client = client
        self._questions = Questions.like(client)
        self._civitai_url = options.civitai_url
        self._ssh = _ssh.SshOptions(options.ssh_key_file, options.ssh_known_hosts_file, client.timeout)
        self._tools = XetTools(options.tools_dir, options.python, options.index_url)

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Ask once: what may be better in a moment is raised as PassingError."""
        askers = (self._client, self._questions)
        for asker in askers:
            asker.patient = False
        try:
            yield
        finally:
            for asker in askers:
                asker.patient = True

    def open(self, url: str) -> Download:
        """What a person wrote as an address, ready to be asked. Raises DownloadError for what is none or is not allowed; asks nobody."""
        url = url.strip()
        if _file.is_file_address(url):
            return _file.FileDownload(url, self._client.allowed_hosts)
        if _ssh.is_ssh_address(url):
            return _ssh.SshDownload(url, self._client.allowed_hosts, self._ssh, self._client.patiently)
        token = None
        if _civitai.is_air(url):
            self._client.check_host(self._civitai_url)
        else:
            url, token = split_secrets(url)
            url = parse_wanted_url(url)
            self._client.check_host(url)
        if is_signed(url):
            return PlainDownload(self._client, url, token)
        if CivitAIDownload.takes(url):
            return CivitAIDownload(self._client, self._questions, url, token, self._civitai_url)
        if HuggingFaceDownload.takes(url):
            return HuggingFaceDownload(self._client, url, token, self._tools)
        return PlainDownload(self._client, url, token)
