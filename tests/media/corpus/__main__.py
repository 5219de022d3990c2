"""`python -m tests.media.corpus FOLDER FFMPEG`: writes the corpus."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from tests.media.corpus.clips import Ffmpeg
from tests.media.corpus.table import TRICKS


def main(folder: Path, program: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        ffmpeg = Ffmpeg(program, Path(scratch))
        for trick in TRICKS:
            data = trick.make(ffmpeg)
            (folder / trick.name).write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()[:12]
            print(f"{trick.name:32} {len(data):>9} {digest}  {trick.outcome}: {trick.says}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
