"""A node's identity: made once, kept for ever, never half written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.worker import identity
from runtime.worker.identity import FILE, IdentityTaken, hold_identity, identity_in


def test_it_is_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    first = identity_in(tmp_path / "nodes" / "n1")
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert identity_in(tmp_path / "nodes" / "n1") == first != identity_in(tmp_path / "nodes" / "n2")
    assert [file.name for file in (tmp_path / "nodes" / "n1").iterdir()] == [FILE]


def test_of_two_first_starts_the_first_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = identity._write

    def write_after_another_start(path: Path, text: str) -> None:
        write(tmp_path / FILE, "a" * 32)
        write(path, text)

    monkeypatch.setattr(identity, "_write", write_after_another_start)
    assert identity_in(tmp_path) == "a" * 32


@pytest.mark.parametrize("found", ["", "words", "A" * 32, "a" * 31])
def test_what_is_no_identity_is_replaced(tmp_path: Path, found: str) -> None:
    (tmp_path / FILE).write_text(found)
    made = identity_in(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert identity_in(tmp_path) == made


def test_a_file_system_without_hard_links_serves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(_path: Path, _target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    assert identity_in(tmp_path) == identity_in(tmp_path)


def test_one_agent_works_with_an_identity(tmp_path: Path) -> None:
    """Two with one data directory, and each with a scratch of its own, would replace each other for ever."""
    for name in ("n1", "n2"):
        identity_in(tmp_path / name)
        hold_identity(tmp_path / name)
    with pytest.raises(IdentityTaken, match="found another node agent with that identity; stop that one"):
        hold_identity(tmp_path / "n1")
