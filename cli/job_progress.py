"""Following a job to its end: a bar on a terminal, a line for each change of state in a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli import output
from cli.api_client import ApiClient, Document


def follow(api: ApiClient, jobs: list[str], *, lines: bool) -> dict[str, Document]:
    """Waits until every job has ended. Returns the last document of each. Shows a bar for each job when standard error
    is a terminal, else a line for each change of state if `lines`."""
    if output.err.is_terminal:
        return _with_bars(api, jobs)
    return {job: _ended(api, job, lines=lines) for job in jobs}


def _ended(api: ApiClient, job: str, *, lines: bool) -> Document:
    for name, data in api.events(f"/v1/jobs/{job}/events"):
        if lines and name != "progress":
            output.err.print(f"{job}  {data.get('state', name)}")
    return api.get(f"/v1/jobs/{job}")


def _with_bars(api: ApiClient, jobs: list[str]) -> dict[str, Document]:
    ended: dict[str, Document] = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), console=output.err) as progress:
        bars = {job: progress.add_task(job[-8:], total=1.0, note="submitted") for job in jobs}
        for job, bar in bars.items():
            for completed, note in _steps(api, job):
                progress.update(bar, completed=completed, note=note)
            ended[job] = api.get(f"/v1/jobs/{job}")
            state = ended[job]["state"]
            progress.update(bar, completed=1.0 if state == "succeeded" else 0.0, note=state)
            progress.stop_task(bar)
    return ended


def _steps(api: ApiClient, job: str) -> Iterator[tuple[float, str]]:
    """(fraction, what is happening) of one job, until the job has ended."""
    fraction, note = 0.0, "submitted"
    for name, data in api.events(f"/v1/jobs/{job}/events"):
        if name == "progress":
            fraction = float(data["fraction"])
        else:
            note = str(data.get("state", name))
            fraction = 0.0
        yield fraction, note
