"""`headrace policy …`: what is in force, and putting another in force."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.connection import DATA_DEFAULT, Data, api, settings
from cli.errors import CommandFailed, WrongUse
from cli.output import Format, Output
from contract.policy import UNLIMITED, PolicyInvalid, parse
from registry import policies
from runtime.postgres import engine as connect

app = typer.Typer(no_args_is_help=True, help="Tiers, SLOs, pools, clusters and limits.")

ADOPTED_WITHIN_S = 15.0


@app.command()
def show(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """The policy in force in each pool."""
    with api(data, operator=True) as client:
        found = client.get("/v1/policy")
    if form is Format.JSON:
        return output.as_json(found)
    for entry in found["policies"]:
        policy = entry["policy"]
        output.facts(
            [
                ("pool", entry["pool"]),
                ("fingerprint", entry["fingerprint"]),
                ("adopted", output.moment(entry["adopted_ms"])),
            ]
        )
        output.table(
            ["tier", "slo"],
            [(name, output.duration(tier["slo_ms"])) for name, tier in policy["tiers"].items()],
            empty="no tier",
        )
        output.table(
            ["cluster", "pool", "limit", "staged per slot"],
            [
                (
                    name,
                    cluster["pool"],
                    f"{_limit(cluster['limit'])}{', adaptive' if cluster['adaptive'] else ''}",
                    _limit(cluster["staged_per_slot"]),
                )
                for name, cluster in policy["clusters"].items()
            ],
            empty="no cluster",
        )


def _limit(number: int) -> str:
    return "none" if number == UNLIMITED else str(number)


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML policy document")],
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Check a policy document and put it in force in every pool, without a restart."""
    try:
        policy = parse(file.read_text())
    except OSError as error:
        raise WrongUse(f"cannot read {file}: {error.strerror}") from None
    except PolicyInvalid as error:
        raise WrongUse(f"{file}: {error}") from None
    here = settings(data)
    fingerprint = policies.apply(here, connect(here), policy)
    with api(data, operator=True) as client:
        deadline = time.monotonic() + ADOPTED_WITHIN_S
        while True:
            found = {entry["pool"]: entry for entry in client.get("/v1/policy")["policies"]}
            if all(found.get(pool, {}).get("fingerprint") == fingerprint for pool in policy.pools):
                break
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"the policy is published ({fingerprint[:19]}), but not every scheduler has adopted it within"
                    f" {ADOPTED_WITHIN_S:.0f} s; it will when it runs: see `headrace status` and `headrace policy show`"
                )
            time.sleep(0.05)
    if form is Format.JSON:
        return output.as_json({"fingerprint": fingerprint, "pools": sorted(policy.pools)})
    output.out.print(f"in force in {', '.join(sorted(policy.pools))}: {fingerprint}", soft_wrap=True)
