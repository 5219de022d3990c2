"""What keeps a pool open in this process, from assignment to revocation, whatever becomes of its hosts.

When a host ends by itself, only its own state is lost. The keeper opens the pool anew after a rest, which grows from a
second to a minute while hosts go on ending soon. Each end is counted and logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from runtime.kafka import Record
from runtime.telemetry import without_words
from streams import metrics
from streams.hosting.resting import GrowingRest
from streams.ledger.host_guard import HostEnded
from streams.ledger.outputs import PoolRest
from streams.ledger.pool_host import PoolHost

REST_S = 1.0
REST_MAX_S = 60.0
"""The longest rest. A pool that was open for this long rests REST_S again."""

log = structlog.get_logger(__name__)

OnEnded = Callable[[HostEnded], None]


class PoolKeeper:
    """The keeper of one partition. All methods run on the event loop."""

    def __init__(
        self,
        partition: int,
        open_host: Callable[[OnEnded], PoolHost],
        *,
        rest_s: float = REST_S,
        rest_max_s: float = REST_MAX_S,
    ) -> None:
        self._partition, self._open_host = partition, open_host
        self._growing, self._rest_max_s = GrowingRest(rest_s, rest_max_s), rest_max_s
        self._loop = asyncio.get_running_loop()
        self._label = f"partition {partition}"
        """How metrics and the log name the pool: by its name, once that is known."""
        self._rest = PoolRest.BRIEF
        self._opened_s = 0.0
        self._host: PoolHost | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._open()

    def offer(self, record: Record) -> None:
        """The next record of `jobs` that Faust has. Does not wait. While the pool rests nobody takes the record; it is
        read again later."""
        if self._host is not None:
            self._host.offer(record)

    @property
    def place(self) -> int | None:
        """The next offset of `jobs` to read; None while none is read."""
        return self._host.place if self._host is not None else None

    def assigned_again(self) -> None:
        """Faust has rebalanced: the partition is still ours."""
        if self._host is not None:
            self._host.recheck()
        elif self._rest is PoolRest.UNTIL_ASSIGNED and self._timer is not None:
            self._timer.cancel()
            self._open_anew()

    async def close(self, *, with_snapshot: bool) -> None:
        """The partition is ours no longer, or the process stops."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        host, self._host = self._host, None
        self._show_resting(False)
        try:
            if host is not None:
                await host.close(with_snapshot=with_snapshot)
        except Exception as failure:  # the host has ended all the same, and other pools go on
            log.error("a pool's host did not close well", pool=self._label, found=without_words(failure))

    def _open(self) -> None:
        self._timer, self._opened_s = None, self._loop.time()
        try:
            self._host = self._open_host(self._ended)
        except Exception as failure:  # one pool's failure rests that pool alone
            self._ended(HostEnded("a pool's host failed", PoolRest.BRIEF, {"found": without_words(failure)}))

    def _open_anew(self) -> None:
        metrics.REOPENED.labels(self._label).inc()
        self._show_resting(False)
        self._open()

    def _ended(self, ended: HostEnded) -> None:
        host, self._host = self._host, None
        if self._closed:
            return
        if host is not None and host.pool:
            self._label = host.pool
        brief_s = self._growing.take_s(self._loop.time() - self._opened_s)
        rest_s = brief_s if ended.rest is PoolRest.BRIEF else self._rest_max_s
        self._rest = ended.rest
        self._timer = self._loop.call_later(rest_s, self._open_anew)  # before anything that could raise
        self._show_resting(True)
        if "offset" in ended.facts:
            metrics.RESTING_OFFSET.labels(self._label, str(self._partition)).set(ended.facts["offset"])
        facts = {"pool": self._label, "partition": self._partition, "opened_anew_after_s": rest_s}
        log.error(ended.reason, **{**ended.facts, **facts})

    def _show_resting(self, resting: bool) -> None:
        if resting:
            metrics.RESTING.labels(self._label).set(1)
        else:
            for gauge in (metrics.RESTING, metrics.RESTING_OFFSET):
                gauge.remove_by_labels({"pool": self._label})
