"""Files are decoded by processes of their own, one for each file, which end when nobody wants the file any more."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from contract.prepared import MediaFacts
from cpu_worker.io.decoder_jobs import (
    LINE_BYTES_MAX,
    DecodeAnswer,
    DecodeFile,
    FileDecoded,
    FileNotDecoded,
    FileRefused,
)
from cpu_worker.io.media_sources import MediaHere, MediaWanted, place_of
from cpu_worker.io.preparation_time import PreparationTime
from cpu_worker.rules.verdicts import PreparationRefusal
from runtime.media.claims import MediaFormat
from runtime.media.confined_program import MediaDecoder
from runtime.media.header_check import claims_of
from runtime.media.limits import check_claims
from runtime.media.refused import MediaRefused

log = structlog.get_logger(__name__)

PROGRAM = "cpu_worker.decode_file"
TRIES = 2
"""A process that ended without an answer may have met a machine without memory: once more, then it was the file."""
LOOK_S = 0.1
"""How often a worker that waits for the process looks whether the file is still wanted."""


class FileDecoder(Protocol):
    def check(self, wanted: MediaWanted, source: MediaHere) -> None:
        """What the file says of itself may be sent for this field. PreparationRefusal, OSError."""

    def decode(
        self, wanted: MediaWanted, source: MediaHere, target: Path, scratch: Path, time: PreparationTime
    ) -> MediaFacts:
        """Write what the model gets to `target`. `scratch`: an empty directory. PreparationRefusal,
        PreparationAbandoned, PreparationTimeOver; OSError when the file is not at fault."""


class DecoderProcesses:
    """Any thread may use it; a thread that decodes must live on until the file is decoded."""

    def __init__(self, decoder: MediaDecoder) -> None:
        self._decoder = decoder

    def for_slot(self, slot: int) -> DecoderProcesses:
        """Files that are decoded at the same time are decoded by users of their own, where the node may have some."""
        return DecoderProcesses(msgspec.structs.replace(self._decoder, slot=slot))

    def check(self, wanted: MediaWanted, source: MediaHere) -> None:
        """By our own reader, bounded in time and memory, before any of the files is decoded."""
        with source.path.open("rb") as file:
            try:
                claims = claims_of(lambda at, size: os.pread(file.fileno(), size, at), source.bytes)
                check_claims(claims, MediaFormat(wanted.kind), wanted.rule)
            except MediaRefused as refused:
                raise _refusal(wanted, refused.kind, str(refused)) from None

    def decode(
        self, wanted: MediaWanted, source: MediaHere, target: Path, scratch: Path, time: PreparationTime
    ) -> MediaFacts:
        asked = DecodeFile(
            str(source.path), wanted.kind, wanted.rule, str(target), str(scratch), self._decoder, source.sha256
        )
        for _ in range(TRIES):
            scratch.mkdir()
            answer = _answered(asked, time)
            remove_tree(scratch)
            match answer:
                case FileDecoded(facts=facts):
                    return facts
                case FileRefused(kind=kind, sentence=sentence):
                    raise _refusal(wanted, kind, sentence)
                case FileNotDecoded(errno=number, name=name):
                    raise OSError(number, f"the decoder met {name}")
            log.warning("a process that decodes ended without an answer")
        raise PreparationRefusal(
            "decoder",
            f"inputs.{place_of(wanted)}: expected a file that can be decoded, found that the decoder ends in the middle"
            " of it; write the file anew with another program",
        )


def _refusal(wanted: MediaWanted, word: str, sentence: str) -> PreparationRefusal:
    return PreparationRefusal(word, f"inputs.{place_of(wanted)}: {sentence}")


def _answered(asked: DecodeFile, time: PreparationTime) -> DecodeAnswer | None:
    """None when the process ended without an answer. PreparationAbandoned, PreparationTimeOver, OSError."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", PROGRAM, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the text of an error may show bytes of the file
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.environ.get("PATH", "")},
        cwd="/",
        process_group=0,  # in the agent's session, so that nothing of it is taken for a stray
    )
    try:
        said = _said(process, msgspec.json.encode(asked), time)
    finally:
        _end(process)
    return answer_of(said)


def answer_of(said: bytes) -> DecodeAnswer | None:
    """What a decoding process said; None: no answer. The process reads what users sent, so nothing that it says is
    trusted."""
    try:
        answer: DecodeAnswer = msgspec.json.decode(said, type=DecodeAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
    return answer


def _said(process: subprocess.Popen[bytes], asked: bytes, time: PreparationTime) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it ended; what it said tells
        process.stdin.write(asked)  # less than a pipe holds
        process.stdin.close()
    said = b""
    with selectors.DefaultSelector() as look:
        look.register(process.stdout, selectors.EVENT_READ)
        while len(said) <= LINE_BYTES_MAX:
            time.look()
            if look.select(min(LOOK_S, time.left_s())):
                data = os.read(process.stdout.fileno(), LINE_BYTES_MAX)
                if not data:
                    break
                said += data
    return said


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and all in its group are gone, and reaped as far as they are this process's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    with contextlib.suppress(ChildProcessError):  # what it left came to this process, if that is a subreaper
        while os.waitpid(-process.pid, os.WNOHANG) != (0, 0):
            pass


def remove_tree(folder: Path) -> None:
    """Only our own processes write there: files, and no directories within."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
