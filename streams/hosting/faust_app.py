"""One Faust app, one topic: how each of our processors is hosted, and how it ends.

One app reads one topic, because the long poll of the consumer for a quiet topic would delay a busy one. The offsets
that Faust commits are a hint and no more. docs/decisions gives the reasons for the settings.
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
from runtime.anonymous_clients import require_names
from runtime.entry import exit_with
from runtime.settings import Settings, SettingUnusable
from runtime.shutdown import on_signal_async
from runtime.telemetry import configure_logging, serve_metrics, without_words
from streams.hosting.assignment import METADATA_MAX_AGE_MS, Assignor, keep_whole
from streams.hosting.faust_credentials import broker_credentials
from streams.hosting.faust_parts import (
    NoMonitor,
    NoTables,
    commit,
    deliver_directly,
    measure_queues,
    read_committed,
)
from streams.hosting.flow import FlowControl, fetch_what_flows
from streams.hosting.inbox import YIELD_EVERY, Inbox, bytes_of

log = structlog.get_logger(__name__)

EXIT_FAILED = 1
COMMIT_EVERY_S = 2.0
COMMIT_TIMEOUT_S = 5.0
BROKER_RETRY_S = 1.0
STOP_TIMEOUT_S = 10.0
IDLE_MAX_S = 30 * 86_400.0
"""Faust's client leaves its group for ever when it has fetched nothing for so long. A processor of ours may hold back
all its partitions for as long as the database is away."""
TAKE_BYTES = 2 * 1024 * 1024
"""A record takes several times its bytes once it is decoded."""
THREADS_MAX = 256
"""Threads are made when they are needed."""
QUIET = {"faust": logging.WARNING, "mode": logging.WARNING, "faust.app.base": logging.ERROR}
"""Loggers that tell when services of Faust start and stop, and of sensors that nobody reads."""


def make_app(name: str, settings: Settings) -> Any:
    """A Faust app of this consumer group, for exactly one topic.

    The group knows its members by host and data directory. So a member that was killed and starts again has its
    partitions back at once, and does not wait until the broker gives the dead member up. SettingUnusable."""
    datadir = settings.data / name
    try:
        datadir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingUnusable(
            f"HEADRACE_DATA: expected a directory to write to, found {settings.data}: {error.strerror}"
        ) from None
    brokers = ";".join(f"kafka://{broker.strip()}" for broker in settings.kafka.split(","))
    app: Any = faust.App(
        name,
        broker=brokers,
        broker_credentials=broker_credentials(settings.brokers.credentials),
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
    measure_queues(app, app.flow)
    return app


def die(reason: str, **facts: Any) -> NoReturn:
    """End the process at once, with one line that says why. Its supervisor starts it again.

    Nothing is flushed: the next process reads or sends again what was not acknowledged.
    """
    log.error(reason, **facts)
    sys.stderr.flush()
    os._exit(EXIT_FAILED)


async def records_of(stream: Any) -> AsyncIterator[kafka.Record]:
    """The records of a stream, for as long as it goes on. After every few records others have their turn."""
    read = 0
    async for event in stream.events():
        record: kafka.Record = event.message.record
        yield record
        read += 1
        if read % YIELD_EVERY == 0:
            await asyncio.sleep(0)


async def seek_to(app: Any, topic: str, partition: int, offset: int) -> None:
    """Have the record at `offset` delivered next. Records that Faust fetched before may still come first. While the
    group rebalances nothing can be sought; after that, everything that is still ours is sought anyway."""
    before = max(0, offset - 1)  # Faust delivers what follows the offset it is sought to
    try:
        await app.consumer.seek(TP(topic, partition), before)
    except IllegalStateError:
        log.info("not sought: the partition is not assigned just now", topic=topic, partition=partition)


def hold_back(app: Any, topic: str, partition: int, held: bool) -> None:
    """Fetch nothing of this partition, or fetch it again."""
    app.flow.hold(TP(topic, partition), held)


async def wait_for_broker(settings: Settings, topic: str) -> None:
    """Wait until the broker answers for `topic`. A wait is logged once for each reason."""
    said = ""
    watermarks = kafka.Watermarks(settings.brokers)
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
    """Call `take` with what arrived during the last call, for as long as the stream goes on: at most `records_max`
    records, and none more once they have TAKE_BYTES. Rest `rest_s` after each call. Faust counts a record as read
    before it is taken, and records for which memory has no room are left out; so use this only if you keep positions of
    your own and seek back.

    (`stream.take_events` polls until its time is over, which costs a tenth of a core while nothing comes.)"""
    flow: FlowControl = stream.app.flow
    arrived = Inbox(partial(flow.hold_all, True), partial(flow.hold_all, False))

    taking = False
    flow.is_behind = lambda: taking or bool(arrived)

    async def work() -> None:
        nonlocal taking
        while True:
            records = [await arrived.get()]
            taking = True
            size = bytes_of(records[0])
            while len(records) < records_max and size < TAKE_BYTES and arrived:
                records.append(await arrived.get())
                size += bytes_of(records[-1])
            await take(records)
            records.clear()  # so they do not stay in memory until the next one comes
            taking = False
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
    """Run `body(stream)` on the topic until SIGTERM or SIGINT; then call `stop`, then end the app.

    `assigned(partitions)` hears after each rebalance which partitions of the topic are ours. `places()` gives the next
    offset to read of each partition. The group commits them, so the lag that people watch goes to 0, behind markers of
    transactions too; to us they are a hint and no more. An exception in the body ends the process, and so does a crash
    of the app: Faust would count the record as read and go on."""

    async def guarded(stream: Any) -> None:
        try:
            await body(stream)
        except Exception as error:  # end the process and say why: no record behind this one is passed over
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
    """Commit the places that have moved, for ever."""
    committed: dict[int, int] = {}
    while True:
        await asyncio.sleep(COMMIT_EVERY_S)
        moved = {partition: offset for partition, offset in places().items() if committed.get(partition) != offset}
        if moved and await _commit(app, topic, moved):
            committed |= moved


async def _commit(app: Any, topic: str, places: Mapping[int, int]) -> bool:
    """False when committing was not possible now: a rebalance, or a broker that is away. Nothing depends on it."""
    try:
        async with asyncio.timeout(COMMIT_TIMEOUT_S):
            await commit(app, {TP(topic, partition): offset for partition, offset in places.items()})
    except Exception as error:  # the processor needs no commit: the caller hears False, the log says why
        log.debug("the group's offsets were not committed; tried again", topic=topic, found=without_words(error))
        return False
    return True


def start(process: str, serve: Callable[[Settings, str], Coroutine[Any, Any, None]], group: str) -> NoReturn:
    """The main function of a processor: its arguments, settings, logs and metrics, then `serve(settings, group)`, then
    its end."""
    parser = argparse.ArgumentParser(prog=f"python -m streams.{process}")
    parser.add_argument("--group", default=group, help="consumer group that shares out the partitions (%(default)s)")
    group = parser.parse_args().group

    def run() -> None:
        settings = Settings()
        configure_logging(process, settings.log_level)
        for name, level in QUIET.items():
            logging.getLogger(name).setLevel(level)
        require_names(settings)
        serve_metrics(settings.metrics_port)
        asyncio.run(_with_threads(serve(settings, group)))

    exit_with(process, run)


async def _with_threads(serving: Coroutine[Any, Any, None]) -> None:
    """Serve with threads enough for the calls that every pool makes to the broker and the object store. Python's own
    default is a few: calls that wait for a store that is away would keep all others from asking the broker."""
    asyncio.get_running_loop().set_default_executor(_CallThreads(THREADS_MAX, "calls"))
    await serving


class _CallThreads(ThreadPoolExecutor):
    """The end of the event loop shuts them down, and waits for no call that a server has not answered."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)
