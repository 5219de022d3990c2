"""Where a user's caches lie, also of a user without a name, a home, or the right to write there, as in containers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


class CacheNotOurs(OSError):
    """The folder for caches in the temporary directory is another user's: what lies there would run as ours."""


def user_caches() -> Path:
    """$XDG_CACHE_HOME, else ~/.cache, else a folder of this user alone in the temporary directory. CacheNotOurs;
    OSError."""
    given = os.environ.get("XDG_CACHE_HOME")
    return Path(given) if given else home_caches() or _temporary()


def home_caches() -> Path | None:
    """~/.cache; None when there is no home, or none that this user may write to."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    caches = home / ".cache"
    return caches if os.access(caches if caches.exists() else home, os.W_OK) else None


def _temporary() -> Path:
    folder = Path(tempfile.gettempdir()) / f"headrace-cache-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.lstat().st_uid
    if owner != os.geteuid():
        raise CacheNotOurs(
            f"expected {folder} to belong to user {os.geteuid()}, found user {owner}; name another place with"
            " $XDG_CACHE_HOME"
        )
    return folder
