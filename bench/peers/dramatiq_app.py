from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from stamp import stamp as note_start

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS"]))


stamp = dramatiq.actor(note_start)
