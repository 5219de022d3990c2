from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from stamp import stamp as note

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS"]))


@dramatiq.actor
def stamp(sent_ns: int, folder: str) -> None:
    note(sent_ns, folder)
