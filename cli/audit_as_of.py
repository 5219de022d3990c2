"""`headrace audit as-of`: the state of pools at a past moment."""

from __future__ import annotations

from typing import Annotated

import typer

from audit.as_of import AsOf, MomentInvalid, NothingYet, TrialThen, as_of, moment
from audit.ledger.damage import NotBelieved
from audit.ledger.past import LedgerPast
from cli import output
from cli.connection import DATA_DEFAULT, Data
from cli.errors import CommandFailed, WrongUse
from cli.ledgers import LedgerFile, PoolOption, pasts
from cli.moments import now_ms
from cli.output import Format, Output
from contract.policy import UNLIMITED


def show_as_of(
    at: Annotated[str, typer.Argument(metavar="TIME", help="2026-11-24T14:30:00Z, '2h ago', 90s, now.")],
    pool: PoolOption = "",
    file: LedgerFile = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """The whole state at a past moment: what waited, what was staged against which limits, nodes, aliases."""
    here_ms = now_ms()
    try:
        at_ms = moment(at, here_ms)
        found = _states(pasts(pool, file, data), at_ms, here_ms)
    except MomentInvalid as error:
        raise WrongUse(str(error)) from None
    except NotBelieved as error:
        raise CommandFailed(str(error)) from None
    if form is Format.JSON:
        return output.as_json(found)
    for state in found:
        show(state)


def _states(found: list[LedgerPast], at_ms: int, here_ms: int) -> list[AsOf]:
    """The state of each pool. Of several pools, one without history is named and left out.

    MomentInvalid; NotBelieved."""
    states = []
    for past in found:
        try:
            states.append(as_of(past, at_ms, here_ms))
        except NothingYet:
            if len(found) == 1:
                raise
            output.err.print(f"pool {past.pool}: no scheduler has opened it yet")
    return states


def on_trial(trial: TrialThen) -> str:
    """The bound of the trial, and how the trial goes so far, in words."""
    return (
        f"{trial.before[:19]} comes back if fewer than {trial.below_permille / 10:g} % of {trial.jobs:,} jobs start"
        f" within their SLO; so far {trial.kept:,} of {trial.started:,} have"
    )


def show(state: AsOf) -> None:
    """For people."""
    output.facts(
        [
            (f"pool {state.pool}", f"at {output.moment(state.at_ms)}"),
            ("last record", f"offset {state.offset} at {output.moment(state.recorded_ms)}"),
            ("scheduler", f"epoch {state.epoch}, release {state.release}, rules {state.rules}"),
            ("policy", state.policy or "none"),
            *([("on trial", on_trial(state.trial))] if state.trial is not None else []),
            ("`jobs` read up to", state.position),
        ]
    )
    output.out.print()
    output.table(
        ["tier", "SLO", "preparing", "queued", "resting", "staged", "running", "oldest waited"],
        [
            (
                tier.tier,
                output.duration(tier.slo_ms),
                tier.preparing,
                tier.queued,
                tier.resting,
                tier.staged,
                tier.running,
                output.duration(tier.oldest_ms) if tier.queued else "-",
            )
            for tier in state.tiers
        ],
        empty="no tier: no policy had been applied",
    )
    output.out.print()
    output.table(
        ["cluster", "kind", "state", "nodes", "slots", "running", "staged", "limit"],
        [
            (
                c.cluster,
                c.kind,
                c.state,
                c.nodes,
                c.slots,
                c.running,
                c.staged,
                "none" if c.limit >= UNLIMITED else str(c.limit),
            )
            for c in state.clusters
        ],
        empty="no cluster",
    )
    output.out.print()
    output.table(
        ["node", "cluster", "chipset", "slots", "running", "staged", "loaded"],
        [
            (
                n.node + (" (draining)" if n.draining else ""),
                n.cluster,
                n.chipset,
                n.slots,
                n.running,
                n.staged,
                ", ".join(digest[7:19] for digest in n.loaded),
            )
            for n in state.nodes
        ],
        empty="no node had joined",
    )
    output.out.print()
    output.table(
        ["model", "alias", "version"],
        [(a.model, a.alias, a.version[:19]) for a in state.aliases],
        empty="no alias pointed anywhere",
    )
