"""The lock of a file, held by another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from registry.errors import RegistryError
from registry.file_lock import hold

HOLDER = """
import sys
from pathlib import Path
from registry.file_lock import hold
with hold(Path(sys.argv[1]), "a version"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_process_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(RegistryError, match=f"held by process {holder.pid};"),
            hold(path, "a version", within_s=0.05),
        ):
            pytest.fail("two hold the lock")
        holder.kill()
    with hold(path, "a version", within_s=5):
        pass
