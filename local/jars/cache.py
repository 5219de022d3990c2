"""Where fetched jars are kept: once for each user and lock, shared by every stack and test."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from local.errors import CannotStart
from local.jars import lock_file, repository
from local.jars.download import ALL_S_MAX, Download
from local.jars.lock_file import Jar
from runtime.user_caches import CacheNotOurs, user_caches

WAIT_S_MAX = ALL_S_MAX + 60
"""How long to wait for another process that fetches the same jars. That process gives up before."""


def cache_dir() -> Path:
    """Our folder among the user's caches. CannotStart when there can be none."""
    try:
        return user_caches() / "headrace"
    except CacheNotOurs as error:
        raise CannotStart("a folder for caches", str(error), "Nothing was fetched") from None


def is_cached(server: str) -> bool:
    return _target(server).is_dir()


def classpath(server: str) -> str:
    """Java's -cp for the jars of the server's lock, fetched if need be. CannotStart when they cannot be fetched, or are
    not those of the lock any more."""
    fetch([server])
    require_untouched(server)
    return f"{_target(server)}/*"


def require_untouched(server: str) -> None:
    """Read every jar of the server: Java would run whatever lies in the folder. CannotStart names the first file that
    is not as the lock says."""
    folder = _target(server)
    locked = {jar.file_name: jar for jar in lock_file.read(server)}
    try:
        kept = sorted(path.name for path in folder.iterdir())
        fault = next((f"{name}, which the lock does not name" for name in kept if name not in locked), "")
        fault = fault or next((f"no {name}" for name in locked if name not in kept), "")
        fault = fault or next((f"other bytes in {name}" for name in locked if not _is(folder / name, locked[name])), "")
    except OSError as error:
        fault = (error.strerror or "a folder that cannot be read").lower()
    if fault:
        raise CannotStart(
            f"the jars of {server} in {folder} as they were fetched, each with the sha256 of its lock",
            fault,
            "Find out who changed it, for it would have run with your rights; then delete that folder, and the next"
            " start fetches the jars again",
        )


def _is(path: Path, jar: Jar) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


def fetch(servers: Sequence[str], console: Console | None = None) -> None:
    """See that the jars of these servers are there, with a bar for each on the console if it is a terminal.

    A server's folder is named by the hash of its lock and appears in one rename, so no folder is ever half filled.
    The servers are fetched side by side. CannotStart when a jar cannot be fetched; then every fetch has ended.
    """
    missing = [server for server in servers if not is_cached(server)]
    if not missing:
        return
    abandoned = threading.Event()
    with (
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            disable=console is None or not console.is_terminal,
            transient=True,
        ) as progress,
        ThreadPoolExecutor(len(missing)) as pool,
    ):
        try:
            for fetched in as_completed([pool.submit(_fetch, server, progress, abandoned) for server in missing]):
                fetched.result()
        finally:
            abandoned.set()


def _target(server: str) -> Path:
    return cache_dir() / "jars" / f"{server}-{lock_file.digest(server)}"


def _fetch(server: str, progress: Progress, abandoned: threading.Event) -> None:
    jars = lock_file.read(server)
    target = _target(server)
    task = progress.add_task(f"jars of {server}", total=sum(jar.size for jar in jars))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(server, target.parent, partial(progress.update, task), abandoned):
            if target.is_dir():
                return
            scratch = _scratch(server, target.parent, str(os.getpid()))
            try:
                scratch.mkdir()
                received = partial(progress.advance, task)
                Download(repository.chosen(), abandoned, received).run(jars, scratch)
                scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise CannotStart(
            f"to fetch the jars of {server} into {target.parent}",
            str(error),
            "Mend that; $XDG_CACHE_HOME names another place for caches",
        ) from None


@contextmanager
def _alone(server: str, folder: Path, show: Callable[..., None], abandoned: threading.Event) -> Iterator[None]:
    """Hold the lock on fetching this server's jars. The kernel takes the lock back when its holder is killed; what a
    killed holder left half fetched is deleted here."""
    lock = FileLock(folder / f"{server}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        show(description=f"jars of {server}: waiting for {_holder(server, folder)}")
        try:
            lock.acquire(timeout=WAIT_S_MAX, cancel_check=abandoned.is_set)
        except Timeout:
            raise CannotStart(
                f"the jars of {server} within {WAIT_S_MAX:.0f} s",
                f"that {_holder(server, folder)} is still fetching them",
                "See what that process waits for, or end it; then start again",
            ) from None
        show(description=f"jars of {server}")
    try:
        for remains in _scratches(server, folder):
            shutil.rmtree(remains, ignore_errors=True)
        yield
    finally:
        lock.release()


def _scratch(server: str, folder: Path, process: str) -> Path:
    """The folder that a process fills: its name says which process."""
    return folder / f"{server}.fetched-by-{process}"


def _scratches(server: str, folder: Path) -> list[Path]:
    return list(folder.glob(_scratch(server, folder, "*").name))


def _holder(server: str, folder: Path) -> str:
    """Whoever holds the lock, as far as the folders tell."""
    processes = [path.name.rpartition("-")[2] for path in _scratches(server, folder)]
    return f"process {processes[0]}" if processes else "another process"
