# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.filter.hide_credentials import FilterModule

hide_credentials = FilterModule().filters()["hide_credentials"]


def test_an_address_and_a_list_of_them_lose_their_credentials():
    assert hide_credentials("https://me:pw@a/b") == "https://***@a/b"
    assert hide_credentials(["https://a/b?token=pw", "git@a:b"]) == ["https://a/b?token=***", "git@a:b"]


def test_what_is_no_address_is_refused():
    with pytest.raises(AnsibleFilterError, match="not a int"):
        hide_credentials(7)
