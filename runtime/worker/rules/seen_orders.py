"""Which orders a node has seen: stray and repeated orders do not count."""

from __future__ import annotations

from collections import OrderedDict

from contract.names import dispatch_order

SEEN_MAX = 100_000
"""Jobs of which the node remembers the greatest dispatch. Repeats come soon, so the oldest may be forgotten."""


class SeenOrders:
    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}
        """By pool, the greatest epoch seen."""
        self._latest: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        """By job, the greatest dispatch seen; the job seen last stands last."""

    def accept_epoch(self, pool: str, epoch: int) -> bool:
        """False when a greater epoch was seen: the order's scheduler has been replaced. Remembers the epoch."""
        if epoch < self._epochs.get(pool, 0):
            return False
        self._epochs[pool] = epoch
        return True

    def accept_dispatch(self, job: str, dispatch: str) -> bool:
        """False unless the dispatch is greater than every dispatch seen of this job. Remembers the dispatch."""
        if not job:  # a Kill of what the scheduler does not know may not know its job
            return False
        try:
            order = dispatch_order(dispatch)
        except ValueError:
            return False
        latest = self._latest.get(job)
        if latest is not None and order <= latest:
            return False
        self._latest[job] = order
        self._latest.move_to_end(job)
        if len(self._latest) > SEEN_MAX:
            self._latest.popitem(last=False)
        return True
