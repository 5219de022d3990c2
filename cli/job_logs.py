"""`headrace jobs logs JOB`: what the model printed, and why the attempt failed."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.api_client import ApiClient, Document
from cli.connection import DATA_DEFAULT, Data, api
from cli.errors import WrongUse
from cli.job_ids import JobId
from cli.output import Format, Output


def logs(
    job: JobId,
    attempt: Annotated[int | None, typer.Option(min=1, help="By default the last one.")] = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """What the model printed during an attempt, and its error in full if the attempt failed."""
    with api(data) as client:
        chosen = _attempt(client, job, attempt)
        number = chosen["attempt"]
        said = {name: client.text(f"/v1/jobs/{job}/attempts/{number}/{name}") for name in ("log", "error")}
    if form is Format.JSON:
        return output.as_json({"job": job, "attempt": number, "state": chosen["state"], **said})
    output.err.print(f"attempt {number}, {chosen['state']}", style="bold")
    for name, heading in (("log", "printed"), ("error", "failed with")):
        text = said[name]
        if text:
            output.err.print(f"{heading}:", style="bold")
            output.said_by_a_model(text)
    if not any(said.values()):
        output.err.print(_nothing(chosen))


def _attempt(client: ApiClient, job: str, number: int | None) -> Document:
    """The attempt of this number, or the last. WrongUse when there is none."""
    attempts: list[Document] = client.get(f"/v1/jobs/{job}")["attempts"]
    if not attempts:
        raise WrongUse(
            f"expected a job that was tried at least once, found no attempt yet; see `headrace jobs why {job}`"
        )
    for known in attempts:
        if known["attempt"] == (number or attempts[-1]["attempt"]):
            return known
    raise WrongUse(f"--attempt: expected 1 to {attempts[-1]['attempt']}, found {number}")


def _nothing(attempt: Document) -> str:
    if attempt["ended_ms"] is None:
        return "the attempt has not ended: what it prints can be read then"
    return "it printed nothing" if attempt["state"] != "closed" else "it was halted, and nothing of it was kept"
