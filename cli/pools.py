"""`headrace pools …`: which pools there are; putting one on hold and releasing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output
from cli.api_client import ApiClient
from cli.connection import DATA_DEFAULT, Data, api, settings
from cli.errors import WrongUse
from cli.following import followed, partitions_in_force, report
from cli.output import Format, Output
from contract.inputs import HoldRequested, ReleaseRequested
from registry import operators
from views.actors import to_operator

app = typer.Typer(no_args_is_help=True, help="Pools.")

SOURCE = "//headrace/pools"

PoolName = Annotated[str, typer.Argument(metavar="POOL", help="A pool of the policy in force.")]


@app.command("list")
def list_pools(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Every pool: whether it starts jobs, and how far its views are."""
    with api(data, operator=True) as client:
        found = client.get("/v1/policy")
    if form is Format.JSON:
        return output.as_json({"pools": found["pools"], "waiting": found["waiting"]})
    rows = [(pool["pool"], _state(pool), pool["offset"], pool["release"], pool["rules"]) for pool in found["pools"]]
    rows += [(pool, "no scheduler yet", "", "", "") for pool in found["waiting"]]
    output.table(
        ["pool", "state", "ledger offset", "release", "rules"],
        rows,
        empty="no pool; `headrace policy apply FILE` names some",
    )


@app.command()
def hold(name: PoolName, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Put a pool on hold: it accepts jobs and starts none; what runs may finish. Deadlines and SLOs go on."""
    _tell(name, HoldRequested(), True, data, form)


@app.command()
def release(name: PoolName, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Let a pool that is on hold start jobs again."""
    _tell(name, ReleaseRequested(), False, data, form)


def _state(pool: dict[str, Any]) -> str:
    if not pool["held"]:
        return "starts jobs"
    return f"on hold, by {to_operator(pool['held_by'])}" if pool.get("held_by") else "on hold"


def _tell(name: str, record: HoldRequested | ReleaseRequested, held: bool, data: Path, form: Format) -> None:
    with api(data, operator=True) as client:
        partition, pool = _pool(client, name)
        if pool["held"] is not held:
            operators.send(settings(data), record, [partition], SOURCE)
        pool = followed(f"pool {name}", "pools", lambda: _pool(client, name)[1], lambda it: it["held"] is held)
    what = (
        f"is on hold: it accepts jobs and starts none until `headrace pools release {name}`" if held else "starts jobs"
    )
    report(form, pool, f"pool {name} {what}")


def _pool(client: ApiClient, name: str) -> tuple[int, dict[str, Any]]:
    """The partition of the pool, and what the views show of it."""
    found = client.get("/v1/policy")
    partitions = partitions_in_force(found["policies"])
    for pool in found["pools"]:
        if pool["pool"] == name and name in partitions:
            return partitions[name], pool
    there = ", ".join(sorted(partitions)) or "there is none"
    raise WrongUse(f"expected a pool with a policy in force ({there}), found {name[:80]!r}")
