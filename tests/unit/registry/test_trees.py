"""A file that somebody planted or changed in a directory of the depot is seen; who may read it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.environments import COMPLETE, Environments
from registry.trees import let_others_read, marks_of, tree_digest

NOTHING: Any = None


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An environment, as it was built."""
    place = tmp_path / "ab"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to("/bin/sh")
    (place / "lib" / "__pycache__").mkdir(parents=True)
    (place / "lib" / "module.py").write_text("VALUE = 1\n")
    (place / "lib" / "__pycache__" / "module.pyc").write_bytes(b"compiled")
    (place / COMPLETE).write_text(tree_digest(place, COMPLETE))
    return place


def is_complete(place: Path) -> bool:
    return Environments(place.parent, NOTHING, NOTHING).is_complete(place.name)


def plant(place: Path) -> None:
    (place / "lib" / "evil.pth").write_text("import os")


def compile_anew(place: Path) -> None:
    (place / "lib" / "__pycache__" / "module.pyc").write_bytes(b"evilcode")


def swap(place: Path) -> None:
    """The same size at the same time, in another file."""
    module = place / "lib" / "module.py"
    before = module.stat()
    new = place / "lib" / "new.py"
    new.write_text("VALUE = 2\n")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(module)


def redirect(place: Path) -> None:
    (place / "bin" / "python").unlink()
    (place / "bin" / "python").symlink_to("/bin/bash")


def remove(place: Path) -> None:
    (place / "lib" / "module.py").unlink()


def lead_elsewhere(place: Path) -> None:
    (place / "lib" / "more").symlink_to("/usr/lib")


def forget(place: Path) -> None:
    """As releases left it that did not look at the tree."""
    (place / COMPLETE).write_text(place.name)


def test_what_nobody_touched_is_whole(place: Path) -> None:
    assert is_complete(place)
    assert "lib/__pycache__/module.pyc" in marks_of(place, COMPLETE)


@pytest.mark.parametrize("touch", [plant, compile_anew, swap, redirect, remove, lead_elsewhere, forget])
def test_what_somebody_touched_is_not(place: Path, touch: Callable[[Path], None]) -> None:
    touch(place)
    assert not is_complete(place)


def test_all_may_read_and_its_owner_alone_may_write(place: Path) -> None:
    module, folder, program = place / "lib" / "module.py", place / "lib", place / "bin" / "run"
    program.write_text("")
    for path, mode in ((module, 0o600), (folder, 0o700), (program, 0o700)):
        path.chmod(mode)
    before = marks_of(place, COMPLETE)
    for _ in range(2):
        let_others_read(place)
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (module, folder, program)]
        assert modes == [0o644, 0o755, 0o755]
    assert marks_of(place, COMPLETE) == before
