"""`python -m tests.media.corpus FOLDER FFMPEG`: writes the corpus. `python -m tests.media.corpus --table`: prepares
each file and prints what came of it and what it cost."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from contract.media import FORMS, MediaRule
from tests.media.corpus.clips import Ffmpeg
from tests.media.corpus.table import TRICKS
from tests.media.corpus.trick import Outcome
from tests.media.preparing.decoders import real
from tests.media.preparing.measured import measured


def write(folder: Path, program: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        ffmpeg = Ffmpeg(program, Path(scratch))
        for trick in TRICKS:
            data = trick.make(ffmpeg)
            (folder / trick.name).write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()[:12]
            print(f"{trick.name:32} {len(data):>9} {digest}  {trick.outcome}: {trick.says}")


def table() -> None:
    """A table of Markdown. Of a good file, the form `file` is made: the dearest."""
    print("| file | bytes | s | s of processors | MB | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        decoder = real(folder / "layers")
        ffmpeg = Ffmpeg(Path(decoder.program.path), folder)
        for trick in TRICKS:
            source = folder / trick.name
            source.write_bytes(trick.make(ffmpeg))
            cost = measured(source, trick.kind, MediaRule(form=FORMS[1]), folder / "one", decoder)
            done = cost.done
            said = f"{done.kind}: {done.sentence}" if done.sentence else "prepared"
            wrong = "" if (trick.outcome is Outcome.PREPARED) == (done.facts is not None) else " **wrong**"
            print(
                f"| {trick.name} | {source.stat().st_size:,} | {done.wall_s:.2f} | {done.cpu_s:.2f} |"
                f" {cost.memory_bytes / 1e6:.0f} | {said}{wrong} |",
                flush=True,
            )
            source.unlink()


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        table()
    else:
        write(Path(sys.argv[1]), Path(sys.argv[2]))
