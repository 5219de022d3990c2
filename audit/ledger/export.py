"""A ledger as a file for auditors: JSON lines with offset, append time and the exact bytes of each record.

An export has no words of any user, because a ledger has none.
"""

from __future__ import annotations

import os
from pathlib import Path

from audit.ledger.reader import LedgerSource, line_of


def export(source: LedgerSource, path: Path) -> int:
    """Writes the ledger to `path`, whole or not at all. Returns the number of records.

    OSError when the file can't be written; a file that was there before then stays as it was."""
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
