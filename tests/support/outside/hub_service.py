# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The model hub as a service of the outside world; its token comes from a file, not from the command line.

It shares a folder with whoever tests: `hub/hub.json` may hold a `rate` beside the faults, bytes a second and connection, and
`hub_sent.json` says how many bytes left for which request path.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hub import SETTINGS_NAME, Hub  # noqa: E402

OUTSIDE = Path("/srv/outside")


def keep_books(hub):
    told = None
    while True:
        hub.rate = None
        with contextlib.suppress(OSError, ValueError):
            hub.rate = json.loads((OUTSIDE / "hub" / SETTINGS_NAME).read_text()).get("rate")
        sent = Counter()
        for request in list(hub.requests):
            sent[request["path"]] += request["sent"]
        if sent != told:
            fresh = OUTSIDE / "hub_sent.json.new"
            fresh.write_text(json.dumps(sent))
            fresh.replace(OUTSIDE / "hub_sent.json")
            told = sent
        time.sleep(0.2)


with Hub(OUTSIDE / "hub", "0.0.0.0", 8100, 8101, (OUTSIDE / "token").read_text().strip()) as running:
    keep_books(running)
