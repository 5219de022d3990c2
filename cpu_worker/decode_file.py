"""`python -m cpu_worker.decode_file PARENT`: prepares one file. It is asked by stdin, and answers by stdout.

A process of its own, so that a preparation that nobody wants any more ends by a signal, whatever it is doing: this
process leads a group in which the decoder's program is too. It has no credentials and no environment, opens no
connection, and dies with the thread that started it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import msgspec

from cpu_worker.io.decoder_jobs import DecodeAnswer, DecodeFile, FileDecoded, FileNotDecoded, FileRefused
from runtime.media.preparation import prepare_file
from runtime.media.refused import MediaRefused
from runtime.private_files import UMASK
from runtime.private_memory import keep_memory_private

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Exit status 0 with an answer; 1 when the parent is gone."""
    keep_memory_private()
    os.umask(UMASK)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(arguments[0]):  # it ended before the line above
        return 1
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=DecodeFile)
    sys.stdout.buffer.write(msgspec.json.encode(answer(asked)))
    sys.stdout.buffer.flush()
    return 0


def answer(asked: DecodeFile) -> DecodeAnswer:
    try:
        facts = prepare_file(
            Path(asked.source),
            asked.kind,
            asked.rule,
            Path(asked.target),
            Path(asked.scratch),
            asked.decoder,
            source_sha256=asked.source_sha256,
        )
    except MediaRefused as refused:
        return FileRefused(refused.kind, str(refused))
    except OSError as error:
        return FileNotDecoded(error.errno or 0, type(error).__name__)
    return FileDecoded(facts)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)
