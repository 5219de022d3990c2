"""`audit import` and `audit what-if` as they are typed, on files: no server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit.ledger.export import export
from cli.main import run
from tests.unit.audit.ledger import Ledger
from tests.unit.whatif.played import busy
from tests.unit.whatif.public_traces import AZURE

POLICY = """
tiers: {api: {slo: 30s}, free: {slo: 5m}}
pools: {main: {partition: 0}}
clusters: {east: {pool: main, limit: 4}}
"""
TRACE = "arrival,tier,tenant,model,service_seconds\n0,api,acme,film,4\n1,free,acme,film,4\n2,api,acme,song,4\n"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "fifo.yaml").write_text(POLICY + "discipline: fifo\n")
    (tmp_path / "latin1.yaml").write_bytes("# für alle".encode("latin-1"))
    (tmp_path / "jobs.csv").write_text(TRACE)
    (tmp_path / "azure.csv").write_text(AZURE)
    return tmp_path


def exported(ledger: Ledger, folder: Path) -> str:
    export(ledger.source, folder / "main.jsonl")
    return str(folder / "main.jsonl")


def test_a_public_trace_is_imported_and_can_be_asked_about(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = str(here / "made.csv")
    assert run(["audit", "import", str(here / "azure.csv"), "--to", made]) == 0
    said = capsys.readouterr()
    assert "slots that this keeps busy" in said.out
    assert "2 jobs are in" in said.err
    assert run(["audit", "import", made, "-o", "json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["jobs"] == sum(tier["jobs"] for tier in held["tiers"].values()) == 2


def test_a_bad_trace_is_refused_in_one_sentence(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.csv").write_text(TRACE + "1,api,acme,film,4\n")
    assert run(["audit", "import", str(here / "bad.csv")]) == 2
    assert "line 5 column arrival" in capsys.readouterr().err
    assert run(["audit", "import", str(here / "none.csv")]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_a_trace_under_two_policies(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--trace", str(here / "jobs.csv"), "--policy", str(here / "policy.yaml"), "--capacity", "east=1"]
    assert run(["audit", "what-if", *given, "--switch-cost", "22.7s", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [column["name"] for column in found["columns"]] == ["promise"]
    assert found["columns"][0]["running"]["switches"] == 2
    assert run(["audit", "what-if", *given, "--against", str(here / "fifo.yaml")]) == 0
    said = capsys.readouterr().out
    assert "changed" in said
    assert "fifo.yaml" in said
    assert "Not modelled:" in said


def test_each_policy_decides_its_own_side(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One slot, one order at a time: in order of arrival the last job goes last, by its SLO next."""
    arrivals = "\n".join(f"{at},{tier},acme,film,4" for at, tier in enumerate(("free", "free", "free", "api")))
    (here / "jobs.csv").write_text(TRACE.partition("\n")[0] + f"\n{arrivals}\n")
    given = ["--trace", str(here / "jobs.csv"), "--policy", str(here / "policy.yaml"), "--capacity", "east=1"]
    given += ["--against", str(here / "fifo.yaml"), "--limit", "east=1"]
    assert run(["audit", "what-if", *given, "-o", "json"]) == 0
    columns = json.loads(capsys.readouterr().out)["columns"]
    assert [column["outcome"]["tiers"]["api"]["mean_ms"] for column in columns] == [9_010, 1_010]


def test_a_ledger_under_another_capacity(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--file", exported(busy(), here), "--pool", "main", "--capacity", "east=4", "--limit", "east=none"]
    diff, plot = here / "diff.csv", here / "waits.png"
    assert run(["audit", "what-if", *given, "--jobs", str(diff), "--plot", str(plot), "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [column["name"] for column in found["columns"]] == ["recorded", "in force", "changed"]
    assert found["changes"] == ["limit of east: none", "capacity of east: 4 slots"]
    assert len(found["not_modelled"]) >= 5
    assert len(diff.read_text().splitlines()) == 13
    assert plot.stat().st_size > 1_000


def test_a_damaged_ledger_says_what_is_trustworthy(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = busy()
    middle = len(ledger.records) // 2
    ledger.edit(middle, ledger.records[middle].value.replace(b'"caught_up":true', b'"caught_up":false'))
    given = ["--file", exported(ledger, here), "--pool", "main", "--policy", str(here / "policy.yaml")]
    assert run(["audit", "what-if", *given]) == 1
    said = capsys.readouterr()
    assert f"damaged at offset {middle + 1}:" in said.err
    assert f"up to offset {middle - 1}" in said.err
    assert "recorded" in said.out


def test_columns_of_which_nothing_is_made_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = (here / "azure.csv").read_text().splitlines()
    images = here / "images.csv"
    images.write_text("\n".join([f"{rows[0]},NumImages", *(f"{row},2" for row in rows[1:])]))
    assert run(["audit", "import", str(images), "-o", "json"]) == 0
    said = capsys.readouterr()
    assert f"{images}: nothing is made of the columns NumImages" in said.err
    assert json.loads(said.out)["jobs"] == 2


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], "expected something to change"),
        (["--trace", "jobs.csv"], "--trace needs --policy"),
        (["--trace", "jobs.csv", "--policy", "policy.yaml"], "expected --capacity CLUSTER=SLOTS for each cluster"),
        (["--trace", "jobs.csv", "--policy", "policy.yaml", "--capacity", "west=1"], "--capacity: expected a cluster"),
        (["--policy", "policy.yaml", "--limit", "east"], "--limit: expected CLUSTER=N, a whole number of at least 1"),
        (["--policy", "policy.yaml", "--limit", "east=0"], "--limit: expected CLUSTER=N"),
        (["--policy", "policy.yaml", "--capacity", "east=none"], "--capacity: expected CLUSTER=N"),
        (["--policy", "policy.yaml", "--capacity", "east=\u00b2"], "--capacity: expected CLUSTER=N"),
        (["--policy", "policy.yaml", "--limit", "east=9999999"], "of at least 1 and at most 1,000,000, or none, found"),
        (["--policy", "policy.yaml", "--switch-cost", "soon"], "--switch-cost: expected a duration"),
        (["--policy", "policy.yaml", "--file", "main.jsonl"], "--file needs --pool"),
        (["--policy", "policy.yaml", "--file", "none.jsonl", "--pool", "main"], "expected an exported ledger"),
        (["--policy", "none.yaml"], "cannot read none.yaml"),
        (["--policy", "latin1.yaml"], "latin1.yaml: expected a YAML document in UTF-8"),
    ],
)
def test_what_is_typed_wrongly_is_said(
    here: Path,
    typed: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(here)
    assert run(["audit", "what-if", *typed]) == 2
    assert said in capsys.readouterr().err
