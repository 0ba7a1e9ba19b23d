# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where packs of custom nodes are listed: one file per source behind the interface in _base.py, the asking in _ask_packs.py.

Private to this collection: it may change in any release.
"""
