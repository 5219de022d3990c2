"""`headrace jobs why` as people read it: a sentence, then each cause with a bar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.text import Text

from cli import output
from cli.api_client import Document
from cli.connection import DATA_DEFAULT, Data, api, settings
from cli.errors import CommandFailed, WrongUse
from cli.job_ids import JobId
from cli.moments import now_ms
from cli.output import Format, Output

if TYPE_CHECKING:
    from audit.waits.wait import Wait

BAR = 30
"""The length of a bar of 100 %, in characters."""


def why(
    job: JobId,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Operators: read the ledger itself, without a bound. Names every tenant.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--file", help="Operators: read a ledger that `audit export` wrote.")
    ] = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Why a job waited, from submission to start: causes that sum to the whole wait.

    Exit 1 when the ledger is damaged before its end."""
    if file is not None or ledger:
        found = _from_ledger(job, file, data)
    else:
        with api(data) as client:
            found = client.get(f"/v1/jobs/{job}/why")
    if form is Format.JSON:
        output.as_json(found)
    else:
        show(found)
    if found["damage"]:
        raise typer.Exit(1)


def _from_ledger(job: str, file: Path | None, data: Path) -> Document:
    from audit.ledger.damage import NotBelieved
    from audit.ledger.past import past_of_file
    from audit.ledger.reader import JobUnknown
    from audit.waits.sentences import explained
    from audit.waits.why import why as wait_of
    from contract.names import pool_of

    try:
        if file is not None:
            wait = wait_of(job, past_of_file(file, pool_of(job)))
        else:
            wait = _of_installation(job, data)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    except (JobUnknown, NotBelieved) as error:
        raise CommandFailed(str(error)) from None
    found: Document = msgspec.to_builtins(explained(wait, operator=True))
    return found


def _of_installation(job: str, data: Path) -> Wait:
    """The wait, from the ledger. The views say when the job was submitted: the ledger is read from there on."""
    from audit.waits.wait import Promised
    from audit.waits.why import why as wait_of
    from cli.ledgers import database, past_of_pool
    from contract.lifecycle import JobState
    from contract.names import pool_of
    from views import queries

    here = settings(data)
    past = past_of_pool(here, data, pool_of(job))
    with database(here) as engine, engine.connect() as connection:
        row = queries.any_job(connection, job)
    submitted_ms, promised = 0, None
    if row is not None:
        submitted_ms = row.submitted_ms
        if row.state == JobState.SUBMITTED:
            promised = Promised(row.tenant, row.tier, submitted_ms)
    with output.err.status("reading the ledger…"):
        return wait_of(job, past, submitted_ms, now_ms(), promised)


def show(found: Document) -> None:
    """For people."""
    output.out.print(f"It {found['sentence']}.")
    output.out.print()
    output.table(
        ["share", "", "time", "because"],
        [
            (
                f"{cause['percent']} %" if cause["percent"] else "< 1 %",
                bar(cause["ms"], found["wait_ms"]),
                output.duration(cause["ms"]),
                cause["words"],
            )
            for cause in found["causes"]
        ],
        empty="it has not waited",
    )
    output.out.print()
    output.facts(_facts(found))
    damage = found["damage"]
    if damage:
        output.damaged(damage["offset"], damage["text"], damage["trusted_offset"], "the wait above")


def _facts(found: Document) -> list[tuple[str, Any]]:
    forecast = ""
    if found["forecast_p90_ms"]:
        half, most = output.duration(found["forecast_p50_ms"]), output.duration(found["forecast_p90_ms"])
        forecast = f"half of such jobs within {half}, nine in ten within {most}"
    return [
        ("waited", f"{output.duration(found['wait_ms'])}, all of it above"),
        ("SLO of its tier", f"{output.duration(found['slo_ms'])} ({found['tier']})"),
        ("submitted", output.moment(found["submitted_ms"])),
        ("until", f"{output.moment(found['until_ms'])} ({found['outcome']})"),
        *([("chosen because", found["chosen"])] if found["chosen"] else []),
        *([("forecast", forecast)] if forecast else []),
        ("ledger", f"read up to offset {found['ledger_offset']}{_begun_at(found)}"),
    ]


def _begun_at(found: Document) -> str:
    """Where the reading began, if somebody else than a scheduler may have written that."""
    offset = found.get("unproved_offset", -1)  # a release before this one says nothing of it
    return f" from a snapshot at offset {offset}, whose seal the API cannot check" if offset >= 0 else ""


def bar(ms: int, whole_ms: int) -> Text:
    """The share as a bar. A share above nothing is always visible."""
    eighths = max(1, round(ms * BAR * 8 / whole_ms)) if whole_ms else 0
    return Text("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip(), style="cyan")
