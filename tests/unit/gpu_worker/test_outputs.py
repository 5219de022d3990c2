"""Outputs: what a child leaves in its files is stored as it was opened, or refused with a name for the reason."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from contract.codec import decode_result
from contract.inputs import Failed, Succeeded
from gpu_worker.io import outputs, result_objects
from gpu_worker.io.checker_process import Checkers
from tests.unit.gpu_worker.results_bench import PREFIX, Table, computed


def test_a_large_output_is_hashed_and_stored_from_its_file(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_objects, "WHOLE_BYTES_MAX", 4)
    (table.directory / "a.bin").write_bytes(b"large")
    table.stored(computed("a.bin"))
    (file,) = decode_result(table.store.objects[PREFIX + "manifest.json"]).files
    assert (file.sha256, file.bytes) == (hashlib.sha256(b"large").hexdigest(), 5)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, 4)


def rewrite(path: Path) -> None:
    path.write_bytes(b"other")
    os.utime(path, (1, 1))


@pytest.mark.parametrize("change", [grow, shrink, rewrite])
def test_a_large_output_that_changes_while_it_is_stored_is_refused(
    table: Table, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    monkeypatch.setattr(result_objects, "WHOLE_BYTES_MAX", 4)
    path = table.directory / "a.bin"
    path.write_bytes(b"large")
    report = table.stored_while(computed("a.bin"), lambda: change(path))
    assert report == Failed("j", "1.1.0", "bad_outputs", "OutputChanged")
    assert table.store.puts == 2, "the output and the error, once each: another try would not mend it"


@pytest.mark.parametrize("change", [grow, shrink, rewrite])
def test_a_small_output_that_changes_while_it_is_stored_is_refused(table: Table, change: Any) -> None:
    path = table.directory / "a.bin"
    path.write_bytes(b"small")
    report = table.stored_while(computed("a.bin"), lambda: change(path))
    assert report == Failed("j", "1.1.0", "bad_outputs", "OutputChanged")
    assert table.store.objects[PREFIX + "error.txt"].startswith(b"a.bin: expected a file that is complete, found that")


def write_handle(path: Path) -> Any:
    return path.open("ab")


def write_map(path: Path) -> Any:
    fd = os.open(path, os.O_RDWR)
    mapped = mmap.mmap(fd, 0)
    os.close(fd)
    return mapped


@pytest.mark.parametrize("whole_max", [4, 100], ids=["large", "small"])
@pytest.mark.parametrize("opened", [write_handle, write_map])
def test_an_output_that_somebody_may_still_write_to_is_refused(
    table: Table, monkeypatch: pytest.MonkeyPatch, opened: Any, whole_max: int
) -> None:
    """Whoever writes now and then leaves no trace while the file is stored, which takes a moment."""
    monkeypatch.setattr(result_objects, "WHOLE_BYTES_MAX", whole_max)
    path = table.directory / "a.bin"
    path.write_bytes(b"words")
    with opened(path):
        assert table.stored(computed("a.bin")) == Failed("j", "1.1.0", "bad_outputs", "OutputChanged")
    assert (
        b"found that it is open for writing; finish and close every output" in table.store.objects[PREFIX + "error.txt"]
    )
    assert PREFIX + "a.bin" not in table.store.objects
    assert isinstance(table.stored(computed("a.bin")), Succeeded)


def test_a_writer_that_comes_while_it_is_stored_is_seen(table: Table) -> None:
    path = table.directory / "a.bin"
    path.write_bytes(b"words")
    with ExitStack() as writing:
        report = table.stored_while(computed("a.bin"), lambda: writing.enter_context(path.open("ab")))
    assert report == Failed("j", "1.1.0", "bad_outputs", "OutputChanged")


def test_a_file_system_without_leases_serves_too(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_leases(*_: Any) -> int:
        raise OSError(errno.EINVAL, "no leases")

    monkeypatch.setattr(fcntl, "fcntl", no_leases)
    (table.directory / "a.bin").write_bytes(b"words")
    assert isinstance(table.stored(computed("a.bin")), Succeeded)


def test_an_output_that_is_swapped_while_it_is_stored_is_the_one_that_was_opened(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored is what was opened and hashed, whatever file has the name by then."""
    monkeypatch.setattr(result_objects, "WHOLE_BYTES_MAX", 4)
    path = table.directory / "a.bin"
    path.write_bytes(b"large")

    def swap() -> None:
        path.unlink()
        path.symlink_to("/etc/hostname")

    assert isinstance(table.stored_while(computed("a.bin"), swap), Succeeded)
    (file,) = decode_result(table.store.objects[PREFIX + "manifest.json"]).files
    assert table.store.objects[PREFIX + "a.bin"] == b"large"
    assert file.sha256 == hashlib.sha256(b"large").hexdigest()


def test_an_upload_that_is_tried_again_begins_anew(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_objects, "WHOLE_BYTES_MAX", 4)
    (table.directory / "a.bin").write_bytes(b"large")
    table.store.errors = [ConnectionError("away")] * 2
    assert isinstance(table.stored(computed("a.bin")), Succeeded)
    (file,) = decode_result(table.store.objects[PREFIX + "manifest.json"]).files
    assert table.store.objects[PREFIX + "a.bin"] == b"large"
    assert file.sha256 == hashlib.sha256(b"large").hexdigest()


def test_an_output_is_read_no_further_than_it_was_long_and_no_more_once_nobody_wants_it(tmp_path: Path) -> None:
    def stop() -> None:
        raise result_objects.ResultAbandoned

    (tmp_path / "a").write_bytes(b"12345678")
    folder = os.open(tmp_path, os.O_RDONLY)
    with outputs.OpenOutput(folder, "a") as output:
        grow(tmp_path / "a")
        reading = output.reading(lambda: None)
        assert [reading.read(3), reading.read(), reading.read(), reading.read(3)] == [b"123", b"45678", b"", b""]
        with pytest.raises(result_objects.ResultAbandoned):
            output.reading(stop).read()
    os.close(folder)


def make_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "error"), [(make_link, "OutputMissing"), (make_folder, "OutputNotAFile"), (make_pipe, "OutputNotAFile")]
)
def test_what_is_no_regular_file_is_refused(table: Table, make: Any, error: str) -> None:
    make(table.directory / "a")
    assert table.stored(computed("a")) == Failed("j", "1.1.0", "bad_outputs", error)


@pytest.mark.parametrize("name", ["../a", "/etc/hostname", "a/b", "", ".a", "manifest.json", "a" * 129, "a\n"])
def test_a_name_that_is_not_plain_is_refused(table: Table, name: str) -> None:
    assert table.stored(computed(name)) == Failed("j", "1.1.0", "bad_outputs", "OutputNameInvalid")


def test_outputs_have_limits(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_objects, "OUTPUT_BYTES_MAX", 7)
    for name in ("a", "b"):
        (table.directory / name).write_bytes(b"four")
    assert table.stored(computed("a", "b")) == Failed("j", "1.1.0", "bad_outputs", "OutputsTooLarge")
    many = tuple(f"o{number}" for number in range(101))
    assert table.stored(computed(*many)) == Failed("j", "1.1.0", "bad_outputs", "TooManyOutputs")
    assert table.stored(computed("a", "a")) == Failed("j", "1.1.0", "bad_outputs", "TooManyOutputs")


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path, checkers: Checkers) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a").write_bytes(b"secret")
    (tmp_path / "outputs").symlink_to(tmp_path / "secrets")
    table = Table(tmp_path / "outputs", checkers)
    assert table.stored(computed("a")) == Failed("j", "1.1.0", "bad_outputs", "OutputMissing")
