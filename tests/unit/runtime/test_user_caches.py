"""Caches of every user: with a home, without one, and where another user was first."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import uv
from runtime.user_caches import CacheNotOurs, home_caches, user_caches


def homeless() -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def forbidding(folder: Path) -> Callable[[Path, int], bool]:
    """What os.access says to a user who is not root, of a folder of another."""
    return lambda path, mode: path != folder


def test_a_user_with_a_home_has_them_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert user_caches() == tmp_path / ".cache"
    assert "UV_CACHE_DIR" not in uv.surroundings(asks_index=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert user_caches() == Path("/caches")


@pytest.mark.parametrize("home", ["none", "of another"])
def test_a_user_without_a_home_has_a_folder_of_its_own(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", homeless if home == "none" else lambda: tmp_path)
    monkeypatch.setattr(os, "access", forbidding(tmp_path))
    assert home_caches() is None
    folder = user_caches()
    assert folder == tmp_path / f"headrace-cache-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert uv.surroundings(asks_index=False)["UV_CACHE_DIR"] == f"{folder}/uv"
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert uv.surroundings(asks_index=False)["UV_CACHE_DIR"] == "/caches/uv", "uv itself would not look there"


def test_what_another_user_put_there_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", homeless)
    (tmp_path / "headrace-cache-4711").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(CacheNotOurs, match=r"headrace-cache-4711 to belong to user 4711, found user .*XDG_CACHE_HOME"):
        user_caches()
