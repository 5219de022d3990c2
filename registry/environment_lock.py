"""The environment a version runs in: one Python, and wheels named by version and hash, from `environment.lock`.

The lock has pip's format, as `uv pip compile --generate-hashes` and `uv export` write it (registry.pylock reads the
standard one). A lock holds exact versions with hashes only: no link, no local path, no index, no option. The manifest
takes over what is read here, and the node writes its own lock from the manifest. So nothing that the author of a lock
wrote reaches `uv` without having been understood here.
"""

from __future__ import annotations

import hashlib
import re

import msgspec
from packaging import requirements
from packaging.markers import InvalidMarker, Marker
from packaging.utils import canonicalize_name

from registry.errors import RegistryError

LOCK_BYTES_MAX = 4 * 1024 * 1024

_HASH = re.compile(r"--hash=(?P<algorithm>[a-z0-9]+):(?P<hex>\S*)")
HEX = re.compile(r"[0-9a-f]{64}")
_PYTHON = re.compile(r"3\.\d{1,2}")


class PinnedDistribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """One pinned distribution; any file of it whose hash is listed will do."""

    name: str
    """Normalised, with extras in brackets."""
    version: str
    marker: str
    """When it applies, as written after `;`; empty: always."""
    sha256: tuple[str, ...]
    """64 hex digits each, sorted."""


class Environment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `uv` builds on a node."""

    python: str
    """`3.11`: major and minor."""
    abi: str
    """ABI tag of that Python, `cp311`."""
    platform: str
    """`linux_x86_64`: operating system and machine of the wheels."""
    requirements: tuple[PinnedDistribution, ...]


def environment(python: str, platform: str, wheels: tuple[PinnedDistribution, ...]) -> Environment:
    """RegistryError(invalid) when `python` is not like `3.11`."""
    if not _PYTHON.fullmatch(python):
        raise RegistryError("invalid", f"expected a Python version like '3.11' (in quotes), found {python[:80]!r}")
    return Environment(python, "cp" + python.replace(".", ""), platform, wheels)


def environment_digest(environment: Environment) -> str:
    """64 hex digits: versions whose environments are equal share one on a node."""
    return hashlib.sha256(msgspec.json.encode(environment, order="sorted")).hexdigest()


def parse_lock(text: str, file: str = "environment.lock") -> tuple[PinnedDistribution, ...]:
    """The requirements of a lock, sorted. RegistryError(invalid) names file and line of the first fault."""
    found: dict[tuple[str, str], tuple[int, PinnedDistribution]] = {}
    for line, entry in _entries(text):
        requirement = _requirement(f"{file} line {line}", entry)
        earlier = found.setdefault((requirement.name, requirement.marker), (line, requirement))
        if earlier[0] != line:
            raise RegistryError(
                "invalid", f"{file} line {line}: {requirement.name} is pinned on line {earlier[0]} already; keep one"
            )
    return tuple(sorted(requirement for _, requirement in found.values()))


def write_lock(wheels: tuple[PinnedDistribution, ...]) -> str:
    """The lock that `uv pip install --require-hashes -r` reads. parse_lock reads it back the same."""
    lines = []
    for each in wheels:
        marker = f" ; {each.marker}" if each.marker else ""
        hashes = "".join(f" \\\n    --hash=sha256:{hash_}" for hash_ in each.sha256)
        lines.append(f"{each.name}=={each.version}{marker}{hashes}\n")
    return "".join(lines)


def _entries(text: str) -> list[tuple[int, str]]:
    """(line number of its start, text) of each logical line: comments gone, continued lines joined."""
    entries: list[tuple[int, str]] = []
    parts: list[str] = []
    start = 0
    for number, physical in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", physical).strip()
        start = start or number
        goes_on = line.endswith("\\")
        parts.append(line.removesuffix("\\").strip())
        if goes_on:
            continue
        if any(parts):
            entries.append((start, " ".join(part for part in parts if part)))
        parts, start = [], 0
    if any(parts):
        entries.append((start, " ".join(part for part in parts if part)))
    return entries


def _requirement(where: str, entry: str) -> PinnedDistribution:
    if entry.startswith("-"):
        raise RegistryError(
            "invalid",
            f"{where}: expected name==version with hashes, found the option {entry.split()[0][:80]!r};"
            " options, indexes and included files are not allowed in a lock",
        )
    words: list[str] = []
    hashes: list[str] = []
    for word in entry.split():
        (hashes if word.startswith("--hash") else words).append(word)
    pin, _, marker = " ".join(words).partition(";")
    pin, marker = pin.strip(), marker.strip()
    if "://" in pin or " @ " in pin or pin.startswith((".", "/", "~")) or pin.endswith((".whl", ".tar.gz", ".zip")):
        raise RegistryError(
            "invalid",
            f"{where}: expected name==version, found a link or a local file; a lock names released wheels by hash",
        )
    option = next((word for word in words if word.startswith("-")), "")
    if option:
        raise RegistryError(
            "invalid", f"{where}: expected only --hash=sha256:… after the version, found {option[:80]!r}"
        )
    name, version = _pinned(where, pin)
    _check_marker(where, marker)
    if not hashes:
        raise RegistryError(
            "invalid",
            f"{where}: {pin[:80]} has no hash; expected --hash=sha256:… on every requirement:"
            " write the lock with `uv pip compile --generate-hashes`",
        )
    return PinnedDistribution(name, version, marker, tuple(sorted({_hex(where, word) for word in hashes})))


def _pinned(where: str, pin: str) -> tuple[str, str]:
    """(normalised name with its extras, version as written) of an exact pin."""
    try:
        found = requirements.Requirement(pin)
        (specifier,) = found.specifier
    except (requirements.InvalidRequirement, ValueError):
        specifier = None
    if specifier is None or specifier.operator != "==" or specifier.version.endswith(".*"):
        raise RegistryError(
            "invalid",
            f"{where}: expected an exact pin like name==1.2.3, found {pin[:80]!r};"
            " write the lock with `uv pip compile --generate-hashes`",
        )
    extras = f"[{','.join(sorted(found.extras))}]" if found.extras else ""
    return canonicalize_name(found.name) + extras, specifier.version


def _check_marker(where: str, marker: str) -> None:
    """The marker stays as it is written: it is part of the environment's digest."""
    try:
        if marker:
            Marker(marker)
    except InvalidMarker:
        raise RegistryError(
            "invalid", f"{where}: expected an environment marker after ';', found {marker[:80]!r}"
        ) from None


def _hex(where: str, word: str) -> str:
    match = _HASH.fullmatch(word)
    if match is None or match["algorithm"] != "sha256" or not HEX.fullmatch(match["hex"]):
        raise RegistryError("invalid", f"{where}: expected --hash=sha256:<64 hex digits>, found {word[:100]!r}")
    return match["hex"]
