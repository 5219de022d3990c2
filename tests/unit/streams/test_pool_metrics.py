"""What a pool's gauges show of jobs whose media are prepared."""

from __future__ import annotations

from prometheus_client import REGISTRY

from streams.ledger.pool_metrics import PoolMetrics
from tests.unit.scheduling.preparing import PreparingPool
from tests.unit.scheduling.specification import POOL


def shown(gauge: str, tier: str) -> float | None:
    return REGISTRY.get_sample_value(gauge, {"pool": POOL, "tier": tier})


def test_jobs_that_wait_for_a_worker_or_are_at_one_are_preparing_and_not_queued() -> None:
    pool = PreparingPool(workers=1)
    for number in range(3):
        pool.submit(number, "free")
    metrics = PoolMetrics(pool.state)
    metrics.acked(pool.batches[-1], 0.0, 0)
    try:
        assert shown("headrace_jobs_preparing", "free") == 3
        assert shown("headrace_jobs_preparing", "api") == 0
        assert shown("headrace_jobs_queued", "free") == 0
    finally:
        metrics.close()
    assert shown("headrace_jobs_preparing", "free") is None
