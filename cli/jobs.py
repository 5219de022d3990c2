"""`headrace jobs …`: submit, list, get, watch, cancel, events, logs, why, erase."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import job_inputs, job_progress, output, upload_sending
from cli.api_client import ApiClient, Document
from cli.connection import DATA_DEFAULT, Data, api, settings
from cli.errors import CommandFailed, WrongUse
from cli.job_ids import JobId
from cli.job_logs import logs
from cli.job_why import why
from cli.moments import now_ms
from cli.output import Format, Output
from contract.names import parse_model

app = typer.Typer(no_args_is_help=True, help="Requests to run a model once.")


@app.command()
def submit(
    model: Annotated[str, typer.Argument(help="model, model@alias or model@sha256:…")],
    tier: Annotated[str | None, typer.Option(help="One of your key's tiers; by default its first.")] = None,
    pairs: Annotated[
        list[str] | None, typer.Option("--input", help="name=value, name:=JSON, or name=@FILE of media; repeat it.")
    ] = None,
    file: Annotated[str | None, typer.Option("--inputs", help="A JSON file of inputs; - for standard input.")] = None,
    expires_in: Annotated[int | None, typer.Option("--expires-in", help="Seconds until the job is ended.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again is the same job; it must name nobody.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the job has ended; exit 1 when it failed.")] = False,
    save: Annotated[Path | None, typer.Option("--output", help="Save the result's file here; implies --wait.")] = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Submit a job. With --wait follow the job, with --output save its result."""
    with api(data) as client:
        inputs = job_inputs.read(pairs or [], file, _schema(client, model))
        inputs = job_inputs.with_files(inputs, lambda path: _name_of(client, path))
        request: Document = {"model": model, "inputs": inputs}
        if tier is not None:
            request["tier"] = tier
        if expires_in is not None:
            request["expires_in_s"] = expires_in
        answer = client.post("/v1/jobs", request, {"Idempotency-Key": idempotency_key or uuid.uuid4().hex})
        job = answer["job"]
        if not wait and save is None:
            if form is Format.JSON:
                return output.as_json(answer)
            output.err.print(f"submitted in tier {answer['tier']}; `headrace jobs watch {job}` follows it")
            print(job)
            return
        _wait(client, job, save, form)


@app.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    tier: Annotated[str | None, typer.Option(help="Only jobs of this tier.")] = None,
    model: Annotated[str | None, typer.Option(help="Only jobs of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most jobs to list, newest first.")] = 50,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Your jobs, newest first."""
    with api(data) as client:
        jobs = _page_through(client, limit, {"state": state, "tier": tier, "model": model})
    if form is Format.JSON:
        return output.as_json(jobs)
    output.table(
        ["job", "state", "tier", "model", "submitted", "waited", "ran", "tries"],
        [
            (
                job["job"],
                output.state(job["state"]),
                job["tier"],
                job["model"],
                output.moment(job["submitted_ms"]),
                _between(job["submitted_ms"], job["started_ms"]),
                _between(job["started_ms"], job["ended_ms"]),
                job["attempts"],
            )
            for job in jobs
        ],
        empty="no such job; submit one with `headrace jobs submit MODEL --input prompt=…`",
    )


@app.command()
def get(job: JobId, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """One job: its state, its attempts, its result."""
    with api(data) as client:
        found = client.get(f"/v1/jobs/{job}")
        result = client.get(f"/v1/jobs/{job}/result") if _has_result(found["job"]) else None
    if form is Format.JSON:
        return output.as_json({**found, "result": result})
    _show(found, result)


@app.command()
def watch(job: JobId, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Follow a job until the job has ended; exit 1 when it did not succeed."""
    with api(data) as client:
        _wait(client, job, None, form)


@app.command()
def cancel(job: JobId, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Ask to end a job. A result that comes before the request in the log still counts."""
    with api(data) as client:
        answer = client.post(f"/v1/jobs/{job}/cancel", {})
    if form is Format.JSON:
        return output.as_json(answer)
    output.out.print(f"asked to end {job}, which was {answer['state']}; `headrace jobs watch {job}` shows how it ends")


@app.command()
def events(
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", help="Follow until the job has ended.")] = False,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """What happened to a job, in sentences."""
    with api(data) as client:
        told = client.events(f"/v1/jobs/{job}/events", follow=follow)
        happened = (data for name, data in told if name == "state")
        if form is Format.JSON:
            return output.as_json(list(happened))
        for event in happened:
            words = event["words"] + _asked(event)
            output.out.print(f"{output.moment(event['at_ms'])} ", output.state(event["state"]), f" {words}")


def _asked(event: dict[str, Any]) -> str:
    """Who asked for what the event says, in a few words."""
    return f", asked for by {event['actor']}" if event.get("actor") else ""


app.command()(why)
app.command()(logs)


@app.command()
def erase(job: JobId, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Operators: end a job and remove its words everywhere. The history stays whole."""
    from contract import signers
    from operations import erasure
    from runtime import jobs_writer
    from runtime.object_store import ObjectStore
    from runtime.postgres import engine

    here = settings(data)
    try:
        done = erasure.erase(
            job,
            kafka=here.brokers,
            signer=jobs_writer.signer_of(here, signers.OPERATOR),
            engine=engine(here),
            store=ObjectStore(here),
            tell=lambda line: output.err.print(line),
        )
    except (erasure.NothingToErase, erasure.ErasureUnfinished) as error:
        raise CommandFailed(str(error)) from None
    if form is Format.JSON:
        return output.as_json(done)
    output.out.print(f"erased; the last copy is gone from every topic's files by {output.moment(done.gone_by_ms)}")


def _wait(client: ApiClient, job: str, save: Path | None, form: Format) -> None:
    found = job_progress.follow(client, [job], lines=form is Format.TABLE)[job]
    result = client.get(f"/v1/jobs/{job}/result") if _has_result(found["job"]) else None
    if save is not None and result is not None:
        client.download(_file_for(result, save)["url"], save)
    if form is Format.JSON:
        output.as_json({**found, "result": result})
    else:
        _show(found, result)
        if save is not None and result is not None:
            output.out.print(f"saved {save}")
    if found["job"]["state"] != "succeeded":
        raise typer.Exit(1)


def _file_for(result: Document, save: Path) -> Document:
    """The file of the result to save under this name: the only file, or the first with the same suffix."""
    files: list[Document] = result["files"]
    suitable = [file for file in files if Path(file["name"]).suffix == save.suffix] or files[: len(files) == 1]
    if not suitable:
        names = ", ".join(file["name"] for file in files) or "no file"
        raise WrongUse(f"--output {save}: expected the suffix of one of the result's files, which are {names}")
    return suitable[0]


def _show(found: Document, result: Document | None) -> None:
    job = found["job"]
    output.facts(
        [
            ("job", job["job"]),
            ("state", output.state(job["state"])),
            *([("reason", job["reason"])] if job["reason"] else []),
            *([("refused", found["refusal"])] if found.get("refusal") else []),
            ("model", f"{job['model']} {job['version'][:19]}"),
            ("tier", job["tier"]),
            ("submitted", output.moment(job["submitted_ms"])),
            *([("media", _media(job))] if job.get("media") else []),
            ("waited", _between(job["submitted_ms"], job["started_ms"])),
            *([("expected to start", _forecast(job))] if job["start_p50_ms"] is not None else []),
            ("ran", _between(job["started_ms"], job["ended_ms"])),
            *[(f"attempt {a['attempt']}", _attempt(a)) for a in found["attempts"]],
            *([(f"erasure {job['erasure']}", "")] if job["erasure"] else []),
        ]
    )
    if any(attempt["state"] == "failed" for attempt in found["attempts"]):
        output.whole(f"`headrace jobs logs {job['job']}` shows the whole error")
    if result is not None:
        _show_result(result)


def _show_result(result: Document) -> None:
    """What the model returned, and a link for each file."""
    if result["values"]:
        output.whole(f"values  {json.dumps(result['values'], indent=2, ensure_ascii=False)}")
    for file in result["files"]:
        output.whole(f"{file['name']}  {file['bytes'] / 1e3:.0f} kB")
        output.whole(file["url"])


def _media(job: Document) -> str:
    """How many media it names, and whether they are prepared. A release before this one says nothing of media."""
    if job["prepared_ms"]:
        return f"{job['media']}, prepared {_between(job['submitted_ms'], job['prepared_ms'])} after the submission"
    return f"{job['media']}, {'being prepared' if job['state'] == 'preparing' else 'not prepared'}"


def _forecast(job: Document) -> str:
    """When the job is expected to start, counted from now by the clock of this machine."""
    half, most = (output.duration(max(0, job[name] - now_ms())) for name in ("start_p50_ms", "start_p90_ms"))
    return f"in about {half} (9 in 10 such jobs: within {most})"


def _attempt(attempt: Document) -> str:
    ended = attempt["failure"] or attempt["closed"]
    error = f" ({attempt['error']})" if attempt["error"] else ""
    loaded = [f"its version was loaded in {output.duration(attempt['load_ms'])}"] if attempt["load_ms"] else []
    left = [f"it left {attempt['bytes'] / 1e3:,.0f} kB"] if attempt["bytes"] else []
    words = [f"{ended}{error}"] if ended else [*loaded, *left]
    return f"{attempt['state']} on {attempt['cluster']}" + (f": {', '.join(words)}" if words else "")


def _between(begun_ms: int | None, ended_ms: int | None) -> str:
    return output.duration(ended_ms - begun_ms) if begun_ms and ended_ms else "-"


def _has_result(job: Document) -> bool:
    return job["state"] == "succeeded" and not job["erasure"]


def _page_through(client: ApiClient, limit: int, filters: dict[str, str | None]) -> list[Document]:
    jobs: list[Document] = []
    cursor = None
    while len(jobs) < limit:
        page = client.get("/v1/jobs", limit=min(200, limit - len(jobs)), cursor=cursor, **filters)
        jobs += page["jobs"]
        cursor = page["cursor"]
        if not cursor:
            break
    return jobs


def _name_of(client: ApiClient, path: Path) -> str:
    return str(upload_sending.bring(client, path)["name"])


def _schema(client: ApiClient, reference: str) -> dict[str, Any]:
    """The input schema of the version that the reference means. WrongUse when it is not a reference."""
    try:
        name, alias, digest = parse_model(reference)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    model = client.get(f"/v1/models/{name}")
    digest = digest or next((a["version"] for a in model["aliases"] if a["alias"] == alias), "")
    schema: dict[str, Any] = next((v["inputs"] for v in model["versions"] if v["version"] == digest), {})
    return schema
