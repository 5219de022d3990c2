"""What the host of a pool counts in the batches it wrote, and what it shows of the state."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from prometheus_client import Gauge

from contract.batch import Batch
from scheduling.state.pool import State
from streams import metrics

GAUGES_EVERY_S = 1.0


_GAUGES = (metrics.PREPARING, metrics.QUEUED, metrics.STAGED)


class PoolMetrics:
    def __init__(self, state: State) -> None:
        self._state = state
        self._batches = metrics.BATCHES.labels(state.pool)
        self._seconds = metrics.BATCH_SECONDS.labels(state.pool)
        self._ignored = metrics.IGNORED.labels(state.pool)
        self._ignored_so_far = 0
        self._gauges_after = 0.0
        self._shown: dict[Gauge, set[str]] = {gauge: set() for gauge in _GAUGES}

    def acked(self, batch: Batch, seconds: float, ignored: int) -> None:
        """The broker stored this batch after `seconds`. So far `ignored` ledger records did not count."""
        pool = self._state.pool
        self._batches.inc()
        self._seconds.observe(seconds)
        for event, count in Counter(type(event).__name__ for event in batch.events).items():
            metrics.EVENTS.labels(pool, event).inc(count)
            if event == "ReportStale":
                metrics.STALE.labels(pool).inc(count)
        if ignored > self._ignored_so_far:
            self._ignored.inc(ignored - self._ignored_so_far)
            self._ignored_so_far = ignored
        if time.monotonic() >= self._gauges_after:
            self._gauges_after = time.monotonic() + GAUGES_EVERY_S
            self._refresh()

    def led(self, *, signatures_are_asked_for: bool) -> None:
        """The pool is led from now on."""
        metrics.UNSIGNED.labels(self._state.pool).set(not signatures_are_asked_for)

    def close(self) -> None:
        """Remove the gauges: from here on another process shows the pool, or none."""
        for gauge in (*self._shown, metrics.UNSIGNED, metrics.SNAPSHOTS_MISSED):
            gauge.remove_by_labels({"pool": self._state.pool})

    def _refresh(self) -> None:
        state = self._state
        queued = dict.fromkeys(state.slos, 0)
        for kind in state.classes.values():
            for line in (*kind.lines.values(), *kind.late.values()):
                queued[line.tier] = queued.get(line.tier, 0) + len(line)
        self._show(metrics.QUEUED, queued)
        self._show(metrics.PREPARING, self._preparing())
        self._show(metrics.STAGED, {cluster.name: len(cluster.staged) for cluster in state.clusters.values()})

    def _preparing(self) -> Mapping[str, int]:
        """By tier: jobs that wait for a CPU worker, and jobs that are at one."""
        state = self._state
        preparing = Counter(dict.fromkeys(state.slos, 0))
        for line in state.preparing.requirement_class.lines.values():
            preparing[line.tier] += len(line)
        clusters = {group.cluster.name: group.cluster for group in state.preparing.requirement_class.groups}
        for cluster in clusters.values():
            preparing.update(state.jobs[job].tier for job in cluster.open)
        return preparing

    def _show(self, gauge: Gauge, counts: Mapping[str, int]) -> None:
        """Show these counts by tier or cluster, and remove what was shown before and is gone."""
        for name, count in counts.items():
            gauge.labels(self._state.pool, name).set(count)
        for name in self._shown[gauge] - counts.keys():
            gauge.remove(self._state.pool, name)
        self._shown[gauge] = set(counts)
