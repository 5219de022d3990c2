"""What each process of ours has in memory, as time goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psutil

from tests.system.installation import Installation
from tests.system.outages.findings import Rss

MIB = 1024 * 1024
PARTS = ("scheduler", "api", "projector", "intake", "relay", "node-1")
WARM_S, WARM_SHARE = 20.0, 0.25
"""Memory may grow for so long, or this share of the outage if that is longer: buffers fill, and then are full."""


class Memory:
    def __init__(self, here: Installation) -> None:
        self._here = here
        self._begun_s = time.monotonic()
        self._samples: list[tuple[float, dict[str, float]]] = []
        print("     s " + "".join(f"{part:>12}" for part in PARTS) + "  (MiB)", flush=True)

    def sample(self, note: str = "") -> None:
        pids = {part: self._here.pid(part) for part in PARTS}
        found = {part: psutil.Process(pid).memory_info().rss / MIB for part, pid in pids.items() if pid}
        at_s = time.monotonic() - self._begun_s
        self._samples.append((at_s, found))
        print(f"{at_s:6.0f} " + "".join(f"{found.get(part, 0):12.1f}" for part in PARTS) + f"  {note}", flush=True)

    def by_part(self, lasted_s: float) -> Mapping[str, Rss]:
        """Over all samples until now: the last one is the end of an outage that lasted so long."""
        warm_s = max(WARM_S, WARM_SHARE * lasted_s)
        warm = next(found for at_s, found in self._samples if at_s >= warm_s)
        first, last = self._samples[0][1], self._samples[-1][1]
        return {
            part: Rss(
                round(first[part], 1),
                round(max(found.get(part, 0.0) for _, found in self._samples), 1),
                round(last[part], 1),
                round(last[part] - warm[part], 1),
            )
            for part in PARTS
            if part in first and part in warm and part in last
        }
