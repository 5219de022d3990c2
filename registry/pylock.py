"""`pylock.toml`, the standard lock (PEP 751), as the requirements of an environment.

`uv export --format pylock.toml` and `uv pip compile --format pylock.toml` write it. As in `environment.lock`, only
released wheels with a sha256 are let in. Addresses in the lock are not used: a node takes any wheel with a right hash.
"""

from __future__ import annotations

import tomllib

from packaging.pylock import Package, Pylock, PylockValidationError

from contract.bounds import visible
from registry.environment_lock import HEX, PinnedDistribution
from registry.errors import RegistryError

FILE = "pylock.toml"
SAID_CHARACTERS_MAX = 500
"""Of a fault: packaging quotes what the lock says."""


def parse_pylock(text: str) -> tuple[PinnedDistribution, ...]:
    """The requirements of the lock, sorted. RegistryError(invalid) names the first fault and where it lies."""
    try:
        lock = Pylock.from_dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _fault(f"expected TOML; {error}") from None
    except RecursionError:
        raise _fault("expected TOML, found it nested too deep") from None
    except ValueError:  # Python refuses to read a whole number of thousands of digits
        raise _fault("expected TOML with numbers of fewer digits, found one that no number type holds") from None
    except PylockValidationError as error:
        raise _fault(f"expected a lock as PEP 751 has it; {error}") from None
    found: dict[tuple[str, str], PinnedDistribution] = {}
    for package in lock.packages:
        requirement = _requirement(package)
        if found.setdefault((requirement.name, requirement.marker), requirement) is not requirement:
            raise _fault(f"{package.name} is locked twice for the same marker; keep one")
    return tuple(sorted(found.values()))


def _requirement(package: Package) -> PinnedDistribution:
    if package.vcs or package.directory or package.archive:
        raise _fault(f"{package.name}: expected wheels, found a link or a local directory; lock a released version")
    if package.version is None or not package.wheels:
        raise _fault(f"{package.name}: expected a version and its wheels, found none; lock a version that has wheels")
    marker = str(package.marker or "")
    if "extras" in marker or "dependency_groups" in marker:
        raise _fault(
            f"{package.name}: expected a lock for one environment, found a marker of extras or groups; export those"
            " that the model needs"
        )
    hashes = {wheel.hashes.get("sha256", "") for wheel in package.wheels}
    if not all(HEX.fullmatch(each) for each in hashes):
        raise _fault(f"{package.name}: expected a sha256 of each wheel, found one without")
    return PinnedDistribution(str(package.name), str(package.version), marker, tuple(sorted(hashes)))


def _fault(what: str) -> RegistryError:
    """In one line of printable characters, whatever the lock says."""
    return RegistryError("invalid", f"{FILE}: {visible(' '.join(what.split()))[:SAID_CHARACTERS_MAX]}")
