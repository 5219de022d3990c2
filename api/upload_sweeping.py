"""Each API process removes what uploads left, now and then: nobody else may write below `uploads/`."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import Engine

from operations.upload_sweep import sweep_uploads
from runtime.object_store import ObjectStore
from runtime.telemetry import without_words

EVERY_S = 60.0

log = structlog.get_logger(__name__)


async def sweep_now_and_then(engine: Engine, store: ObjectStore) -> None:
    """For ever. While the database or the store is away, nothing is removed, and the next sweep goes on."""
    while True:
        try:
            swept = await asyncio.to_thread(sweep_uploads, engine, store)
        except Exception as error:  # whatever it is, the next sweep may work, and requests are served meanwhile
            log.warning("uploads are not removed now", found=without_words(error))
        else:
            if any(swept):
                log.info("uploads removed", **swept._asdict())
        await asyncio.sleep(EVERY_S)
