"""`headrace policy …`: what is in force, and putting another in force."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from confluent_kafka import KafkaException

from audit.as_of import MomentInvalid, TrialThen, as_of
from audit.ledger.damage import NotBelieved
from cli import output
from cli.audit_as_of import on_trial
from cli.connection import DATA_DEFAULT, Data, api, elsewhere, settings
from cli.errors import CommandFailed, WrongUse
from cli.files import policy_in
from cli.ledgers import past_of_pool
from cli.moments import now_ms
from cli.output import Format, Output
from cli.policy_shadow import shadow, shadows
from cli.revocation import Signer, with_revoked, without_revoked
from cli.sentences import sentence
from contract.policy import UNLIMITED, Policy
from contract.policy_check import warnings_of
from local import stack
from registry import policies
from runtime.object_store import UNAVAILABLE
from runtime.postgres import engine as connect
from runtime.postgres_troubles import DATABASE_ERRORS
from views.actors import to_operator

app = typer.Typer(no_args_is_help=True, help="Tiers, SLOs, pools, clusters and limits.")

ADOPTED_WITHIN_S = 15.0

PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A YAML policy document")]


@app.command()
def show(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """The policy in force in each pool, and whether it is on trial."""
    with api(data, operator=True) as client:
        found = client.get("/v1/policy")
    for entry in found["policies"]:
        _add_trial(entry, data)
    if form is Format.JSON:
        return output.as_json(found)
    for pool in found["waiting"]:
        output.err.print(f"pool {pool}: no scheduler has opened it yet; what is submitted there waits")
    for number, entry in enumerate(found["policies"]):
        policy = entry["policy"]
        if number:
            output.out.print()
        output.facts(
            [
                ("pool", entry["pool"]),
                ("fingerprint", entry["fingerprint"]),
                ("discipline", policy["discipline"]),
                ("adopted", output.moment(entry["adopted_ms"])),
                *([("applied by", to_operator(entry["actor"]))] if entry.get("actor") else []),
                *([("on trial", _in_words(entry["trial"]))] if entry.get("trial") else []),
            ]
        )
        output.out.print()
        output.table(
            ["tier", "slo"],
            [(name, output.duration(tier["slo_ms"])) for name, tier in policy["tiers"].items()],
            empty="no tier",
        )
        output.out.print()
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


def _add_trial(entry: dict[str, Any], data: Path) -> None:
    """The views know nothing of a trial: it is in the pool's state, folded from its ledger. Where that can't be read
    `trial` is left out, and a note says so."""
    try:
        here_ms = now_ms()
        state = as_of(past_of_pool(settings(data), data, entry["pool"]), here_ms, here_ms)
    except (KafkaException, *DATABASE_ERRORS, NotBelieved, MomentInvalid, WrongUse, *UNAVAILABLE) as error:
        said = sentence(error)
        why = said[0] if said is not None else error
        output.err.print(f"pool {entry['pool']}: whether the policy is on trial is not known: {why}", soft_wrap=True)
        return
    entry["trial"] = msgspec.to_builtins(state.trial) if state.policy == entry["fingerprint"] else None


def _in_words(trial: dict[str, Any]) -> str:
    return on_trial(msgspec.convert(trial, TrialThen))


def _limit(number: int) -> str:
    return "none" if number == UNLIMITED else str(number)


@app.command()
def apply(
    file: PolicyFile,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Check a policy document and put it in force in every pool, without a restart."""
    _put_in_force(policy_in(file), policies.NO_TRIAL, data, form)


@app.command()
def promote(
    file: PolicyFile,
    revert_below: Annotated[str, typer.Option(help="Below this attainment, like 95%, the policy before comes back.")],
    revert_jobs: Annotated[int, typer.Option(min=1, help="Over how many jobs that start under the policy.")],
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Put a policy in force on trial: if too few of the next jobs start within their SLO, the policy before comes back.

    First try the policy on the recorded past with `headrace audit what-if --policy FILE`, and beside the present with
    `headrace policy shadow FILE`."""
    match = re.fullmatch(r"(\d{1,3})(?:\.(\d))?\s*%", revert_below)
    permille = int(match[1]) * 10 + int(match[2] or 0) if match else 0
    if not 0 < permille <= 1000:
        raise WrongUse(f"--revert-below: expected a share like 95% or 99.5%, found {revert_below!r}")
    _put_in_force(policy_in(file), policies.TrialBound(permille, revert_jobs), data, form)


@app.command()
def revoke(
    signer: Signer,
    force: Annotated[bool, typer.Option("--force", help="Revoke the signer that you sign as.")] = False,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Take the word from an operator or a node, in every pool: what it signs changes nothing any more. A node leaves.

    Edits the policy in force and applies it. Put the signer into `revoked` of the document that you apply next."""
    _put_in_force(with_revoked(signer, "" if force else settings(data).signer, data), policies.NO_TRIAL, data, form)
    output.err.print(f"revoked: {signer}; put it into `revoked` of your policy document, too", soft_wrap=True)


@app.command()
def unrevoke(signer: Signer, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Give the word back to a signer that the policy in force revokes. A node joins again when it is started."""
    _put_in_force(without_revoked(signer, data), policies.NO_TRIAL, data, form)
    output.err.print(f"not revoked any more: {signer}; take it out of your policy document, too", soft_wrap=True)


def _put_in_force(policy: Policy, bound: policies.TrialBound, data: Path, form: Format) -> None:
    here = settings(data)
    for warning in warnings_of(policy):
        output.err.print(f"warning: {warning}", soft_wrap=True)
    if not elsewhere():
        stack.admit(data, policy.clusters)
    fingerprint = policies.apply(here, connect(here), policy, bound=bound)
    with api(data, operator=True) as client:
        deadline = time.monotonic() + ADOPTED_WITHIN_S
        while True:
            found = {entry["pool"]: entry for entry in client.get("/v1/policy")["policies"]}
            late = sorted(pool for pool in policy.pools if found.get(pool, {}).get("fingerprint") != fingerprint)
            if not late:
                break
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"the policy is published ({fingerprint[:19]}), but no scheduler has adopted it within"
                    f" {ADOPTED_WITHIN_S:.0f} s in {', '.join(late)}; one will when it runs, and until then what is"
                    " submitted there waits: see `headrace status` and `headrace policy show`"
                )
            time.sleep(0.05)
    if form is Format.JSON:
        return output.as_json({"fingerprint": fingerprint, "pools": sorted(policy.pools)})
    output.out.print(f"in force in {', '.join(sorted(policy.pools))}: {fingerprint}", soft_wrap=True)


app.command()(shadow)
app.command()(shadows)
