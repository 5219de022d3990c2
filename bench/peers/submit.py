"""Submits no-op jobs to one peer: `python submit.py PEER COUNT RATE FOLDER` (RATE 0 = without a pause)."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable


def submitter(peer: str) -> Callable[[str], None]:
    if peer == "celery":
        from celery_app import stamp as task

        return lambda folder: task.apply_async((time.time_ns(), folder)) and None
    from dramatiq_app import stamp as actor

    return lambda folder: actor.send(time.time_ns(), folder) and None


def paced(submit: Callable[[str], None], count: int, rate: float, folder: str) -> None:
    """Open loop: job i is due at i / rate, however long the jobs before took."""
    begun = time.perf_counter()
    for index in range(count):
        if rate and (ahead := begun + index / rate - time.perf_counter()) > 0:
            time.sleep(ahead)
        submit(folder)


async def paced_arq(count: int, rate: float, folder: str) -> None:
    from arq import create_pool
    from arq.connections import RedisSettings

    pool = await create_pool(RedisSettings.from_dsn(os.environ["BENCH_REDIS"]))
    begun = time.perf_counter()
    for index in range(count):
        if rate and (ahead := begun + index / rate - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        await pool.enqueue_job("stamp", time.time_ns(), folder)


if __name__ == "__main__":
    peer, count, rate, folder = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    if peer == "arq":
        asyncio.run(paced_arq(count, rate, folder))
    else:
        paced(submitter(peer), count, rate, folder)
