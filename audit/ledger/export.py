"""A ledger as a file for auditors: JSON lines of offset, append time and the record's exact bytes. It holds no words
of any user, because no ledger does."""

from __future__ import annotations

import os
from pathlib import Path

from audit.ledger.reader import LedgerSource, line_of


def export(source: LedgerSource, path: Path) -> int:
    """Writes the ledger to `path`, whole or not at all; how many records.

    OSError when the file can't be written; what was there before is then left as it was."""
    unfinished = path.with_name(path.name + ".part")
    records = 0
    try:
        with unfinished.open("wb") as file:
            for record in source():
                file.write(line_of(record))
                records += 1
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return records
