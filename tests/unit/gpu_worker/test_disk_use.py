"""Whether an attempt filled the disk, or was there when others did."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_worker.io import disk_use
from gpu_worker.io.disk_use import wrote_less_than

KIB = 1024


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def test_files_of_all_places_are_taken_together(tmp_path: Path) -> None:
    write(tmp_path / "attempt" / "outputs" / "a", 64 * KIB)
    write(tmp_path / "temporary" / "deep" / "b", 64 * KIB)
    places = str(tmp_path / "attempt"), str(tmp_path / "temporary")
    assert wrote_less_than(256 * KIB, *places)
    assert not wrote_less_than(128 * KIB, *places)
    assert wrote_less_than(128 * KIB, places[0])


def test_what_is_sparse_takes_nothing_and_a_link_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "film", 256 * KIB)
    place = tmp_path / "attempt"
    place.mkdir()
    (place / "folder").symlink_to(tmp_path / "elsewhere")
    (place / "file").symlink_to(tmp_path / "elsewhere" / "film")
    with (place / "sparse").open("wb") as file:
        file.truncate(1024 * KIB)
    assert wrote_less_than(128 * KIB, str(place))


def test_nothing_is_there(tmp_path: Path) -> None:
    assert wrote_less_than(1, str(tmp_path / "nowhere"))


def test_whoever_made_too_many_entries_to_look_at_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_use, "ENTRIES_MAX", 3)
    for number in range(3):
        (tmp_path / str(number)).touch()
    assert wrote_less_than(1, str(tmp_path))
    (tmp_path / "more").touch()
    assert not wrote_less_than(1, str(tmp_path))
