"""The environment a version runs in: one Python, and wheels named by version and hash, from `environment.lock`.

The lock is written in pip's format, as `uv pip compile --generate-hashes` or `uv export` write it. Only exact versions
with hashes are let in: no link, no local path, no index, no option. What is read here is put into the manifest, and the
node writes its own lock from that, so nothing a lock's author wrote reaches `uv` uninterpreted.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from registry.errors import RegistryError

LOCK_BYTES_MAX = 4 * 1024 * 1024

_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"(?:\[(?P<extras>[A-Za-z0-9._, -]+)\])?"
    r"\s*==\s*(?P<version>[A-Za-z0-9][A-Za-z0-9._+!-]*)"
)
_HASH = re.compile(r"--hash=(?P<algorithm>[a-z0-9]+):(?P<hex>\S*)")
_MARKER = re.compile(r"[A-Za-z0-9_.'\"()<>=!~ ,+*-]+")
_PYTHON = re.compile(r"3\.\d{1,2}")


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
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
    requirements: tuple[Requirement, ...]


def environment(python: str, platform: str, requirements: tuple[Requirement, ...]) -> Environment:
    """RegistryError(invalid) when `python` is not like `3.11`."""
    if not _PYTHON.fullmatch(python):
        raise RegistryError("invalid", f"expected a Python version like '3.11' (in quotes), found {python[:80]!r}")
    return Environment(python, "cp" + python.replace(".", ""), platform, requirements)


def environment_digest(environment: Environment) -> str:
    """64 hex digits: versions whose environments are equal share one on a node."""
    return hashlib.sha256(msgspec.json.encode(environment, order="sorted")).hexdigest()


def parse_lock(text: str, file: str = "environment.lock") -> tuple[Requirement, ...]:
    """The requirements of a lock, sorted. RegistryError(invalid) names file and line of the first fault."""
    found: dict[tuple[str, str], tuple[int, Requirement]] = {}
    for line, entry in _entries(text):
        requirement = _requirement(f"{file} line {line}", entry)
        earlier = found.setdefault((requirement.name, requirement.marker), (line, requirement))
        if earlier[0] != line:
            raise RegistryError(
                "invalid", f"{file} line {line}: {requirement.name} is pinned on line {earlier[0]} already; keep one"
            )
    return tuple(sorted(requirement for _, requirement in found.values()))


def write_lock(requirements: tuple[Requirement, ...]) -> str:
    """The lock that `uv pip install --require-hashes -r` reads. parse_lock reads it back the same."""
    lines = []
    for each in requirements:
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


def _requirement(where: str, entry: str) -> Requirement:
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
    match = _PIN.fullmatch(pin)
    if match is None:
        raise RegistryError(
            "invalid",
            f"{where}: expected an exact pin like name==1.2.3, found {pin[:80]!r};"
            " write the lock with `uv pip compile --generate-hashes`",
        )
    if marker and not _MARKER.fullmatch(marker):
        raise RegistryError("invalid", f"{where}: expected an environment marker after ';', found {marker[:80]!r}")
    if not hashes:
        raise RegistryError(
            "invalid",
            f"{where}: {pin[:80]} has no hash; expected --hash=sha256:… on every requirement:"
            " write the lock with `uv pip compile --generate-hashes`",
        )
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    if match["extras"]:
        name += "[" + ",".join(sorted(extra.strip() for extra in match["extras"].split(","))) + "]"
    return Requirement(name, match["version"], marker, tuple(sorted({_hex(where, word) for word in hashes})))


def _hex(where: str, word: str) -> str:
    match = _HASH.fullmatch(word)
    if match is None or match["algorithm"] != "sha256" or not re.fullmatch(r"[0-9a-f]{64}", match["hex"]):
        raise RegistryError("invalid", f"{where}: expected --hash=sha256:<64 hex digits>, found {word[:100]!r}")
    return match["hex"]
