# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where models come from: one file per source behind the interface in _base.py, the table of them in _ask_models.py.

Private to this collection: it may change in any release.
"""
