# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the report says, is told by test__workflow_report.py."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.filter import workflow_report, workflow_table
from unit.fixtures.workflow_results import file, result, unresolved

REPORT = workflow_report.FilterModule().filters()["workflow_report"]
TABLE = workflow_table.FilterModule().filters()["workflow_table"]
FOUND = result({"/w/a.json": file()}, unresolved=[unresolved("X"), unresolved("Y")])


def test_a_result_becomes_a_report_and_a_report_a_table():
    assert TABLE(REPORT(FOUND))[4] == "unknown       a.json"


def test_a_catalogues_accepted_rows_are_not_open():
    assert REPORT(FOUND, accepted=["X", {"name": "Y", "note": "why"}])["open"] == []


def test_what_is_no_list_of_names_is_told_in_words():
    with pytest.raises(AnsibleFilterError, match="accepted: entry 1 has no name"):
        REPORT(FOUND, accepted=[{"note": "why"}])
