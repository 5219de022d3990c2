"""The key of an installation: made once, kept in a file that its owner alone may read, never printed or logged."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from contract import join_tokens, signers, signing
from contract.signing import InstallationKey, SigningKey
from local.errors import CannotStart
from local.own_files import replace

OWNER = signers.operator_signer("owner")
"""As whom the commands of whoever owns the installation's files sign."""

FOLDERS = {"api": signers.API, "intake": signers.INTAKE, "relay": signers.RELAY, "operator": OWNER}
"""Processes that have a folder of secrets of their own, and as whom they sign. A scheduler has one too."""
SCHEDULER = "scheduler"


def keys_in(path: Path) -> tuple[InstallationKey, ...]:
    """The keys in the file, newest first; a new one is made if there is no file. CannotStart when it holds none."""
    if not path.exists():
        replace(path, secrets.token_hex(32).encode(), mode=0o600)
    try:
        keys = signing.installation_keys(path.read_text())
    except (ValueError, OSError):
        keys = ()
    if not keys:
        raise CannotStart(
            f"one or two installation keys of 64 hex digits in {path}, with a comma between",
            "something else",
            "Put the keys back. If they are lost, remove the file: a new key is made at the next start",
        )
    return keys


def rotate(path: Path) -> tuple[InstallationKey, InstallationKey]:
    """Draw a new key into the file, before the one that is there: both are in force, and the new one signs. Returns the
    new one and the old one. CannotStart when two are in force already."""
    keys = keys_in(path)
    if len(keys) > 1:
        raise CannotStart(
            "one installation key in force",
            f"two ({keys[0].id} replaces {keys[1].id})",
            f"Take {keys[1].id} out of force first: `headrace keys rotate --finish`",
        )
    new = InstallationKey(secrets.token_bytes(32))
    replace(path, ",".join(key.secret.hex() for key in (new, keys[0])).encode(), mode=0o600)
    return new, keys[0]


def finish(path: Path) -> InstallationKey | None:
    """Leave the newest key alone in force. Returns the one that is in force no longer; None: there was one only."""
    keys = keys_in(path)
    if len(keys) == 1:
        return None
    replace(path, keys[0].secret.hex().encode(), mode=0o600)
    return keys[1]


class KeyWatch:
    """Notices that somebody has changed the file of the keys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._mark()

    def has_changed(self) -> bool:
        """Once for each change. A file that is gone is no change: processes go on with the keys that they have."""
        mark = self._mark()
        if mark is None or mark == self._seen:
            return False
        self._seen = mark
        return True

    def _mark(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def settings_of(key: SigningKey) -> dict[str, object]:
    """The fields of Settings with which a process signs by this key."""
    return {"signer": key.signer, "signing_key": key.text, "installation_keys": ""}


def join_token(key: InstallationKey, cluster: str, node: str, life_ms: int = join_tokens.TOKEN_LIFE_MS) -> str:
    """A token with which this node may join from now on, for so long. ValueError when these are no names."""
    return join_tokens.make(key, cluster, node, time.time_ns() // 1_000_000 + life_ms)


def write_secrets(folder: Path, nodes: list[str]) -> SigningKey:
    """For a composition of containers: one folder in `folder` for each process, with the secrets that it reads through
    HEADRACE_SECRETS and nobody else's. `nodes` are signers, whose folders have the nodes' names, and a new join token
    each. What is there already is written again, so that a key that was replaced reaches everybody. Returns the
    operator's own key."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = keys_in(folder / "installation-keys")
    _write(folder / SCHEDULER, {"headrace_installation_keys": ",".join(key.secret.hex() for key in keys)})
    for name, signer in FOLDERS.items():
        _write(folder / name, _signing(keys[0], signer))
    for signer in nodes:
        cluster, _, node = signer.removeprefix(f"{signers.NODE}.").partition("/")
        _write(folder / node, _signing(keys[0], signer) | {"headrace_join_token": join_token(keys[0], cluster, node)})
    return keys[0].of(OWNER)


def _signing(key: InstallationKey, signer: str) -> dict[str, str]:
    return {"headrace_signer": signer, "headrace_signing_key": key.of(signer).text}


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True, mode=0o700)
    for name, text in files.items():
        replace(folder / name, text.encode(), mode=0o600)
