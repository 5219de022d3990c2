"""`headrace policy shadow` and `headrace policy shadows`: a candidate policy beside the one in force."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from audit.ledger.past import following_past_of_partition
from cli import output
from cli.comparison import (
    FetchTime,
    Jobs,
    OrderDelay,
    Plot,
    SwitchCost,
    costs_of,
    save,
    show_columns,
    show_not_modelled,
)
from cli.connection import DATA_DEFAULT, Data, settings
from cli.durations import duration_ms
from cli.errors import CommandFailed, WrongUse
from cli.files import policy_in
from cli.ledgers import PoolOption, database, only, pools_of, snapshots_of
from cli.moments import moment_ms, now_ms
from cli.output import Format, Output
from contract.names import is_name
from contract.policy import Policy, fingerprint
from registry import pools as registry_pools
from runtime.kafka import Producer
from runtime.settings import Settings
from runtime.shutdown import on_signal
from scheduling.state.pool import State
from whatif.compare import NotComparable
from whatif.shadow.comparison import ShadowRun, ShadowSummary, compare, runs
from whatif.shadow.follower import Followed, follow
from whatif.shadow.log import ShadowLog
from whatif.shadow.shadow import Shadow
from whatif.shadow.topic import NoTopic, check_topic, last_began, writer, written
from whatif.simulation.event_queue import NEVER
from whatif.simulation.nodes import Costs

NONE_KNOWN = "no shadow is known; start one with `headrace policy shadow FILE`"
WRITE_EVERY_S = 2.0
"""The shadow writes a record at least this often while the ledger grows."""


def shadow(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The candidate: a YAML policy document.")],
    pool: Annotated[str, typer.Option("--pool", help="Whose ledger to follow; default: the only pool.")] = "",
    name: Annotated[str, typer.Option("--name", help="The name of the shadow; default: that of the file.")] = "",
    since: Annotated[
        str,
        typer.Option(
            "--since",
            help="Where the shadow begins: '2h ago', a time, now. Default: where a shadow of this name and document"
            " began before, else now.",
        ),
    ] = "",
    until: Annotated[str, typer.Option("--until", help="When the shadow ends. Default: never.")] = "",
    behind: Annotated[
        str, typer.Option("--behind", help="How far the shadow stays behind at most, to learn the run times of jobs.")
    ] = "1h",
    switch_cost: SwitchCost = "0s",
    order: OrderDelay = "0s",
    fetch: FetchTime = "0s",
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Follow the live ledger with a candidate policy, and write down what it would have done. Changes nothing."""
    costs = costs_of(switch_cost, order, fetch)
    behind_ms = duration_ms("--behind", behind, least_ms=1_000)
    candidate, name = policy_in(file), name or file.stem.lower()
    if not is_name(name):
        raise WrongUse(f"--name: expected lower case letters, digits, '.', '_' and '-', found {name[:80]!r}")
    here = settings(data)
    found = pools_of(here, pool)
    pool = only(found)
    partition = found[pool]
    with database(here) as engine:
        registry_pools.check(registry_pools.partitions(engine), candidate)
    stop = on_signal()
    try:
        check_topic(here.brokers, partition)
        since_ms = _since(here, partition, name, candidate, since)
        until_ms = moment_ms("--until", until) if until else NEVER
        past = following_past_of_partition(here.brokers, pool, partition, snapshots_of(here, data), stop.is_set)
        producer = Producer(here.brokers, "headrace-shadow")
        try:
            make = _maker(candidate, name, pool, costs, behind_ms, producer, partition)
            with output.err.status(f"{name} follows pool {pool}; see `headrace policy shadows {name}`"):
                followed = follow(past, make, since_ms, until_ms)
                reason = _end(followed, interrupted=stop.is_set())
        finally:
            producer.close()
    except NotComparable as error:
        raise WrongUse(str(error)) from None
    except NoTopic as error:
        raise CommandFailed(str(error)) from None
    if form is Format.JSON:
        output.as_json({"shadow": name, "pool": pool, "now_ms": followed.shadow.now_ms, "ended": reason})
    else:
        words = f"{name} in pool {pool} has ended: {reason}; `headrace policy shadows {name}` shows it"
        output.out.print(words, soft_wrap=True)
    if followed.damage is not None:
        raise typer.Exit(1)


def _since(here: Settings, partition: int, name: str, candidate: Policy, since: str) -> int:
    """The moment at which the shadow begins. A shadow that died begins where it began before, so it says the same."""
    if since:
        return moment_ms("--since", since)
    before = last_began(here.brokers, partition, name)
    if before is None or before.fingerprint != fingerprint(candidate):
        return now_ms()
    output.err.print(
        f"{name} was run before with this document: it begins again at {_began(before.from_ms)} and catches up"
        " (--since now begins afresh)",
        soft_wrap=True,
    )
    return before.from_ms


def _maker(
    candidate: Policy, name: str, pool: str, costs: Costs, behind_ms: int, producer: Producer, partition: int
) -> Callable[[State], Shadow]:
    write, last_s = writer(producer, partition), time.monotonic()

    def due() -> bool:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s < last_s + WRITE_EVERY_S:
            return False
        last_s = now_s
        return True

    def make(state: State) -> Shadow:
        log = ShadowLog(name, uuid.uuid4().hex, pool, write, due)
        made = Shadow(candidate, state, log, costs=costs, behind_ms=behind_ms)
        log.began(state.now_ms, state.head_offset, behind_ms, candidate, version("headrace"))
        return made

    return make


def _end(followed: Followed, *, interrupted: bool) -> str:
    """Why the shadow ended. Writes that into the topic too."""
    damage = followed.damage
    if damage is not None:
        output.damaged(damage.offset, damage.text, damage.trusted_offset, "the shadow")
        reason = f"the ledger is damaged at offset {damage.offset}"
        followed.shadow.leave(reason)
    elif interrupted:
        reason = "it was interrupted"
        followed.shadow.leave(reason)
    else:
        reason = "the time of --until has passed"
        followed.shadow.finish(reason)
    return reason


def shadows(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Show this shadow against the pool.")] = "",
    pool: PoolOption = "",
    plot: Plot = None,
    jobs: Jobs = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """The candidates that follow, or have followed, the live ledger; or one candidate against what really happened."""
    here = settings(data)
    if not name and (plot is not None or jobs is not None):
        raise WrongUse("--plot and --jobs are of one shadow: expected its NAME")
    partitions = sorted(pools_of(here, pool).values())
    try:
        found = runs(written(here.brokers, partitions, name))
        known = found if found or not name else runs(written(here.brokers, partitions))
    except NoTopic as error:
        raise CommandFailed(str(error)) from None
    if not name:
        return _list([run for _, run in sorted(found.items())], form)
    if not found:
        names = ", ".join(sorted({other for other, _ in known}))
        raise WrongUse(f"expected one of the shadows ({names}), found {name[:80]!r}" if names else NONE_KNOWN)
    named = {of: run for (_, of), run in found.items()}
    summary, comparison = compare(named[only(named)])
    save(comparison, jobs, plot)
    if form is Format.JSON:
        return output.as_json(summary)
    _show(summary)


def _list(found: list[ShadowRun], form: Format) -> None:
    summaries = [compare(run)[0] for run in found]
    if form is Format.JSON:
        return output.as_json(summaries)
    output.table(
        ["shadow", "pool", "discipline", "began", "behind", "jobs", "last word"],
        [
            (
                summary.shadow,
                summary.pool,
                summary.discipline,
                _began(summary.from_ms),
                output.duration(summary.behind_ms),
                f"{summary.jobs:,}",
                f"{'ended ' if summary.stopped else ''}{output.duration(max(0, now_ms() - summary.written_ms))} ago",
            )
            for summary in summaries
        ],
        empty=NONE_KNOWN,
    )


def _began(from_ms: int) -> str:
    return output.moment(from_ms) if from_ms else "the beginning"


def _show(summary: ShadowSummary) -> None:
    out = output.out
    left_out = ", ".join(f"{count} {how}" for how, count in summary.left_out.items())
    output.facts(
        [
            ("shadow", f"{summary.shadow} in pool {summary.pool}"),
            ("policy", f"{summary.fingerprint[:19]}, discipline {summary.discipline}"),
            ("began", _began(summary.from_ms)),
            ("its clock", f"{output.moment(summary.now_ms)}, {output.duration(summary.behind_ms)} behind the ledger"),
            ("last word", output.moment(summary.written_ms)),
            ("ended", summary.stopped),
            ("jobs compared", f"{summary.jobs:,}"),
            ("undecided yet", f"{summary.undecided:,}"),
            ("left out", left_out),
            ("run times assumed", f"{summary.assumed:,}"),
            ("would-be dispatches", f"{summary.dispatches:,}"),
        ]
    )
    out.print()
    show_columns(summary.columns)
    out.print()
    output.table(
        ["jobs of tier", "earlier in the shadow", "within 1 s", "later"],
        [(entry.tier or "all", entry.earlier, entry.alike, entry.later) for entry in summary.differences],
        empty="no job",
    )
    show_not_modelled(summary.not_modelled)
