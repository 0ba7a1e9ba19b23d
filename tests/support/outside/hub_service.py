# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The model hub as a service of the outside world; its token comes from a file, not from the command line."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hub import Hub  # noqa: E402

OUTSIDE = Path("/srv/outside")

with Hub(OUTSIDE / "hub", "0.0.0.0", 8100, 8101, (OUTSIDE / "token").read_text().strip()):
    threading.Event().wait()
