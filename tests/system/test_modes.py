"""Nobody but its owner reads anything of a stack that was used."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from local.data_directory import DEPOT
from tests.system.installation import ROOT, Installation


def open_to_others(root: Path) -> list[str]:
    """Every file and folder below the root, and the root, that group or others may read, write or pass."""
    found = []
    for folder, folders, files in os.walk(root):
        for path in [Path(folder), *(Path(folder) / name for name in folders + files)]:
            mode = path.lstat().st_mode
            published = DEPOT in path.relative_to(root).parts[:-1]  # models may be another user; what is above is shut
            if not stat.S_ISLNK(mode) and not published and stat.S_IMODE(mode) & 0o077:
                found.append(f"{stat.S_IMODE(mode):04o} {path.relative_to(root)}")
    return found


def test_a_used_stack_has_nothing_for_group_or_others(here: Installation, tmp_path: Path) -> None:
    """Logs, segments, objects, sockets, scratch folders, Postgres: whatever umask the user who ran `up` has."""
    saved = tmp_path / "out.bin"
    for arguments in (("--input", "output_bytes=1000", "--output", str(saved)), ("--input", "fail=invalid", "--wait")):
        here.cli("jobs", "submit", "noop", *arguments)
    assert saved.exists()
    layout = here.layout
    for made in (
        *(layout.logs / "api.log", layout.kafka / "log" / "jobs-0", layout.processes / "node-1"),
        *(layout.s3 / "objects", layout.postgres, layout.keys),
    ):
        assert made.exists(), "else the walk proves nothing"
    assert list(layout.data.rglob(".s.PGSQL.*")), "the socket"
    assert open_to_others(layout.data) == []


def test_and_nothing_of_it_in_the_temporary_directory(here: Installation) -> None:
    """Of the processes of this stack, what they hold open in $TMPDIR."""
    temporary = Path(tempfile.gettempdir())
    found = []
    for process in here.processes():
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            try:
                target = Path(os.readlink(entry))  # noqa: PTH115 (deleted files have readable links too)
                mode = entry.stat().st_mode
            except OSError:
                continue
            ours = target.is_relative_to(here.data) or target.is_relative_to(ROOT)  # the repository may lie there
            if target.is_relative_to(temporary) and not ours and mode & 0o077:
                found.append(f"{process.name()} {target}")
    assert found == []
