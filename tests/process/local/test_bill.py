"""A bill of materials that a tool or the schema refuses is not written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from local.supply import bill
from local.supply.vulnerabilities import NOT_AUDITED, asked

WRITES = """#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" = --output-file ] && echo '{"components": []}' > "$2"; shift; done
"""


def tools(folder: Path, writes: str, checks: str) -> Path:
    """A cyclonedx-py beside a Python that has its library."""
    for name, text in (("cyclonedx-py", writes), ("python", f"#!/bin/sh\n{checks}\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder / "cyclonedx-py"


def test_it_is_written_once_the_schema_takes_it(tmp_path: Path) -> None:
    tool = tools(tmp_path, WRITES, f"cat > {tmp_path}/checked")
    assert bill.main([str(tool), str(tmp_path / "out" / "bill.json")]) == 0
    written = (tmp_path / "out" / "bill.json").read_bytes()
    assert (tmp_path / "checked").read_bytes() == written, "what is written is what was checked, jars included"
    assert len(msgspec.json.decode(written)["components"]) > 100


@pytest.mark.parametrize(
    ("writes", "checks", "said"),
    [
        (WRITES, "echo no such property >&2; exit 1", "expected a bill that the schema of CycloneDX 1.6 takes"),
        ("#!/bin/sh\nexit 2\n", "", "expected a bill of the lock's packages, found exit status 2"),
    ],
)
def test_else_a_sentence_says_why(
    tmp_path: Path, writes: str, checks: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bill.main([str(tools(tmp_path, writes, checks)), str(tmp_path / "bill.json")]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "bill.json").exists()


@pytest.mark.parametrize("says", ["echo NameResolutionError >&2; exit 1", "echo '{'", "true"])
def test_vulnerability_data_that_cannot_be_reached_is_no_clean_bill(tmp_path: Path, says: str) -> None:
    tool = tmp_path / "pip-audit"
    tool.write_text(f"#!/bin/sh\n{says}\n")
    tool.chmod(0o755)
    outcome = asked(str(tool), ["requirements.lock"])
    assert outcome.status == NOT_AUDITED
    assert "cannot be reached from here" in outcome.sentence
