"""Logs as JSON lines on stderr, and metrics for Prometheus. Neither carries what a user wrote, or a secret."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

import structlog
from cachetools import LRUCache
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from runtime.settings import Settings, SettingUnusable

NOISY = ("aiokafka", "faust.topics", "boto3", "botocore", "s3transfer", "urllib3", "httpx", "httpcore", "asyncio")
"""Libraries that log each message or request. They even build log records of levels that nobody reads."""

SAID_AGAIN_AFTER_S = 10.0
"""A library that cannot reach its broker says so in four sentences, each ten times a second: 24 KB/s in the log of a
scheduler, 86 MB in an hour (`tests.system.faults`, with the broker kept down)."""
SENTENCES_MAX = 1_000
CAUSES_MAX = 5
"""Of a failure and those that caused it, so many are told."""


class Seldom(logging.Filter):
    """Lets each sentence of the noisy libraries pass once in SAID_AGAIN_AFTER_S, with how many were left out since. A
    sentence is what a library's code says, whatever it puts in."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._said: LRUCache[tuple[str, str], list[float]] = LRUCache(SENTENCES_MAX)
        """When each was said last, and how often it was left out since."""
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(NOISY):
            return True
        now_s, sentence = self._now_s(), (record.name, str(record.msg))
        with self._lock:
            known = self._said.get(sentence)
            if known is not None and now_s - known[0] < SAID_AGAIN_AFTER_S:
                known[1] += 1
                return False
            self._said[sentence] = [now_s, 0]
        if known is not None and known[1]:
            record.left_out = int(known[1])
        return True


class WordlessArguments(logging.Filter):
    """Libraries write failures into their lines: each becomes the name of its class."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(_named_by_class, record.args))
        elif record.args:
            record.args = {name: _named_by_class(argument) for name, argument in record.args.items()}
        return True


class _ClassName(str):
    """A name that `%r` shows as it is."""

    __slots__ = ()
    __repr__ = str.__str__


def _named_by_class(argument: object) -> object:
    return _ClassName(type(argument).__name__) if isinstance(argument, BaseException) else argument


class _Unfailing:
    """stderr, but a line that cannot be written is lost: a full disk must not end a process that only wanted to log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure_logging(process: str, level: str | None = None) -> None:
    """Send structlog's and the standard library's records to stderr, one JSON object a line.

    `process` is in every line. `level` defaults to the setting. Of a failure, whoever logs it, a line has the class and
    the places: its text may quote what it failed on.
    """
    stderr = cast(TextIO, _Unfailing(sys.stderr))
    number = logging.getLevelNamesMapping()[(level or Settings().log_level).upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _named(process),
        _failure_by_its_places,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stderr)
    handler.addFilter(Seldom())
    handler.addFilter(WordlessArguments())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=number, force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def serve_metrics(port: int, registry: CollectorRegistry = REGISTRY) -> None:
    """Serve this process's metrics on 127.0.0.1:`port`. 0 = not at all. SettingUnusable."""
    if not port:
        return
    try:
        start_http_server(port, addr="127.0.0.1", registry=registry)
    except (OSError, OverflowError) as error:
        found = error.strerror if isinstance(error, OSError) else "no port"
        raise SettingUnusable(
            f"HEADRACE_METRICS_PORT: expected a free port of 127.0.0.1, found {port}: {found}; 0 is none"
        ) from None


def without_words(error: BaseException) -> str:
    """The class of an exception and where it was raised, without its message, which may quote a record."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + place


def _failure_by_its_places(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Of a failure in the line: its class and where it was raised, and the same of those that caused it."""
    found = event.pop("exc_info", None)
    error = sys.exc_info()[1] if found is True else found[1] if isinstance(found, tuple) else found
    told: list[str] = []
    while isinstance(error, BaseException) and len(told) < CAUSES_MAX:
        told.append("".join(traceback.format_tb(error.__traceback__)) + type(error).__name__)
        error = error.__cause__ or error.__context__
    if told:
        event["exception"] = "\nbecause of\n".join(told)
    return event


def _named(process: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("process", process)
        return event

    return add
