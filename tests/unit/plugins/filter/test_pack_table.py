# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the table says, is told by test__pack_truth.py; how the role shows it, by test_comfyui_instances_prove.py."""

from __future__ import annotations

from ansible_collections.emprops.comfyui.plugins.filter import pack_table

TABLE = pack_table.FilterModule().filters()["pack_table"]


def test_a_row_of_the_record_is_a_line_of_the_table():
    row = {"name": "demo", "version": "", "commit": "a" * 40, "import_seconds": 1.5, "silent": True, "error": None}
    heading, line = TABLE([{**row, "node_types": [], "missing": [], "shadowed": []}])
    assert heading.split()[0] == "pack"
    assert line.split() == ["demo", "aaaaaaaaaaaa", "1.5", "0", "brings", "no", "node", "type"]
