"""One run of the decoder's program behind its layers: what it prints is read as it comes, and it ends in any case.

Theory of operation. The program gets open descriptors and no directory that it may write to; behind the layers of
`runtime.worker.confinement` it sees its own folder, no network, no other process. It stays in the process group of
whoever calls, and dies with the thread that started it: to kill the group leaves nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import structlog

from runtime.media.decoder_program import DecoderProgram, DecoderUnusable, find_program, look_at
from runtime.worker.canary_flight import LayersFound, find_layers
from runtime.worker.child_process import END_ALL
from runtime.worker.confinement import LAYERS, ChildPlaces, Confinement, Form, Network

log = structlog.get_logger(__name__)

PROCESSES_MAX = 64
"""Threads of the program: one for each part of its pipeline, and the keeper's two processes."""
OPEN_FILES_MAX = 64
PIPE_BYTES = READ_BYTES = 1024 * 1024
LINE_BYTES_MAX = 4_096
"""Of what the program says, longer lines are passed over: they show bytes of the file."""
SAID_BYTES_MAX = 256 * 1024 * 1024
"""Of all that it says. Whoever says more is ended."""
REFUSED, NO_PROGRAM = 126, 127
"""Exit statuses of `enter.py`."""
LIBRARIES = ("/lib", "/lib32", "/lib64", "/libx32", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
"""All that the program sees of the system, besides its own folder."""
LAST_WORDS_S = 2.0
"""How long its pipes may stay open when it has ended. What it wrote is there at once."""
NOTHING_WRITTEN = 1
"""Bytes of a file that the program may write, where it writes none."""
_VARIABLES = {"MALLOC_ARENA_MAX": "1"}
"""Else each thread reserves an arena, and one limit of address space holds in one run and not in the next."""


class MediaDecoder(msgspec.Struct, frozen=True):
    """The program and its confinement: a value that one node has from its start on."""

    program: DecoderProgram
    confinement: Confinement | None
    """None: only the limits of the process stand around it. For tests."""
    held: tuple[str, ...] = ()
    """Layers that the canary found to hold, in words."""
    missing: tuple[str, ...] = ()
    slot: int = 0
    """Runs at the same time need slots of their own: each has a user of its own."""


def find_decoder(named: str, folder: Path, hidden: Sequence[Path]) -> MediaDecoder:
    """The program and the tightest layers that it starts behind. `named`: Settings.ffmpeg. `folder`: for the layers'
    own use, made here, and kept while the decoder is used. `hidden`: directories of the installation. The log says
    which layers hold. DecoderUnusable, OSError."""
    return decoder_behind(named, find_layers(folder, hidden, {}))


def decoder_behind(named: str, found: LayersFound) -> MediaDecoder:
    """The same, behind layers that the canary has looked at. The log says which hold. DecoderUnusable."""
    program = look_at(find_program(named))
    if not program.is_usable:
        raise DecoderUnusable(program.fault)
    held = tuple(layer.value for layer in LAYERS if layer not in found.broken)
    missing = tuple(layer.value for layer in found.broken)
    decoder = MediaDecoder(program, found.confinement, held, missing)
    tell_of(decoder)
    return decoder


def said_of_layers(form: Form) -> str:
    """What stands around the program in this form, in words."""
    limits = "limits of memory, seconds, open files and bytes written"
    if form is Form.LIMITS:
        return f"{limits}; nothing else"
    if form is Form.RULES:
        return f"opens nothing but the system's files and what it is given, no TCP (Landlock); {limits}"
    own = "a user, processes" if form is Form.OWN_USER else "processes"
    return f"{own} and a network of its own, sees libraries and its own folder alone; {limits}"


def tell_of(decoder: MediaDecoder) -> None:
    """The log says which program decodes, what stands around it, and what is missing there."""
    program, confinement = decoder.program, decoder.confinement
    facts = {
        "version": program.version,
        "licence": program.licence,
        "layers": said_of_layers(confinement.form if confinement else Form.LIMITS),
    }
    if program.is_old:
        log.warning("the decoder of media is older than the one Headrace was made with: it may lack fixes", **facts)
    if decoder.missing:
        log.warning(
            "layers are missing around the decoder of media: a file that takes the decoder over reaches what they keep."
            " Give the node what the layers need (`headrace doctor`)",
            missing=list(decoder.missing),
            **facts,
        )
        return
    log.info("the decoder of media is held off from this node", **facts)


class ProgramBounds(msgspec.Struct, frozen=True):
    """What one run may use up."""

    wall_s: float
    cpu_s: int
    memory_bytes: int
    """Address space."""
    file_bytes: int = NOTHING_WRITTEN


class CutOff(StrEnum):
    """Why this process ended a run."""

    TIME = "time"
    TALK = "talk"


class Ended(msgspec.Struct, frozen=True):
    status: int
    """Negative: the number of a signal."""
    cpu_s: float
    """Of processors, all its processes together."""
    memory_bytes: int
    """The most that one of its processes had resident."""
    cause: CutOff | None = None


class ConfinedProgram:
    """For one thread, which must outlive it."""

    def __init__(
        self,
        decoder: MediaDecoder,
        arguments: Sequence[str],
        scratch: Path,
        bounds: ProgramBounds,
        *,
        descriptors: Sequence[int] = (),
        stdin: int = subprocess.DEVNULL,
        has_output: bool = True,
    ) -> None:
        """Start it. `scratch`: an empty directory, in which nothing is written. `descriptors`: open ones that the
        program gets as they are. OSError."""
        self._bounds, confinement = bounds, decoder.confinement
        plan = _plan(decoder, str(scratch), bounds) if confinement is not None else {}
        before = confinement.command(plan) if confinement is not None else []
        self._is_kept = plan.get("processes") == "own"
        self._process = subprocess.Popen(
            [*before, decoder.program.path, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE if has_output else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=tuple(descriptors),
            env=_VARIABLES,
            cwd="/",
        )
        self._ended: Ended | None = None
        self._cause: CutOff | None = None

    def run(self, on_output: Callable[[bytes], None], on_line: Callable[[bytes], object]) -> Ended:
        """Hand on what it writes and each line that it says, until it ended. Whatever a callback raises ends it too."""
        try:
            self._listen(on_output, _SaidLines(on_line))
            assert self._ended is not None
            return self._ended
        finally:
            self.end()

    def end(self) -> None:
        """Returns once it is gone, and no descriptor of it is open here."""
        if self._ended is None:
            self._kill()
            self._take(os.wait4(self._process.pid, 0))
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _listen(self, on_output: Callable[[bytes], None], lines: _SaidLines) -> None:
        until_s = time.monotonic() + self._bounds.wall_s
        with selectors.DefaultSelector() as look, contextlib.ExitStack() as open_here:
            life = os.pidfd_open(self._process.pid)
            open_here.callback(os.close, life)
            look.register(life, selectors.EVENT_READ, self._reap)
            for pipe, take in ((self._process.stdout, on_output), (self._process.stderr, lines.feed)):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # the user's pipes have their share of memory already
                        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
                    look.register(pipe, selectors.EVENT_READ, take)
            while look.get_map():
                left_s = until_s - time.monotonic()
                if left_s <= 0 and self._ended is not None:  # a process that it left behind holds the pipes
                    self._ended = msgspec.structs.replace(self._ended, cause=CutOff.TIME)
                    return
                if left_s <= 0 and self._cause is None:
                    self._give_up(CutOff.TIME)
                if lines.bytes_said > SAID_BYTES_MAX and self._cause is None:
                    self._give_up(CutOff.TALK)
                is_over = self._cause is not None and self._ended is None
                for key, _ in look.select(None if is_over else max(0.0, left_s)):
                    if key.fd == life:
                        self._reap()
                        look.unregister(key.fileobj)
                        until_s = time.monotonic() + LAST_WORDS_S
                    elif data := os.read(key.fd, READ_BYTES):
                        key.data(data)
                    else:
                        look.unregister(key.fileobj)

    def _give_up(self, cause: CutOff) -> None:
        self._cause = cause
        self._kill()

    def _kill(self) -> None:
        """A keeper ends its processes and then itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, END_ALL if self._is_kept else signal.SIGKILL)

    def _reap(self) -> None:
        self._take(os.wait4(self._process.pid, 0))

    def _take(self, waited: tuple[int, int, Any]) -> None:
        _, status, usage = waited
        self._process.returncode = os.waitstatus_to_exitcode(status)
        cpu_s = usage.ru_utime + usage.ru_stime
        self._ended = Ended(self._process.returncode, cpu_s, usage.ru_maxrss * 1024, self._cause)


class _SaidLines:
    """Cuts what the program says into lines."""

    def __init__(self, on_line: Callable[[bytes], object]) -> None:
        self._on_line, self._rest, self._is_long = on_line, b"", False
        self.bytes_said = 0

    def feed(self, data: bytes) -> None:
        self.bytes_said += len(data)
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._is_long and len(line) <= LINE_BYTES_MAX:
                self._on_line(line)
            self._is_long = False
        self._is_long = self._is_long or len(rest) > LINE_BYTES_MAX
        self._rest = b"" if self._is_long else rest


def _plan(decoder: MediaDecoder, scratch: str, bounds: ProgramBounds) -> Mapping[str, Any]:
    """As a model's child, and less: nothing to write to, and so many seconds, bytes and descriptors."""
    confinement = decoder.confinement
    assert confinement is not None
    folder = str(Path(decoder.program.path).parent)
    places = ChildPlaces((folder,), scratch, scratch, scratch)
    plan = confinement.plan(decoder.slot, places, gpus=False, network=Network.OWN)
    has_own_count = confinement.form in (Form.OWN_USER, Form.NAMESPACES)
    plan |= {
        "home": "/",
        "nproc": PROCESSES_MAX if has_own_count else 0,
        "fsize": bounds.file_bytes,
        "address_space": bounds.memory_bytes,
        "cpu_s": bounds.cpu_s,
        "open_files": OPEN_FILES_MAX,
    }
    for layer in filter(None, (plan["mounts"], plan["landlock"])):
        layer["write"] = []
    if plan["mounts"]:
        plan["mounts"]["system"] = [path for path in LIBRARIES if os.path.lexists(path)]
    return plan
