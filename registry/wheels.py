"""Vendored wheels: the files of an environment as blobs, so that a node needs no package index.

Vendored wheels are not part of the identity of a version: the manifest says by hash which files may be installed, the
list says where to get them. The list lies in the object store under the digest of the environment and is written once.
Nobody believes it: each wheel is hashed.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import tempfile
from pathlib import Path

import msgspec

from registry import blobs
from registry.environment_lock import Environment, environment_digest, write_lock
from registry.errors import RegistryError
from registry.manifest import VersionFile
from registry.model_directory import hash_of_file
from registry.uv import run_uv
from runtime.object_store import Missing, ObjectStore, OtherSize

LIST_BYTES_MAX = 16 * 1024 * 1024
"""Of a list of wheels, of which each takes less than 400 bytes."""

_WHEEL_NAME = re.compile(r"[A-Za-z0-9_.+!-]{1,240}\.whl")


class VendoredWheels(msgspec.Struct, frozen=True, tag="VendoredWheels.v1"):
    wheels: tuple[VersionFile, ...]
    """`path` is the file name of the wheel."""


def list_key(environment: Environment) -> str:
    """Where the object store keeps the list."""
    return f"environments/{environment_digest(environment)}/wheels.json"


def platform_here() -> str:
    """The platform of this machine, spelled as in a manifest."""
    return re.sub(r"[-.]", "_", sysconfig.get_platform())


def vendor(environment: Environment, store: ObjectStore, folder: Path | None = None) -> int:
    """Puts every wheel of the environment into the store, and returns how many there are.

    The wheels come from `folder` when it is given, else by hash from the package index that pip is configured for.
    RegistryError(environment): a wheel is missing or has another hash, or this machine has another platform."""
    if not environment.requirements or store.exists(list_key(environment)):
        return len(environment.requirements)
    with tempfile.TemporaryDirectory(prefix="headrace-wheels-") as name:
        found = folder
        if found is None:
            found = Path(name)
            _download(environment, found)
        wheels = _chosen(environment, found)
        for wheel in wheels:
            path = found / wheel.path
            blobs.upload(store, wheel, path, blobs.signature(path))
    raw = msgspec.json.encode(VendoredWheels(tuple(wheels)), order="sorted")
    store.put(list_key(environment), raw, content_type="application/json", if_absent=True)
    return len(wheels)


def vendored(environment: Environment, store: ObjectStore) -> tuple[VersionFile, ...] | None:
    """The wheels of the environment in the store, or None when nobody stored them. RegistryError(corrupt)."""
    try:
        raw = store.get(list_key(environment), LIST_BYTES_MAX)
    except Missing:
        return None
    except OtherSize:
        raw = b""
    allowed = _allowed(environment)
    try:
        wheels = msgspec.json.decode(raw, type=VendoredWheels).wheels
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        wheels = ()
    if not wheels or not all(_WHEEL_NAME.fullmatch(wheel.path) and wheel.sha256 in allowed for wheel in wheels):
        raise RegistryError(
            "corrupt",
            f"{list_key(environment)}: expected wheels that the environment's lock names by hash, found others;"
            " delete that object and publish with vendored wheels again",
        )
    return wheels


def _allowed(environment: Environment) -> set[str]:
    return {sha256 for requirement in environment.requirements for sha256 in requirement.sha256}


def _download(environment: Environment, folder: Path) -> None:
    here = platform_here(), f"{sys.version_info.major}.{sys.version_info.minor}"
    if environment.platform not in (here[0], "any"):
        raise RegistryError(
            "environment",
            f"expected to download wheels for {environment.platform} on such a machine, found {here[0]};"
            " publish from one, or give a folder of wheels",
        )
    lock = folder / "requirements.lock"
    lock.write_text(write_lock(environment.requirements))
    python = ["run", "--no-project", "--isolated", "--quiet", "--python", environment.python, "--with", "pip", "python"]
    download = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    exactly = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(lock), "-d", str(folder)]
    run_uv([*python, *download, *exactly], "downloading the wheels of the lock", asks_index=True)


def _chosen(environment: Environment, folder: Path) -> list[VersionFile]:
    allowed = _allowed(environment)
    wheels = [VersionFile(path.name, *hash_of_file(path)) for path in sorted(folder.glob("*.whl"))]
    chosen = [wheel for wheel in wheels if wheel.sha256 in allowed and _WHEEL_NAME.fullmatch(wheel.path)]
    have = {wheel.sha256 for wheel in chosen}
    for requirement in environment.requirements:
        if not requirement.marker and not have.intersection(requirement.sha256):
            raise RegistryError(
                "environment",
                f"expected a wheel of {requirement.name}=={requirement.version} with a hash of the lock,"
                f" found none among the {len(wheels)} wheels; correct environment.lock or add the wheel",
            )
    return chosen
