"""A program in the place of `cpu_worker.decode_file`, which does what the request's file says."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from contract.prepared import MediaFacts
from cpu_worker.io.decoder_jobs import DecodeAnswer, DecodeFile, FileDecoded, FileNotDecoded, FileRefused

FACTS = MediaFacts("mp4", "h264", 1, "0" * 64)


def main() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=DecodeFile)
    source = Path(asked.source)
    how, _, rest = source.read_text().partition(" ")
    answer: DecodeAnswer = FileDecoded(FACTS)
    if how == "crash":
        os.abort()
    if how == "crash-once":
        source.write_text("fine")
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        Path(rest).write_text(f"{os.getpid()} {child.pid}")
        time.sleep(3600)
    if how == "babble":
        sys.stdout.write("x" * 100_000)
        sys.stdout.flush()
        time.sleep(3600)
    if how == "refuse":
        answer = FileRefused("too_long", "it is too long")
    if how == "disk":
        answer = FileNotDecoded(28, "OSError")
    Path(asked.scratch, "left").write_bytes(b"behind")
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
