"""`headrace demo`: the whole path once, from nothing to videos, on this machine."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Annotated

import msgspec
import typer
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from audit import story as stories
from audit.ledger.reader import ledger_of_partition
from audit.verify import verdict as verdicts
from cli import audit, contact_sheet, demo_media, output
from cli.api_client import ApiClient, Document
from cli.caller import user_name
from cli.connection import api
from cli.errors import CommandFailed
from cli.models import await_relay
from contract import access, topics
from contract.bounds import SLOTS_MAX
from contract.codec import encode, headers_for
from contract.lifecycle import TERMINAL
from contract.names import ALIAS_DEFAULT, job_id_of_event
from contract.side_topics import SubmissionRequested
from local import stack
from local.display import render
from local.options import Options
from registry import publishing
from runtime.kafka import Producer
from runtime.object_store import ObjectStore
from runtime.postgres import engine as connect
from runtime.settings import Settings

MODELS = demo_media.EXAMPLES / "models"
MODEL = "shapes"
POOL = "main"
ENDED_WITHIN_S = 900.0
"""Most of it is for fetching PyTorch for the environment of the model over a slow line."""
EVENT_SOURCE = "//demo/upstream-product"

HTTP_PROMPTS = (
    ("free", "a red ball moving right"),
    ("free", "a yellow star moving down on a black background"),
    ("light", "a blue square moving left"),
    ("light", "a green triangle moving up on a white background"),
    ("unlimited", "an orange ball moving up"),
    ("unlimited", "a purple diamond moving right on a black background"),
    ("enterprise", "a cyan square moving down"),
    ("api", "a red triangle moving left on a white background"),
)
KAFKA_PROMPTS = (("api", "a green ball moving right"), ("enterprise", "a blue star moving up on a black background"))


class DemoJob(msgspec.Struct):
    """A job of the demo, as its row on the screen shows it."""

    job: str
    tier: str
    door: str
    prompt: str
    beside: Path | None = None
    """What is shown beside the result: a video that was there before."""
    waits_for: demo_media.MediaRequest | None = None
    """The job is submitted when the job has succeeded whose result it takes."""
    state: str = "submitted"
    fraction: float = 0.0
    waited_ms: int | None = None


def demo(
    data: Annotated[Path, typer.Option("--data", help="Where everything goes.")] = Path("headrace-demo"),
    slots: Annotated[int, typer.Option(min=1, max=SLOTS_MAX, help="Jobs that run at once.")] = 2,
) -> None:
    """Start a stack, publish a model, submit prompts of all tiers, save the videos, and verify the history."""
    begun = time.monotonic()
    _start(data, slots)
    here = stack.settings(data)
    _publish(here)
    with api(data) as client:
        jobs = [*_submit_over_http(client), *_submit_over_kafka(data), *_submit_media(client)]
        first_video_s = _follow(client, jobs, begun, data)
        videos = _save(client, jobs, data / "videos")
    sheet = data / "contact-sheet.png"
    contact_sheet.draw(videos, sheet)
    _tell(here, jobs[0].job)
    verdict = audit.verify_pool(here, data, POOL, 0)
    output.out.print(verdicts.render(verdict), style="" if verdict.clean else "red")
    _conclude(data, sheet, first_video_s, time.monotonic() - begun)
    if not verdict.clean or any(job.state != "succeeded" for job in jobs):
        raise CommandFailed("not every job succeeded, or the ledger is not clean: see above, and the logs in the data")


def _start(data: Path, slots: int) -> None:
    if stack.status(data).running:
        return output.err.print(f"a stack runs on {data.absolute()}: the demo uses it")
    _say_step(1, "starting Kafka, Postgres, S3 and every process of ours (a first start fetches jars)")
    status = stack.up(Options(data=data, slots=slots), detach=True, console=output.err)
    output.err.print(render(status))


def _say_step(number: int, words: str) -> None:
    output.err.print(Text.assemble((str(number), "bold"), f"  {words}"))


def _publish(here: Settings) -> None:
    _say_step(2, "publishing the demo models: weights, code and environment lock, by hash")
    database, store = connect(here), ObjectStore(here)
    for directory in (MODEL, *demo_media.MODELS):
        done = publishing.publish(
            MODELS / directory, engine=database, store=store, who=user_name(), why="demo", alias=ALIAS_DEFAULT
        )
        output.err.print(f"   {done.version.model} {done.version.digest}")
    await_relay(database, f"{done.version.model}@{done.version.digest}")


def _submit_over_http(client: ApiClient) -> list[DemoJob]:
    words = f"{len(HTTP_PROMPTS)} prompts over HTTP, {len(KAFKA_PROMPTS)} over Kafka, and a clip to change"
    _say_step(3, f"submitting {words}")
    jobs = []
    for seed, (tier, prompt) in enumerate(HTTP_PROMPTS):
        request = {"model": MODEL, "tier": tier, "inputs": {"prompt": prompt, "seed": seed}}
        answer = client.post("/v1/jobs", request, {"Idempotency-Key": uuid.uuid4().hex})
        jobs.append(DemoJob(answer["job"], tier, "HTTP", prompt))
    return jobs


def _submit_over_kafka(data: Path) -> list[DemoJob]:
    """Submits as an upstream product does: a record in `submissions` with CloudEvents headers, by any Kafka client that
    has the user of a producer."""
    producer, tenant = Producer(stack.brokers(data, access.PRODUCER), "demo-upstream-product"), stack.keys(data).tenant
    jobs = []
    for seed, (tier, prompt) in enumerate(KAFKA_PROMPTS):
        inputs = msgspec.Raw(json.dumps({"prompt": prompt, "seed": 100 + seed}).encode())
        request = SubmissionRequested(tenant=tenant, tier=tier, model=MODEL, inputs=inputs)
        event_id = uuid.uuid4().hex
        headers = headers_for(request, event_id, EVENT_SOURCE)
        producer.send_and_wait(topics.SUBMISSIONS, encode(request), key=tenant.encode(), headers=headers)
        jobs.append(DemoJob(job_id_of_event(POOL, tenant, EVENT_SOURCE, event_id), tier, "Kafka", prompt))
    producer.close()
    return jobs


def _submit_media(client: ApiClient) -> list[DemoJob]:
    """Uploads a clip and asks for a change. What takes the result of that is submitted when there is one."""
    source = demo_media.upload(client)
    jobs = []
    for request in demo_media.REQUESTS:
        job = demo_media.submit(client, request, source) if request.of < 0 else ""
        beside = demo_media.CLIP if request.of < 0 else None
        jobs.append(DemoJob(job, request.tier, "upload" if job else "output", request.words, beside, None, "submitted"))
        if not job:
            jobs[-1].waits_for = request
    return jobs


def _submit_what_waits(client: ApiClient, jobs: list[DemoJob]) -> None:
    media = jobs[-len(demo_media.REQUESTS) :]
    for job in media:
        if job.waits_for is not None and media[job.waits_for.of].state == "succeeded":
            job.job = demo_media.submit(client, job.waits_for, media[job.waits_for.of].job)
            job.waits_for = None
        elif job.waits_for is not None and media[job.waits_for.of].state in TERMINAL:
            job.state, job.waits_for = "refused", None


def _follow(client: ApiClient, jobs: list[DemoJob], begun: float, data: Path) -> float:
    """Shows the jobs until all have ended. Returns the seconds from `begun` to the first video."""
    _say_step(4, "the scheduler decides who goes next (the first job also builds the model's environment)")
    first_video_s = 0.0
    with _shown(jobs) as show:
        deadline = time.monotonic() + ENDED_WITHIN_S
        while open_jobs := [job for job in jobs if job.state not in TERMINAL]:
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"{len(open_jobs)} jobs have not ended within {ENDED_WITHIN_S / 60:.0f} minutes: see `headrace"
                    " status`, `headrace clusters list` and `headrace audit story JOB`, each with --data"
                    f" {quote(str(data))}"
                )
            _submit_what_waits(client, jobs)
            for job in open_jobs:
                if job.job:
                    _refresh(client, job)
            if not first_video_s and any(job.state == "succeeded" for job in jobs):
                first_video_s = time.monotonic() - begun
            show()
            time.sleep(0.2)
    return first_video_s


@contextmanager
def _shown(jobs: list[DemoJob]) -> Iterator[Callable[[], None]]:
    """Gives what brings the jobs on the screen up to date. In a pipe they are printed once, at the end."""
    if not output.err.is_terminal:
        yield lambda: None
        return output.err.print(_rows(jobs))
    with Live(console=output.err, auto_refresh=False) as live:
        yield lambda: live.update(_rows(jobs), refresh=True)
        live.update(_rows(jobs), refresh=True)


def _refresh(client: ApiClient, job: DemoJob) -> None:
    try:
        found = client.get(f"/v1/jobs/{job.job}")
    except CommandFailed:
        return  # the job was submitted over Kafka, and the views do not know it yet
    known: Document = found["job"]
    job.state = known["state"]
    progress = found["progress"]
    job.fraction = 1.0 if job.state == "succeeded" else progress["fraction"] if progress else 0.0
    if known["started_ms"]:
        job.waited_ms = known["started_ms"] - known["submitted_ms"]


def _rows(jobs: list[DemoJob]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("tier", "door", "prompt", "state", "", "waited"):
        table.add_column(heading, no_wrap=True)
    for job in jobs:
        bar = ProgressBar(total=1.0, completed=job.fraction, width=24)
        table.add_row(job.tier, job.door, job.prompt, output.state(job.state), bar, output.duration(job.waited_ms))
    return table


def _save(client: ApiClient, jobs: list[DemoJob], folder: Path) -> list[tuple[Path, str]]:
    """The results as files, in the order of the jobs, each with its words for the contact sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    saved = []
    for number, job in enumerate(jobs, 1):
        if job.state != "succeeded":
            continue
        result = client.get(f"/v1/jobs/{job.job}/result")
        video = next(file for file in result["files"] if file["name"].endswith(".mp4"))
        path = folder / f"{number:02d}-{job.prompt.replace(' ', '-').replace(',', '')}.mp4"
        client.download(video["url"], path)
        if job.beside is not None:
            saved.append((job.beside, "a clip that was uploaded"))
        saved.append((path, f"{job.prompt}   ({job.tier}, {job.door})"))
    return saved


def _tell(here: Settings, job: str) -> None:
    _say_step(5, "the story of one job, from the ledger alone, and the ledger verified")
    output.out.print(stories.render(stories.story(job, ledger_of_partition(here.brokers, 0)[0])))
    output.out.print()


def _conclude(data: Path, sheet: Path, first_video_s: float, whole_s: float) -> None:
    here = stack.settings(data)
    output.out.print()
    output.facts(
        [
            ("videos", data.absolute() / "videos"),
            ("contact sheet", sheet.absolute()),
            ("API", f"{here.api_url}  (keys in {data.absolute() / 'keys.json'})"),
            ("logs", data.absolute() / "logs"),
            ("first video after", f"{first_video_s:.1f} s"),
            ("all done after", f"{whole_s:.1f} s"),
            ("look around", f"headrace jobs list --data {quote(str(data))}"),
            ("stop", f"headrace down --data {quote(str(data))}"),
        ]
    )
