"""One Faust app, one topic: how each of our processors is hosted, and how it ends.

Settings and their reasons are in the stack notes (docs/decisions): one app reads one topic, because the consumer's long
poll for a quiet topic would delay the busy one; offsets that Faust commits are a hint and no more.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn

import confluent_kafka
import faust
import structlog
from aiokafka.errors import IllegalStateError
from faust.types import TP

from runtime import kafka
from runtime.settings import Settings
from runtime.shutdown import on_signal_async
from runtime.telemetry import configure_logging, serve_metrics, without_words
from streams.hosting.assignment import METADATA_MAX_AGE_MS, Assignor, keep_whole
from streams.hosting.faust_parts import NoMonitor, NoTables, commit, deliver_directly, read_committed
from streams.hosting.flow import FlowControl, fetch_what_flows
from streams.hosting.inbox import YIELD_EVERY, Inbox

log = structlog.get_logger(__name__)

EXIT_FAILED = 1
COMMIT_EVERY_S = 2.0
COMMIT_TIMEOUT_S = 5.0
BROKER_RETRY_S = 1.0
STOP_TIMEOUT_S = 10.0
IDLE_MAX_S = 30 * 86_400.0
"""Faust's client leaves its group, and never comes back, when it has fetched nothing for so long. Ours may hold back
all that they read for as long as the database is away."""
THREADS_MAX = 256
"""They are made when they are needed."""
QUIET = {"faust": logging.WARNING, "mode": logging.WARNING, "faust.app.base": logging.ERROR}
"""Loggers that tell of their own services' starting and stopping, and of sensors that nobody reads."""


def make_app(name: str, settings: Settings) -> Any:
    """A Faust app of this consumer group, for exactly one topic.

    The group knows its members by host and data directory, so one that was killed and is started again has its
    partitions back at once, instead of waiting until the broker gives the dead one up."""
    datadir = settings.data / name
    datadir.mkdir(parents=True, exist_ok=True)
    brokers = ";".join(f"kafka://{broker.strip()}" for broker in settings.kafka.split(","))
    app: Any = faust.App(
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
        broker_max_poll_interval=IDLE_MAX_S,
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=f"{name}-{socket.gethostname()}-{zlib.crc32(bytes(datadir.resolve())):08x}",
        TableManager=NoTables,
        Monitor=NoMonitor,
        PartitionAssignor=Assignor,
    )
    read_committed(app)
    app.flow = FlowControl()
    return app


def die(reason: str, **facts: Any) -> NoReturn:
    """End the process at once, with one line that says why. Whoever supervises starts it again.

    Nothing is flushed: what was not acknowledged is read or sent again by the next one.
    """
    log.error(reason, **facts)
    sys.stderr.flush()
    os._exit(EXIT_FAILED)


async def records_of(stream: Any) -> AsyncIterator[kafka.Record]:
    """The records of a stream, for as long as it goes on; after every few, others have their turn."""
    read = 0
    async for event in stream.events():
        record: kafka.Record = event.message.record
        yield record
        read += 1
        if read % YIELD_EVERY == 0:
            await asyncio.sleep(0)


async def seek_to(app: Any, topic: str, partition: int, offset: int) -> None:
    """Have the record at `offset` delivered next. Faust delivers what follows the offset it is sought to; what it had
    fetched before may still come first. While the group rebalances there is nothing to seek in: after that, everything
    is sought that is still ours."""
    try:
        await app.consumer.seek(TP(topic, partition), max(0, offset - 1))
    except IllegalStateError:
        log.info("not sought: the partition is not assigned just now", topic=topic, partition=partition)


def hold_back(app: Any, topic: str, partition: int, held: bool) -> None:
    """Fetch nothing of this partition, or fetch it again."""
    app.flow.hold(TP(topic, partition), held)


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


async def in_batches(
    stream: Any, take: Callable[[list[kafka.Record]], Awaitable[None]], records_max: int, rest_s: float = 0.0
) -> None:
    """`take` what arrived while it was at work last time, at most `records_max` at once, for as long as the stream goes
    on, with a rest of `rest_s` after each take. Faust counts a record as read before it was taken, and what has no room
    in memory meanwhile is left out: only for whoever keeps positions of its own, and seeks back.

    (`stream.take_events` polls for its time to be over, which costs a tenth of a core while nothing comes.)"""
    flow: FlowControl = stream.app.flow
    arrived = Inbox(partial(flow.hold_all, True), partial(flow.hold_all, False))

    async def work() -> None:
        while True:
            records = [await arrived.get()]
            while len(records) < records_max and arrived:
                records.append(await arrived.get())
            await take(records)
            if rest_s:
                await asyncio.sleep(rest_s)

    async def read() -> None:
        async for record in records_of(stream):
            arrived.put(record)

    tasks = {asyncio.create_task(work()), asyncio.create_task(read())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def host(
    app: Any,
    topic: str,
    body: Callable[[Any], Awaitable[None]],
    *,
    assigned: Callable[[set[int]], Awaitable[None]],
    stop: Callable[[], Awaitable[None]],
    places: Callable[[], Mapping[int, int]],
) -> None:
    """Run `body(stream)` on the topic until SIGTERM or SIGINT; then `stop`, then the app's own end.

    `assigned(partitions)` hears after each rebalance which partitions of the topic are ours. `places()` gives the next
    offset to read of each; the group commits them, so that whoever watches its lag sees it end, behind markers of
    transactions too. To us they are a hint and no more. An exception in the body, and a crash of the app, end the
    process: Faust would count the record as read and go on."""

    async def guarded(stream: Any) -> None:
        try:
            await body(stream)
        except Exception as error:  # the records behind: none is passed over, the log says why the process ends
            die("a processor failed", topic=topic, found=without_words(error))

    async def on_assigned(_app: Any, partitions: set[TP], **_: Any) -> None:
        await assigned({tp.partition for tp in partitions if tp.topic == topic})

    source = app.topic(topic, value_serializer="raw", key_serializer="raw", acks=False)
    app.agent(source, name=topic, concurrency=1)(guarded)
    app.on_partitions_assigned.connect(on_assigned, weak=False)
    stopping = asyncio.ensure_future(on_signal_async().wait())
    app.finalize()
    deliver_directly(app.consumer)
    fetch_what_flows(app.consumer, app.flow)
    await app.maybe_start()
    crashed = asyncio.ensure_future(app.wait_until_stopped())
    committing = asyncio.create_task(_commit_again_and_again(app, topic, places))
    watching = asyncio.create_task(keep_whole(app, topic))
    await asyncio.wait({crashed, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if watching.done() and (failure := watching.exception()):
        die("nobody looks whether the topic grows", topic=topic, found=without_words(failure))
    if not stopping.done():
        die("the Faust app stopped by itself", found=without_words(app.crash_reason) if app.crash_reason else "")
    committing.cancel()
    last = dict(places())
    await stop()
    await _commit(app, topic, last | dict(places()))
    watching.cancel()
    crashed.cancel()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await app.stop()
    except TimeoutError:
        die("the Faust app did not stop in time; nothing is lost by that", limit_s=STOP_TIMEOUT_S)


async def _commit_again_and_again(app: Any, topic: str, places: Callable[[], Mapping[int, int]]) -> None:
    """Commit the places that have moved."""
    committed: dict[int, int] = {}
    while True:
        await asyncio.sleep(COMMIT_EVERY_S)
        moved = {partition: offset for partition, offset in places().items() if committed.get(partition) != offset}
        if moved and await _commit(app, topic, moved):
            committed |= moved


async def _commit(app: Any, topic: str, places: Mapping[int, int]) -> bool:
    """False when it was not possible now: a rebalance, or a broker that is away. Nothing depends on it."""
    try:
        async with asyncio.timeout(COMMIT_TIMEOUT_S):
            await commit(app, {TP(topic, partition): offset for partition, offset in places.items()})
    except Exception as error:  # the processor, which needs no commit: the caller hears False, the log why
        log.debug("the group's offsets were not committed; tried again", topic=topic, found=without_words(error))
        return False
    return True


def start(process: str, serve: Callable[[Settings, str], Coroutine[Any, Any, None]], group: str) -> None:
    """The main function of a processor: its arguments, settings, logs and metrics, then `serve(settings, group)`."""
    parser = argparse.ArgumentParser(prog=f"python -m streams.{process}")
    parser.add_argument("--group", default=group, help="consumer group that shares out the partitions (%(default)s)")
    group = parser.parse_args().group
    settings = Settings()
    configure_logging(process, settings.log_level)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    serve_metrics(settings.metrics_port)
    asyncio.run(_with_threads(serve(settings, group)))


async def _with_threads(serving: Coroutine[Any, Any, None]) -> None:
    """Threads enough for every pool's calls of the broker and the object store: with Python's own few, those that wait
    for a store that is away would keep all others from asking the broker."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS_MAX, "calls"))
    await serving
