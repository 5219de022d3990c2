"""`python -m streams.scheduler`: hosts one pool for each partition of `jobs` that Faust assigns to this process."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import structlog

from contract.seals import SnapshotSeals
from contract.signing import Verifier, installation_keys
from contract.topics import JOBS
from runtime.kafka import Producer, Record, Watermarks
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from streams.hosting.faust_app import hold_back, host, make_app, records_of, seek_to, start, wait_for_broker
from streams.ledger.disk_snapshots import DiskSnapshots
from streams.ledger.pool_host import PoolHost
from streams.ledger.pool_io import PoolIO
from streams.ledger.pool_keeper import OnEnded, PoolKeeper

GROUP = "headrace-scheduler"
LEDGER_TIMEOUT_MS = 120_000
"""A broker that is away for less costs only the wait: the batch in flight is delivered when the broker is back. After
this time the delivery is unclear, and the pool is opened anew from what the ledger says."""

log = structlog.get_logger(__name__)


class Scheduler:
    """The pools of this process, by partition."""

    def __init__(self, settings: Settings, app: Any, store: ObjectStore) -> None:
        self._settings, self._app = settings, app
        self._producer = Producer(settings.brokers, "headrace-scheduler", delivery_timeout_ms=LEDGER_TIMEOUT_MS)
        self._orders = Producer(settings.brokers, "headrace-orders", in_bursts=True)
        self._watermarks = Watermarks(settings.brokers)
        self._store = store
        keys = installation_keys(settings.installation_keys)
        self._verifier = Verifier(keys) if keys else None
        self._seals = SnapshotSeals(keys)
        if self._verifier is None:
            log.warning(
                "takes unsigned records: no HEADRACE_INSTALLATION_KEYS are set, so whoever may write to `jobs` may say"
                " anything. For the same reason no snapshot of the object store is believed: a pool that opens without"
                " one on this machine's own disk folds its whole ledger"
            )
        self._disk = DiskSnapshots(settings.data / settings.snapshot_dir if settings.snapshot_dir else None)
        self._keepers: dict[int, PoolKeeper] = {}

    async def assigned(self, partitions: set[int]) -> None:
        """Faust's assignment after a rebalance: all partitions that are ours now."""
        for partition in sorted(partitions):
            if partition in self._keepers:
                self._keepers[partition].assigned_again()
            else:
                self._keepers[partition] = PoolKeeper(partition, partial(self._host, partition))
        await self._close(set(self._keepers) - partitions, with_snapshot=False)

    def take(self, record: Record) -> None:
        """Give a record to its pool, which takes the record when it can. No pool waits for another."""
        keeper = self._keepers.get(record.partition)
        if keeper is not None:
            keeper.offer(record)

    def places(self) -> dict[int, int]:
        """The next offset of `jobs` to read, of each pool that reads it."""
        return {partition: keeper.place for partition, keeper in self._keepers.items() if keeper.place is not None}

    async def stop(self) -> None:
        """SIGTERM: let every pool settle, with a snapshot."""
        await self._close(set(self._keepers), with_snapshot=True)
        log.info("stopped")

    async def _close(self, partitions: set[int], *, with_snapshot: bool) -> None:
        keepers = [self._keepers.pop(partition) for partition in sorted(partitions)]
        await asyncio.gather(*(keeper.close(with_snapshot=with_snapshot) for keeper in keepers))

    def _host(self, partition: int, on_ended: OnEnded) -> PoolHost:
        io = PoolIO(
            self._settings,
            partition,
            producer=self._producer,
            orders=self._orders,
            store=self._store,
            disk=self._disk,
            seals=self._seals,
            watermarks=self._watermarks,
            seek=partial(seek_to, self._app),
            hold_back=partial(hold_back, self._app),
        )
        return PoolHost(
            io, snapshot_every_ms=self._settings.snapshot_every_ms, verifier=self._verifier, on_ended=on_ended
        )


async def serve(settings: Settings, group: str) -> None:
    """Run until SIGTERM."""
    await wait_for_broker(settings, JOBS)
    app = make_app(group, settings)
    scheduler = Scheduler(settings, app, ObjectStore(settings))

    async def schedule(stream: Any) -> None:
        async for record in records_of(stream):
            scheduler.take(record)

    await host(app, JOBS, schedule, assigned=scheduler.assigned, stop=scheduler.stop, places=scheduler.places)


if __name__ == "__main__":
    start("scheduler", serve, GROUP)
