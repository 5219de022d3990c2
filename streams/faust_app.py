"""One Faust app, one topic: how each of our processors is hosted, and how it ends.

Settings and their reasons are in the stack notes (docs/decisions): one app reads one topic, because the consumer's long
poll for a quiet topic would delay the busy one; offsets that Faust commits are a hint and no more.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import confluent_kafka
import faust
import structlog
from faust.types import TP

from runtime import kafka
from runtime.settings import Settings
from runtime.shutdown import on_signal_async

log = structlog.get_logger(__name__)

EXIT_FAILED = 1
BROKER_RETRY_S = 1.0
STOP_TIMEOUT_S = 10.0


def make_app(name: str, settings: Settings) -> Any:
    """A Faust app of this consumer group, for exactly one topic."""
    datadir = settings.data / name
    datadir.mkdir(parents=True, exist_ok=True)
    brokers = ";".join(f"kafka://{broker.strip()}" for broker in settings.kafka.split(","))
    return faust.App(
        name,
        broker=brokers,
        store="memory://",
        datadir=str(datadir),
        value_serializer="raw",
        key_serializer="raw",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_buffer_maxsize=131_072,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
        broker_max_poll_records=1_000,
        consumer_auto_offset_reset="earliest",
    )


def die(reason: str, **facts: Any) -> NoReturn:
    """End the process at once, with one line that says why. Whoever supervises starts it again.

    Nothing is flushed: what was not acknowledged is read or sent again by the next one.
    """
    log.error(reason, **facts)
    sys.stderr.flush()
    os._exit(EXIT_FAILED)


def record_of(message: Any) -> kafka.Record:
    """A Faust message as the rest of us know records."""
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return kafka.Record(
        message.topic,
        message.partition,
        message.offset,
        round(message.timestamp * 1000),
        message.key,
        message.value,
        list(pairs),
    )


async def seek_to(app: Any, tp: TP, offset: int) -> None:
    """Have the record at `offset` delivered next. Faust delivers what follows the offset it is sought to; what it had
    fetched before may still come first."""
    await app.consumer.seek(tp, max(0, offset - 1))


async def wait_for_broker(settings: Settings, topic: str) -> None:
    """Wait until the broker answers for `topic`. Says so once when it has to wait."""
    said = ""
    watermarks = kafka.Watermarks(settings.kafka)
    try:
        while True:
            try:
                await asyncio.to_thread(watermarks.of, topic, 0)
                return
            except confluent_kafka.KafkaException as error:
                reason = str(error.args[0])
            if reason != said:
                log.warning("waiting for the broker", topic=topic, found=reason)
                said = reason
            await asyncio.sleep(BROKER_RETRY_S)
    finally:
        watermarks.close()


async def run(app: Any, on_stop: Callable[[], Awaitable[None]]) -> None:
    """Run the app until SIGTERM or SIGINT, then `on_stop` and the app's own end. Its crash ends the process."""
    stopping = on_signal_async()
    app.finalize()
    await app.maybe_start()
    crashed = asyncio.ensure_future(app.wait_until_stopped())
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({crashed, stop}, return_when=asyncio.FIRST_COMPLETED)
    if not stop.done():
        die("the Faust app stopped by itself", found=repr(app.crash_reason))
    await on_stop()
    crashed.cancel()
    try:
        await asyncio.wait_for(app.stop(), STOP_TIMEOUT_S)
    except TimeoutError:
        die("the Faust app did not stop in time; nothing is lost by that", limit_s=STOP_TIMEOUT_S)
