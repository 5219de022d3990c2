"""The means to break a running stack for a while: to freeze a process, to keep a part down, to make Postgres
read-only."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from local import stack
from tests.system.installation import Installation
from tests.waiting import until

UP_WITHIN_S = 60.0
"""A part that was killed several times is started again after 30 s at the latest (local.parts.BACKOFF_S_MAX)."""
LOOK_EVERY_S = 0.1


def process_of(here: Installation, part: str) -> psutil.Process:
    """The part's process, once it runs."""

    def found() -> psutil.Process | None:
        pid = here.pid(part)
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(pid) if pid else None
        return None

    process = until(found, f"{part} runs", UP_WITHIN_S)
    assert process is not None
    return process


@contextmanager
def frozen(here: Installation, part: str, *, with_children: bool = False) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end: the part keeps every connection and answers nobody. `with_children`: what the
    part has started stands still as well, as on a machine that is suspended."""
    process = process_of(here, part)
    stopped = [process]
    with contextlib.suppress(psutil.NoSuchProcess):
        process.suspend()
        if with_children:
            stopped += process.children(recursive=True)
            _signal(stopped[1:], signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(stopped, signal.SIGCONT)


def keep_down(here: Installation, part: str, for_s: float) -> None:
    """kill -9 the part, and again whenever its supervisor has started it, for so long."""
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        here.kill(part)
        time.sleep(LOOK_EVERY_S)


@contextmanager
def read_only(here: Installation) -> Iterator[None]:
    """Postgres takes no writes."""
    until(lambda: _set_read_only(here, True), "Postgres is made read-only", UP_WITHIN_S)
    try:
        yield
    finally:
        until(lambda: _set_read_only(here, False), "Postgres takes writes again", UP_WITHIN_S)


def _set_read_only(here: Installation, whether: bool) -> bool:
    """False when the server did not take the word: it may be down."""
    url = stack.owner_settings(here.data).database_url
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    change = "SET default_transaction_read_only = on" if whether else "RESET default_transaction_read_only"
    try:
        with engine.connect() as connection:
            connection.execute(text("SET default_transaction_read_only = off"))
            connection.execute(text(f"ALTER SYSTEM {change}"))
            connection.execute(text("SELECT pg_reload_conf()"))
    except SQLAlchemyError:
        return False
    return True


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # killed meanwhile; psutil signals no other that has its number
            process.send_signal(number)
