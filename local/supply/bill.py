"""Our bill of materials (CycloneDX): `python -m local.supply.bill CYCLONEDX_PY OUTPUT`.

cyclonedx-py makes it from the lock of what an installation runs on, and checks it against the schema of CycloneDX. The
jars, which the tool does not know, are added from their locks, and the whole is checked again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from local.errors import CannotStart
from local.jars import lock_file
from local.jars.lock_file import SERVERS, Jar

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.image.lock"
SPECIFICATION = "1.6"
TIMEOUT_S = 300
_CHECK = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.from_version(sys.argv[1])).validate_str(sys.stdin.read())
sys.exit(str(fault)[:1000] if fault else 0)
"""


def component(server: str, jar: Jar) -> dict[str, Any]:
    """A jar as CycloneDX names one. A jar that two servers have is two components: each server loads its own."""
    qualifiers = f"?classifier={jar.classifier}" if jar.classifier else ""
    return {
        "bom-ref": f"{server}:{jar.path}",
        "type": "library",
        "group": jar.group,
        "name": jar.artifact,
        "version": jar.version,
        "purl": f"pkg:maven/{jar.group}/{jar.artifact}@{jar.version}{qualifiers}",
        "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
        "properties": [{"name": "headrace:server", "value": server}],
    }


def with_jars(bill: dict[str, Any]) -> dict[str, Any]:
    jars = [component(server, jar) for server in SERVERS for jar in lock_file.read(server)]
    return bill | {"components": [*bill["components"], *jars]}


def made(cyclonedx_py: Path) -> bytes:
    """The bill as JSON, the same bytes for the same locks. CannotStart when a tool refuses it."""
    with tempfile.TemporaryDirectory(prefix="headrace-bill-") as folder:
        packages = Path(folder) / "packages.json"
        command = [str(cyclonedx_py), "requirements", "--pyproject", str(ROOT / "pyproject.toml")]
        command += ["--output-reproducible", "--output-format", "JSON", "--spec-version", SPECIFICATION]
        _run([*command, "--output-file", str(packages), str(LOCK)], b"", "a bill of the lock's packages")
        bill = with_jars(msgspec.json.decode(packages.read_bytes()))
    encoded = msgspec.json.format(msgspec.json.encode(bill))
    python = cyclonedx_py.with_name("python")
    _run(
        [str(python), "-c", _CHECK, SPECIFICATION],
        encoded,
        f"a bill that the schema of CycloneDX {SPECIFICATION} takes",
    )
    return encoded


def _run(command: list[str], given: bytes, expected: str) -> None:
    done = subprocess.run(command, input=given, capture_output=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-1_000:]
        raise CannotStart(expected, said or f"exit status {done.returncode}", "Mend what the tool says")


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("usage: python -m local.supply.bill CYCLONEDX_PY OUTPUT", file=sys.stderr)
        return 2
    try:
        bill = made(Path(arguments[0]))
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    output = Path(arguments[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(bill)
    print(f"{output}: {len(msgspec.json.decode(bill)['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
