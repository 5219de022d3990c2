"""How each process of ours begins: what keeps the process from running is told in a sentence, and never by a stack
trace alone."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import structlog
from confluent_kafka import KafkaError, KafkaException
from pydantic import ValidationError

from runtime.object_store_errors import StoreFault
from runtime.open_files import raise_open_files
from runtime.private_files import UMASK
from runtime.private_memory import keep_memory_private
from runtime.proxies import ProxyUnusable
from runtime.settings import ENV_PREFIX, SettingUnusable
from runtime.telemetry import configure_logging, without_words

_FORBIDDEN = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
EXIT_FAILED, EXIT_WRONG_USE, EXIT_INTERRUPTED = 1, 2, 130


class Ending(NamedTuple):
    """The last line of a process's log."""

    status: int
    event: str
    facts: dict[str, str]


def run_process(process: str, main: Callable[[], int | None]) -> int:
    """The exit status of the process: what `main` returns, or a failure's, which is logged as an error in one line."""
    keep_memory_private()
    os.umask(UMASK)
    raise_open_files()
    try:
        return main() or 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as failure:  # the log: whatever ends the process is its last words
        configure_logging(process, "info")
        status, event, facts = ending(failure)
        structlog.get_logger(__name__).error(event, **facts)
        return status


def exit_with(process: str, main: Callable[[], int | None]) -> NoReturn:
    """As `run_process`, then the end of the process, at once. Python itself would wait for threads that wait for a
    server, however long that does not answer; what matters is done by then."""
    status = run_process(process, main)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def ending(failure: Exception) -> Ending:
    """How a process ends by this failure. A defect is told by its places in the code and without its message, which may
    quote a record."""
    found = outer_fault(failure)
    if found:
        status = EXIT_WRONG_USE if isinstance(failure, ValidationError) else EXIT_FAILED
        return Ending(status, "cannot run", {"found": found})
    places = "".join(traceback.format_tb(failure.__traceback__))
    return Ending(EXIT_FAILED, "ended by a defect", {"found": without_words(failure), "places": places})


def outer_fault(failure: Exception) -> str:
    """What is wrong outside of the process, in a sentence; empty for a defect of ours."""
    if isinstance(failure, ValidationError):
        return settings_fault(failure)
    if isinstance(failure, KafkaException):
        return kafka_fault(failure)
    return str(failure) if isinstance(failure, SettingUnusable | ProxyUnusable | StoreFault) else ""


def kafka_fault(failure: KafkaException) -> str:
    """What a broker, or the way to it, has against us."""
    said = failure.args[0]
    if said.code() in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        return f"expected Kafka to know this process, found {said.str()}; see HEADRACE_KAFKA_USER"
    if said.code() in _FORBIDDEN:
        return f"expected Kafka to allow this to HEADRACE_KAFKA_USER, found {said.str()}; see `headrace topics acls`"
    return f"expected Kafka to answer, found {said.str()}; see `headrace status`, or set HEADRACE_KAFKA"


def settings_fault(failure: ValidationError) -> str:
    """The first setting of the environment that cannot be read. Words of pydantic quote no value: a value may
    be a secret."""
    first = failure.errors(include_url=False, include_input=False, include_context=False)[0]
    name = "_".join(str(part) for part in first["loc"]).upper()
    said: str = first["msg"].removeprefix("Value error, ")
    if not name:  # settings that do not go together, which the words name
        return said
    prefix = "" if name.startswith((ENV_PREFIX, "DATABASE_")) else ENV_PREFIX
    return f"{prefix}{name}: {said}"
