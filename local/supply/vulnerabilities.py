"""Which pinned packages have known vulnerabilities: `python -m local.supply.vulnerabilities PIP_AUDIT LOCK…`.

pip-audit asks the package index, and calls everything clean that the index does not know: a mirror without
vulnerability data would pass for a clean bill. So a package that pip-audit skipped counts as not audited here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3
"""Exit statuses. 2 is wrong use, as everywhere."""

EXPLAINED = Path(__file__).with_name("explained.txt")
"""One line for each vulnerability that does not reach us: its id, and why."""
TIMEOUT_S = 600
NAMES_MAX = 5
"""How many packages a sentence names."""


class Vulnerability(msgspec.Struct, frozen=True):
    """As pip-audit writes it; its description is left out."""

    id: str
    fix_versions: list[str] = []
    aliases: list[str] = []


class Package(msgspec.Struct, frozen=True):
    name: str
    version: str = ""
    vulns: list[Vulnerability] = []
    skip_reason: str = ""
    """Why pip-audit knows nothing of the package. Empty: it was audited."""


class Report(msgspec.Struct, frozen=True):
    dependencies: list[Package]


class AuditOutcome(NamedTuple):
    status: int
    sentence: str


def explained(text: str) -> dict[str, str]:
    """Reasons by id. ValueError names the line without a reason."""
    reasons = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, reason = line.partition(" ")
        if not reason.strip():
            raise ValueError(f"{EXPLAINED.name}, line {number}: expected an id and why it does not reach us")
        reasons[name] = reason.strip()
    return reasons


def judge(packages: Sequence[Package], reasons: dict[str, str]) -> AuditOutcome:
    """A known vulnerability that nobody explained is told first; then packages that could not be audited."""
    audited = [package for package in packages if not package.skip_reason]
    skipped = [package for package in packages if package.skip_reason]
    open_ones = [
        f"{package.name} {package.version}: {known.id}, mended in {', '.join(known.fix_versions) or 'no release'}"
        for package in audited
        for known in package.vulns
        if reasons.keys().isdisjoint({known.id, *known.aliases})
    ]
    if open_ones:
        said = f"{len(open_ones)} known vulnerabilities that nobody explained in {EXPLAINED.name}:\n"
        return AuditOutcome(VULNERABLE, said + "\n".join(sorted(open_ones)))
    if skipped or not packages:
        names = ", ".join(package.name for package in skipped[:NAMES_MAX])
        more = f" and {len(skipped) - NAMES_MAX} more" if len(skipped) > NAMES_MAX else ""
        return AuditOutcome(
            NOT_AUDITED,
            f"expected vulnerability data of {len(packages)} packages, found it for {len(audited)}: the index does not"
            f" know {names or 'any'}{more}. Nothing is known of these; ask again where the data can be reached",
        )
    found = sorted({known.id for package in audited for known in package.vulns})
    told = f"; explained: {', '.join(found)}" if found else ""
    return AuditOutcome(CLEAN, f"{len(audited)} packages have no known vulnerability that is not explained{told}")


def asked(pip_audit: str, locks: Sequence[str]) -> AuditOutcome:
    command = [pip_audit, "--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    command += ["--desc", "off", "--aliases", "on", *(part for lock in locks for part in ("--requirement", lock))]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
        report = msgspec.json.decode(done.stdout, type=Report)
    except subprocess.TimeoutExpired:
        return AuditOutcome(NOT_AUDITED, f"expected vulnerability data within {TIMEOUT_S} s, found none: ask again")
    except msgspec.MsgspecError:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"])[-1][:300]
        return AuditOutcome(
            NOT_AUDITED,
            f"expected vulnerability data, found that it cannot be reached from here ({last}). Nothing is known of any"
            " package; ask again where it can be reached",
        )
    return judge(report.dependencies, explained(EXPLAINED.read_text()))


def main(arguments: list[str]) -> int:
    if len(arguments) < 2:
        print("usage: python -m local.supply.vulnerabilities PIP_AUDIT LOCK…", file=sys.stderr)
        return 2
    status, sentence = asked(arguments[0], arguments[1:])
    print(sentence, file=sys.stderr if status else sys.stdout)
    print("The jars of Kafka and the S3 server are not asked about: pip-audit knows Python packages only.")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
