"""Calls of `uv`, which is part of this installation. It is given what it needs of our environment and nothing else, and
a failure gets a message."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import uv

from registry.errors import RegistryError
from runtime.proxies import except_loopback
from runtime.user_caches import home_caches, user_caches

TIMEOUT_S = 1800
"""In seconds. The largest wheels have gigabytes."""
PASSED = frozenset(
    {
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "XDG_CACHE_HOME",
        "XDG_DATA_HOME",
        "UV_CACHE_DIR",
        "UV_CONCURRENT_INSTALLS",
        "UV_LINK_MODE",
        "UV_NO_CACHE",
        "UV_OFFLINE",
        "UV_PYTHON_DOWNLOADS",
        "UV_PYTHON_INSTALL_DIR",
        "UV_PYTHON_PREFERENCE",
    }
)
"""All variables of our environment that every call of uv gets. None of them holds a credential: programs of the same
user may read the environment of a process."""

PASSED_FOR_AN_INDEX = frozenset(
    {
        "ALL_PROXY",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NETRC",
        "NO_PROXY",
        "PIP_CERT",
        "PIP_CONFIG_FILE",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_INDEX_URL",
        "REQUESTS_CA_BUNDLE",
        "REQUEST_METHOD",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "SSL_CLIENT_CERT",
        "UV_CONCURRENT_DOWNLOADS",
        "UV_CONFIG_FILE",
        "UV_DEFAULT_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
        "UV_HTTP_TIMEOUT",
        "UV_INSECURE_HOST",
        "UV_KEYRING_PROVIDER",
        "UV_NATIVE_TLS",
        "UV_NO_INDEX",
        "UV_SYSTEM_CERTS",
        "XDG_CONFIG_DIRS",
        "XDG_CONFIG_HOME",
    }
)
"""What uv, and the pip that it runs, get besides when they ask a package index. An index or a proxy may have its
password in its address."""
_INDEX_PREFIX = "UV_INDEX"
"""UV_INDEX, UV_INDEX_URL, UV_INDEX_STRATEGY, and the user and password of each named index."""
ERROR_LENGTH_MAX = 1500


def uv_program() -> str:
    """Path of `uv`. RegistryError(unavailable) when this installation lacks it."""
    try:
        return str(uv.find_uv_bin())
    except FileNotFoundError:
        raise RegistryError(
            "unavailable", "expected the program uv beside this installation, found none; install headrace again"
        ) from None


def surroundings(*, asks_index: bool) -> dict[str, str]:
    """The environment for uv. Without a home that can be written to, uv would make its cache where it runs, whatever
    $XDG_CACHE_HOME says; so it is told of one."""
    kept = {name: value for name, value in os.environ.items() if _is_passed(name, asks_index)}
    kept.setdefault("UV_PYTHON_DOWNLOADS", "never")
    if home_caches() is None and "UV_CACHE_DIR" not in kept:
        try:
            kept["UV_CACHE_DIR"] = str(user_caches() / "uv")
        except OSError as error:
            raise RegistryError("environment", f"uv has no place for its cache: {error}") from None
    return except_loopback(kept)


def _is_passed(name: str, asks_index: bool) -> bool:
    for_index = name.upper() in PASSED_FOR_AN_INDEX or name.startswith(_INDEX_PREFIX)  # proxies have small letters too
    return name in PASSED or (asks_index and for_index)


def run_uv(arguments: list[str], doing: str, *, asks_index: bool = False) -> None:
    """Runs uv. RegistryError(environment) says what uv was doing and quotes the end of its output. `asks_index`: this
    call may ask a package index, so it gets what the environment says of indexes and proxies."""
    try:
        done = subprocess.run(
            [uv_program(), *arguments],
            cwd=Path("/"),  # so that no settings of a project apply
            env=surroundings(asks_index=asks_index),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RegistryError("environment", f"{doing}: expected uv to end within {TIMEOUT_S} s, stopped it") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        said = re.sub(r"://[^/@\s]+@", "://***@", said)[-ERROR_LENGTH_MAX:]
        raise RegistryError("environment", f"{doing}: uv ended with code {done.returncode}: {said}")
