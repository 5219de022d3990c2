"""What models handed over becomes files: by a few encoders at a time, while the next attempt computes.

For the threads that store results. An encoder is given the raw pictures as an open file, and a directory of the
attempt's own to write to. An encoder that fails is tried once more; then the attempt has failed, by no fault of its
model. When the disk is full all of this waits for room.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, Queue
from typing import Protocol

import structlog

from contract.orders import Run
from gpu_worker.io.encoder_process import EncoderFailed, run_encoder
from gpu_worker.io.encoder_wall import EncoderWall
from gpu_worker.io.encoding import EncoderTuning, address_space, arguments
from gpu_worker.io.marks import BEGIN_BYTES, END_BYTES, Mark, patch
from gpu_worker.io.outputs import BadOutput, OpenOutput, check_names
from gpu_worker.io.visible_mark import FILE as LABEL_FILE
from gpu_worker.io.visible_mark import label
from gpu_worker.rules.handed_media import HandedMedia, fault_of, raw_name
from runtime.worker.rules.holding import DISK_RESERVE_BYTES

log = structlog.get_logger(__name__)

LOOK_S = 0.2
CLOSING_S = 3.0
"""How long a node that ends waits for its encoders, which it killed, to be gone."""
TRIES = 2
FILE_BYTES_MAX = 8 * 2**30
"""What one encoder may write to a file."""
PICTURE_BYTES_MAX = 256 * 2**20
"""Of a JPEG, which is read whole when it is marked."""


class Places(Protocol):
    """runtime.worker.scratch.Scratch, as far as encoders use one. Any thread may call these."""

    def encoded(self, dispatch: str) -> str: ...
    def make_encoded(self, dispatch: str, owner: int) -> None: ...
    def open_encoded(self, dispatch: str) -> int: ...


class Encoders:
    def __init__(
        self, program: str, tuning: EncoderTuning, places: Places, wall: EncoderWall | None, frames_bytes_max: int
    ) -> None:
        """`program`: ffmpeg's path; empty: there is none. `wall`: what holds encoders off this process."""
        self._program = program
        self._tuning = tuning
        self._places = places
        self._wall = wall
        self._frames_bytes_max = frames_bytes_max
        self._closing = threading.Event()
        self._free: Queue[int] = Queue()
        """Numbers of the encoders that are not at work."""
        for number in range(tuning.processes):
            self._free.put(number)

    @property
    def at_once(self) -> int:
        return self._tuning.processes

    def check(self, media: Sequence[HandedMedia], outputs: Sequence[str]) -> None:
        """BadOutput when an attempt with these outputs may not hand this over."""
        fault = fault_of(media, outputs, self._frames_bytes_max)
        if fault:
            raise BadOutput("BadFrame", f"{fault}; hand pictures over with ctx.video and ctx.image only\n")
        check_names((*outputs, *(name for one in media for name in one.names)))

    def encode(
        self, run: Run, media: Sequence[HandedMedia], folder: int, look: Callable[[], None], done: Callable[[], None]
    ) -> int:
        """Make the files of all that was handed over, of which the open directory `folder` has the bytes; the directory
        with the files, open. The bytes are deleted as soon as they are encoded, and then `done` is called. Repeated,
        this goes on where it ended. `look` raises when nobody wants the files.

        BadOutput; EncoderFailed; OSError, above all when the disk is full."""
        if not self._program:
            raise EncoderFailed(
                "FileNotFoundError",
                "expected the program ffmpeg on this node, found none; install the wheel imageio-ffmpeg, or name one in"
                " HEADRACE_FFMPEG",
            )
        number = self._take_turn(look)
        try:
            self._places.make_encoded(run.dispatch, self._owner(number))
            encoded = self._places.open_encoded(run.dispatch)
            try:
                for place, one in enumerate(media):
                    if self._encode_one(run, one, place, folder, encoded, number, look):
                        done()
            except BaseException:  # whatever it was, the directory is not left open
                os.close(encoded)
                raise
            return encoded
        finally:
            self._free.put(number)

    def close(self) -> None:
        """End the encoders, and wait until they have ended. What waits for its turn gives up."""
        self._closing.set()
        until_s = time.monotonic() + CLOSING_S
        while self._free.qsize() < self._tuning.processes and time.monotonic() < until_s:
            time.sleep(LOOK_S / 10)

    def _take_turn(self, look: Callable[[], None]) -> int:
        while True:
            self._look(look)
            with contextlib.suppress(Empty):
                return self._free.get(timeout=LOOK_S)

    def _look(self, look: Callable[[], None]) -> None:
        look()
        if self._closing.is_set():
            raise EncoderFailed("Abandoned", "expected this node to go on, found that it ends")

    def _encode_one(
        self,
        run: Run,
        one: HandedMedia,
        place: int,
        folder: int,
        encoded: int,
        number: int,
        look: Callable[[], None],
    ) -> bool:
        """False when it was done before."""
        try:
            opened = OpenOutput(folder, raw_name(place))
        except BadOutput as error:
            if error.name == "OutputMissing" and _is_made(encoded, one):
                return False
            raise
        mark = Mark(run.model, run.version, run.job)
        with opened as raw:
            if raw.bytes != one.raw_bytes:
                raise BadOutput(
                    "OutputChanged", f"{one.name}: expected {one.raw_bytes} bytes of pictures, found {raw.bytes}\n"
                )
            raw.check_closed()
            self._try(run, one, raw.fd, encoded, number, mark, look)
            raw.check_unchanged()
        for name in one.names:
            _mark(encoded, name, mark)
        os.unlink(raw_name(place), dir_fd=folder)
        return True

    def _owner(self, number: int) -> int:
        return 0 if self._wall is None else self._wall.owner(number)

    def _try(
        self, run: Run, one: HandedMedia, raw: int, encoded: int, number: int, mark: Mark, look: Callable[[], None]
    ) -> None:
        directory = self._places.encoded(run.dispatch)
        shown = label(one.width, one.height) if run.visible_mark else None
        if shown is not None:
            _write(encoded, LABEL_FILE, shown.data, self._owner(number))
        command = [self._program, *arguments(one, mark.comment, self._tuning.threads, shown)]
        is_kept = False
        if self._wall is not None:
            before, is_kept = self._wall.before(number, self._program, directory, address_space(one), FILE_BYTES_MAX)
            command = [*before, *command]
        environment = {"HOME": directory, "MALLOC_ARENA_MAX": "1"}
        for tries in range(1, TRIES + 1):
            try:
                run_encoder(
                    command,
                    environment,
                    directory,
                    raw,
                    self._tuning.limit_s,
                    lambda: self._look(look),
                    is_kept=is_kept,
                )
                return
            except EncoderFailed as error:
                _check_room(encoded)
                if tries == TRIES or error.name == "Abandoned":
                    raise
                log.warning("an encoder failed, and is tried again", dispatch=run.dispatch, error=error.name)


def _check_room(folder: int) -> None:
    """OSError when the disk is full: then nothing that failed here says anything."""
    found = os.fstatvfs(folder)
    if found.f_bavail * found.f_frsize < DISK_RESERVE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_made(encoded: int, one: HandedMedia) -> bool:
    try:
        return all(os.stat(name, dir_fd=encoded, follow_symlinks=False).st_size for name in one.names)
    except OSError:
        return False


def _write(folder: int, name: str, data: bytes, owner: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with os.fdopen(fd, "wb") as file:
        if owner:
            os.fchown(fd, owner, owner)
        file.write(data)


def _mark(folder: int, name: str, mark: Mark) -> None:
    """Write the mark into the file that an encoder made. EncoderFailed when it is no such file."""
    try:
        fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise EncoderFailed("OutputMissing", f"{name}: expected the encoder to make it, found none") from None
    with os.fdopen(fd, "r+b", buffering=0) as file:
        size = os.fstat(fd).st_size
        begin, end = os.pread(fd, BEGIN_BYTES, 0), os.pread(fd, END_BYTES, max(0, size - END_BYTES))
        try:
            found = patch(name, begin, end, size, mark)
        except ValueError as error:
            raise EncoderFailed("BadValues", f"{name}: {error}") from None
        behind = size - found.at
        if behind > PICTURE_BYTES_MAX:
            raise EncoderFailed("OutputsTooLarge", f"{name}: expected at most {PICTURE_BYTES_MAX} bytes, found {size}")
        data = memoryview(found.data + os.pread(fd, behind, found.at))
        file.seek(found.at)
        while data:
            data = data[file.write(data) :]
