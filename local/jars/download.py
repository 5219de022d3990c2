"""Fetch the jars of a lock into a folder: several at a time, each checked against its sha256 while it comes in."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import httpx
import stamina

from local.errors import CannotStart
from local.jars.lock_file import Jar
from local.jars.repository import VARIABLE, Repository
from runtime.http_client import http_client

CONNECTIONS = 8
TRIES = 4
"""Of each jar."""
TRIES_S_MAX = 60.0
"""No further try begins after this long."""
ALL_S_MAX = 600.0
"""For all jars together, however slowly they come in."""
TIMEOUT = httpx.Timeout(30, connect=10)
CHUNK_BYTES = 64 * 1024

_TRY_AGAIN = (408, 425, 429)
"""Of the answers below 500, those that may be another one next time."""


class _NotTheJar(Exception):
    """The repository answered, and not with the bytes that the lock names."""


class Abandoned(Exception):
    """Another jar failed, or the user gave up: whatever this jar brings would be thrown away."""


class Download:
    """One fetch of some jars from one repository.

    `abandoned` ends the fetch when it is set. `received` hears how many bytes came in, and a negative number when a jar
    is begun again.
    """

    def __init__(self, repository: Repository, abandoned: threading.Event, received: Callable[[int], None]) -> None:
        self._repository = repository
        self._abandoned = abandoned
        self._received = received
        self._failed = threading.Event()
        self._deadline = time.monotonic() + ALL_S_MAX
        self._client = http_client(
            str(repository.address),
            auth=repository.login,
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            follow_redirects=True,
            headers={"User-Agent": "headrace", "Accept-Encoding": "identity"},
        )

    def run(self, jars: Sequence[Jar], folder: Path) -> None:
        """Write every jar to the folder, or raise the first failure: CannotStart, or OSError from the disk."""
        largest_first = sorted(jars, key=lambda jar: -jar.size)
        with self._client, ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="jars") as pool:
            fetches = [pool.submit(self._fetch, jar, folder / jar.file_name) for jar in largest_first]
            try:
                for fetch in as_completed(fetches):
                    fetch.result()
            finally:
                self._failed.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, jar: Jar, file: Path) -> None:
        url = f"{str(self._repository.address).rstrip('/')}/{jar.path}"
        try:
            for attempt in stamina.retry_context(on=_may_pass, attempts=TRIES, timeout=TRIES_S_MAX, wait_max=5):
                with attempt:
                    self._stream(url, jar, file)
        except (httpx.HTTPError, _NotTheJar) as error:
            raise CannotStart(
                f"{jar.file_name} ({jar.size} bytes, sha256 {jar.sha256}) at {url}",
                _in_words(error),
                f"{_todo(error)} The repository is named by {self._repository.named_by}; ${VARIABLE} names another one."
                " Nothing half-fetched was kept",
            ) from None

    def _stream(self, url: str, jar: Jar, file: Path) -> None:
        digest = hashlib.sha256()
        received = 0
        try:
            with self._client.stream("GET", url) as response, file.open("wb") as out:
                response.raise_for_status()
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    self._go_on()
                    received += len(chunk)
                    if received > jar.size:
                        raise _NotTheJar(f"more than {jar.size} bytes")
                    self._received(len(chunk))
                    digest.update(chunk)
                    out.write(chunk)
            if digest.hexdigest() != jar.sha256:
                raise _NotTheJar(f"{received} bytes, sha256 {digest.hexdigest()}")
        except BaseException:  # whatever stopped this try, the bar shows only bytes that are kept
            self._received(-received)
            raise

    def _go_on(self) -> None:
        if self._failed.is_set() or self._abandoned.is_set():
            raise Abandoned
        if time.monotonic() > self._deadline:
            raise CannotStart(
                f"the jars within {ALL_S_MAX:.0f} s from {self._repository.address}",
                "that some are still coming in",
                f"Try again on a faster line, or name a nearer repository with ${VARIABLE}. Nothing was kept",
            )


def _may_pass(error: Exception) -> bool:
    """Whether the same request may be answered better in a moment."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code in _TRY_AGAIN
    return isinstance(error, httpx.TransportError)


def _in_words(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP status {error.response.status_code}"
    return f"{type(error).__name__}: {error}" if isinstance(error, httpx.HTTPError) else str(error)


def _todo(error: Exception) -> str:
    if isinstance(error, _NotTheJar):
        return "Do not use that file, and tell whoever runs the repository."
    if isinstance(error, httpx.HTTPStatusError):
        return "See why the repository does not give the file."
    return "Check the network, and $HTTPS_PROXY if there is a proxy."
