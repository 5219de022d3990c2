"""`headrace audit acts`: who asked for what, and what of a revoked operator was set aside."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from audit.acts import acts
from audit.ledger.export import export
from cli.main import run
from contract.inputs import (
    AliasMoved,
    CancelRequested,
    ClusterActivated,
    ClusterDrainRequested,
    HoldRequested,
    NodeCordonRequested,
    NodeUncordonRequested,
    PolicyApplied,
    ReleaseRequested,
    Wire,
    WithdrawRequested,
)
from contract.policy import fingerprint
from scheduling.judge import REVOKED
from tests.unit.audit.ledger import POLICY, POOL, START_MS, VERSION, Ledger, job_of

REVOKING = msgspec.structs.replace(POLICY, revoked=("operator.eve",))
SAID: tuple[tuple[str, Wire], ...] = (
    ("relay", AliasMoved("film", "next", VERSION, 1, by="carol")),
    ("api", CancelRequested(job_of(1), "acme", by="key_1")),
    ("operator.eve", HoldRequested()),
    ("operator.ada", PolicyApplied(REVOKING, fingerprint(REVOKING), until_ms=START_MS + 60_000)),
    ("operator.eve", ReleaseRequested()),
    ("operator.ada", ReleaseRequested()),
    ("operator.ada", ClusterDrainRequested("east", 0)),
    ("operator.ada", ClusterActivated("east")),
    ("operator.ada", NodeCordonRequested("n1")),
    ("operator.ada", NodeUncordonRequested("n1")),
    ("operator.ada", WithdrawRequested("film", VERSION, True)),
)
ACTS = [
    ("relay:carol", f"film@next points to {VERSION[:19]}"),
    ("api:key_1", f"{job_of(1)}: ended on request"),
    ("operator.eve", "the pool on hold"),
    ("operator.ada", f"policy {fingerprint(REVOKING)[:19]} in force"),
    ("operator.eve", f"set aside: {REVOKED}"),
    ("operator.ada", "the pool released"),
    ("operator.ada", "cluster east drains"),
    ("operator.ada", "cluster east takes work"),
    ("operator.ada", "node n1 cordoned"),
    ("operator.ada", "node n1 takes work"),
    ("operator.ada", f"film {VERSION[:19]} withdrawn, what runs is stopped"),
]


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.set_up()
    ledger.say(HoldRequested())
    ledger.decide(ReleaseRequested())
    ledger.submit(1)
    for signer, said in SAID:
        ledger.say(said)
        ledger._pending[-1] = msgspec.structs.replace(ledger._pending[-1], signer=signer)
    ledger.decide()
    return ledger


def test_each_act_has_its_actor_and_what_nobody_signed_has_none(ledger: Ledger) -> None:
    found = list(acts(POOL, ledger.source))
    assert [(act.actor, act.sentence) for act in found] == ACTS
    assert {act.offset for act in found} == {ledger.records[-1].offset}


@pytest.mark.parametrize(
    ("by", "actors"),
    [("eve", {"operator.eve"}), ("operator.eve", {"operator.eve"}), ("key_1", {"api:key_1"}), ("nobody", set())],
)
def test_one_actor_is_asked_for_by_any_of_its_names(ledger: Ledger, by: str, actors: set[str]) -> None:
    assert {act.actor for act in acts(POOL, ledger.source, by)} == actors


def test_it_is_shown_from_a_file(ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "ledger.jsonl")
    export(ledger.source, tmp_path / "ledger.jsonl")
    asked = ["audit", "acts", "--file", file, "--pool", POOL, "--by", "eve"]
    assert run([*asked, "-o", "json"]) == 0
    assert [act["event"] for act in json.loads(capsys.readouterr().out)] == ["PoolHeld", "InputQuarantined"]
    assert run(asked) == 0
    said = capsys.readouterr().out
    assert "eve" in said
    assert "the pool on hold" in said
