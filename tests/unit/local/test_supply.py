"""What others wrote: a package that nobody could ask about is not clean, and the bill has every jar."""

from __future__ import annotations

import pytest

from local.jars import lock_file
from local.supply import bill
from local.supply.vulnerabilities import (
    CLEAN,
    EXPLAINED,
    NOT_AUDITED,
    VULNERABLE,
    Package,
    Vulnerability,
    explained,
    judge,
)

KNOWN = Vulnerability("PYSEC-1", ["1.1"], ["CVE-1"])
GOOD, SKIPPED = Package("good", "1.0"), Package("hidden", skip_reason="not found")


@pytest.mark.parametrize(
    ("packages", "reasons", "status", "said"),
    [
        ([GOOD], {}, CLEAN, "1 packages have no known vulnerability that is not explained"),
        ([GOOD, SKIPPED], {}, NOT_AUDITED, "of 2 packages, found it for 1: the index does not know hidden."),
        ([], {}, NOT_AUDITED, "of 0 packages"),
        ([Package("bad", "1.0", [KNOWN]), SKIPPED], {}, VULNERABLE, "bad 1.0: PYSEC-1, mended in 1.1"),
        ([Package("bad", "1.0", [Vulnerability("PYSEC-2")])], {}, VULNERABLE, "mended in no release"),
        ([Package("bad", "1.0", [KNOWN])], {"PYSEC-1": "why"}, CLEAN, "explained: PYSEC-1"),
        ([Package("bad", "1.0", [KNOWN])], {"CVE-1": "why"}, CLEAN, "explained: PYSEC-1"),
    ],
)
def test_only_what_was_audited_is_clean(
    packages: list[Package], reasons: dict[str, str], status: int, said: str
) -> None:
    verdict = judge(packages, reasons)
    assert verdict.status == status
    assert said in verdict.sentence


def test_an_explanation_has_a_reason() -> None:
    assert explained("# head\n\nCVE-1 we parse no such file\n") == {"CVE-1": "we parse no such file"}
    with pytest.raises(ValueError, match="line 2"):
        explained("# head\nCVE-1 \n")
    explained(EXPLAINED.read_text())


def test_the_bill_has_every_jar_with_its_hash() -> None:
    components = bill.with_jars({"components": [{"name": "a package"}]})["components"]
    locked = [jar for server in lock_file.SERVERS for jar in lock_file.read(server)]
    assert components[0] == {"name": "a package"}
    assert [part["hashes"][0]["content"] for part in components[1:]] == [jar.sha256 for jar in locked]
    references = [part["bom-ref"] for part in components[1:]]
    assert len(set(references)) == len(references), "CycloneDX wants each reference once"
