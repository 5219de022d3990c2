"""`python -m tests.media.preparing.one`: one preparation in a process group of its own; what to do comes on its input,
what it cost is printed."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import msgspec

from contract.media import MediaRule
from contract.prepared import MediaFacts
from runtime.media.confined_program import MediaDecoder
from runtime.media.preparation import prepare_file
from runtime.media.refused import MediaRefused


class Task(msgspec.Struct, frozen=True):
    source: str
    kind: str
    rule: MediaRule
    target: str
    scratch: str
    decoder: MediaDecoder


class Done(msgspec.Struct, frozen=True):
    sentence: str
    """Empty: it was prepared."""
    kind: str
    facts: MediaFacts | None
    wall_s: float
    cpu_s: float
    """Of this process and of all that it started."""


def cpu_s() -> float:
    ours, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return ours.ru_utime + ours.ru_stime + theirs.ru_utime + theirs.ru_stime


def main() -> None:
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    begun_s, begun_cpu_s = time.perf_counter(), cpu_s()
    sentence, kind, facts = "", "", None
    try:
        facts = prepare_file(
            Path(task.source), task.kind, task.rule, Path(task.target), Path(task.scratch), task.decoder
        )
    except MediaRefused as refused:
        sentence, kind = str(refused), refused.kind
    done = Done(sentence, kind, facts, time.perf_counter() - begun_s, cpu_s() - begun_cpu_s)
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    main()
