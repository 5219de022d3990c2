from __future__ import annotations

import os
from typing import Any, ClassVar

from arq.connections import RedisSettings
from stamp import stamp as note_start


async def stamp(context: dict[str, Any], sent_ns: int, folder: str) -> None:
    note_start(sent_ns, folder)


class WorkerSettings:
    functions: ClassVar = [stamp]
    redis_settings = RedisSettings.from_dsn(os.environ["BENCH_REDIS"])
    keep_result = 0
    poll_delay = 0.005
    max_jobs = 100
