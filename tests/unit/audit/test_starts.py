"""Attainment and the coverage of forecasts, over ledgers that the production code wrote."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from audit.ledger.export import export
from audit.waits.forecasts import coverage
from audit.waits.slo import Attainment, attainment
from audit.waits.starts import Start, Starts, starts
from cli.main import run
from contract import inputs
from contract.policy import fingerprint
from tests.unit.audit.ledger import POLICY, POOL, Ledger, job_of


def tight(ledger: Ledger, free_ms: int) -> None:
    """From here on the tier free has another SLO."""
    tiers = {**POLICY.tiers, "free": replace(POLICY.tiers["free"], slo_ms=free_ms)}
    policy = replace(POLICY, tiers=tiers)
    ledger.decide(inputs.PolicyApplied(policy, fingerprint(policy)))


@pytest.fixture
def ledger() -> Ledger:
    """Job 1 starts within its SLO, 2 late; 3 is cancelled while it waits; 4 waits beyond its SLO, 5 within."""
    ledger = Ledger()
    ledger.set_up()
    for number in (1, 2):
        ledger.submit(number, tier="api")
    ledger.decide()
    ledger.report(inputs.Started(job_of(1), ledger.dispatch_of(1)))
    ledger.decide(passed_ms=12_000)
    ledger.report(inputs.Started(job_of(2), ledger.dispatch_of(2)))
    for number in (3, 4):
        ledger.submit(number, tier="api", tenant="other")
    ledger.decide(inputs.NodeLeft("n1", "n1.a"))
    ledger.decide(inputs.CancelRequested(job_of(3)))
    ledger.decide(passed_ms=11_000)
    ledger.submit(5)
    ledger.decide()
    return ledger


def of(entries: list[Attainment], name: str) -> Attainment:
    (entry,) = [entry for entry in entries if entry.by == name]
    return entry


def test_each_job_is_counted_once_and_by_its_tier(ledger: Ledger) -> None:
    entries = attainment(starts(ledger.past), "tier")
    everyone, api, free = of(entries, ""), of(entries, "api"), of(entries, "free")
    assert (everyone.jobs, everyone.kept, everyone.missed, everyone.undecided, everyone.ended) == (5, 1, 2, 1, 1)
    assert (api.jobs, api.attainment_permille) == (4, 333)
    assert (free.jobs, free.attainment_permille, free.undecided) == (1, None, 1)


def test_the_worst_fraction_is_exact_and_names_its_job(ledger: Ledger) -> None:
    worst = of(attainment(starts(ledger.past), "tier"), "")
    assert worst.worst_job == job_of(2)
    assert (worst.worst_wait_ms, worst.worst_slo_ms, worst.worst_permille) == (12_300, 10_000, 1_230)


def test_by_tenant_and_since(ledger: Ledger) -> None:
    found = starts(ledger.past)
    assert of(attainment(found, "tenant"), "other").missed == 1
    later = attainment(found, "tier", since_ms=found.jobs[2].submitted_ms)
    assert of(later, "").jobs == 3


def test_a_job_is_judged_by_the_slo_in_force_when_it_was_accepted(ledger: Ledger) -> None:
    tight(ledger, 50)
    ledger.submit(6)
    ledger.decide(passed_ms=100)
    ledger.decide(passed_ms=100)
    free = of(attainment(starts(ledger.past), "tier"), "free")
    assert (free.missed, free.undecided) == (1, 1), "6 has the new SLO, 5 keeps the old one"


def test_a_retry_is_no_second_start() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1, tier="api")
    ledger.decide()
    ledger.report(inputs.Started(job_of(1), ledger.dispatch_of(1)))
    ledger.report(inputs.Failed(job_of(1), ledger.dispatch_of(1), "model_error", "ValueError"))
    ledger.decide(passed_ms=60_000)
    ledger.report(inputs.Started(job_of(1), ledger.dispatch_of(1)))
    entry = of(attainment(starts(ledger.past), "tier"), "api")
    assert (entry.kept, entry.missed) == (1, 0)


def a_start(number: int, wait_ms: int, p50_ms: int, p90_ms: int, started: bool = True) -> Start:
    return Start(job_of(number), "acme", "api", 0, 10_000, p50_ms, p90_ms, wait_ms if started else -1)


def test_coverage_counts_what_came_true_what_failed_and_what_is_open() -> None:
    jobs = [
        a_start(1, 1_000, 1_000, 2_000),
        a_start(2, 1_500, 1_000, 3_000),
        a_start(3, 5_000, 1_000, 2_000),
        a_start(4, 0, 1_000, 20_000, started=False),  # still within its p90
        a_start(5, 0, 1_000, 2_000, started=False),  # has waited longer than it
        a_start(6, 700, 0, 0),  # no forecast
    ]
    score = coverage(Starts(POOL, jobs, now_ms=10_000))[0]
    assert (score.scored, score.within_p50, score.within_p90) == (4, 1, 2)
    assert (score.undecided, score.without) == (1, 1)
    assert score.sharpness_permille == 1_200, "the median of 2, 2, 0.4 and 0.2"


def test_the_commands_as_they_are_typed(ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "ledger.jsonl")
    export(ledger.source, tmp_path / "ledger.jsonl")
    assert run(["audit", "slo", "--file", path, "--pool", POOL]) == 0
    assert "33.3 %" in capsys.readouterr().out
    assert run(["audit", "slo", "--by", "tenant", "--file", path, "--pool", POOL, "-o", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [entry["by"] for entry in found["figures"]] == ["", "acme", "other"]
    assert (found["pool"], found["damage"]) == (POOL, None)
    assert run(["audit", "forecasts", "--file", path, "--pool", POOL]) == 0
    assert "within p90" in capsys.readouterr().out
    assert run(["audit", "slo", "--file", path]) == 2
    assert run(["audit", "slo", "--since", "soon", "--file", path, "--pool", POOL]) == 2


def test_a_damaged_ledger_is_counted_up_to_the_damage(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.edit(4, ledger.records[4].value.replace(b'"caught_up":true', b'"caught_up":false'))
    export(ledger.source, tmp_path / "edited.jsonl")
    for verb in ("slo", "forecasts"):
        given = ["audit", verb, "--file", str(tmp_path / "edited.jsonl"), "--pool", POOL]
        assert run(given) == 1
        shown = capsys.readouterr()
        assert "damaged at offset 5: " in shown.err
        assert "the table of pool main says what can be trusted, up to offset 3;" in shown.err
        assert run([*given, "-o", "json"]) == 1
        (found,) = json.loads(capsys.readouterr().out)
        assert [entry["by"] for entry in found["figures"]] == ["", "api"]
        damage = starts(ledger.past).damage
        assert damage is not None
        assert found["damage"] == msgspec.to_builtins(damage)
        assert (damage.offset, damage.trusted_offset) == (5, 3)
