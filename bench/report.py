"""Writes docs/benchmarks.md and its plot from the figures of one run."""

from __future__ import annotations

import datetime as dt
import os
import platform
from pathlib import Path

import msgspec

from bench import measure
from bench.recovery import Audit, Recovery

DOCS = Path(__file__).parents[1] / "docs"
PLOT = "benchmarks.png"


class Arm(msgspec.Struct):
    """All runs of one arm, in the order they were run."""

    name: str
    slow: list[measure.Latency] = []
    fast: list[measure.Latency] = []
    drains: list[measure.Drain] = []


class Figures(msgspec.Struct):
    arms: list[Arm]
    recoveries: list[Recovery] = []
    audits: list[Audit] = []
    decide: str = ""
    """What `bench/decide.py` printed."""


def write(figures: Figures) -> None:
    (DOCS / "benchmarks.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    (DOCS / "benchmarks.md").write_text(page(figures))
    plot(figures, DOCS / PLOT)


def page(figures: Figures) -> str:
    ours = next(arm for arm in figures.arms if arm.name == "headrace")
    drain = _drain(ours)
    lines = [
        "# Benchmarks",
        "",
        f"`make bench`, {dt.datetime.now(dt.UTC):%Y-%m-%d}, one machine: {os.cpu_count()} cores ({processor()}),"
        f" {platform.system()}, Python {platform.python_version()}; all arms in this one run, medians of"
        f" {len(ours.drains)} runs. Everything is on loopback; Kafka's topics are RF 1, Redis has its default"
        " durability.",
        "",
        "## A no-op job, submit to start, and the drain of 10,000 queued",
        "",
        "| system | 50/s p50 | p99 | 500/s p50 | p99 | drain, jobs/s | of ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in figures.arms:
        slow, fast = _latency(arm.slow), _latency(arm.fast)
        rate = _drain(arm)
        ratio = f"{rate / drain:.2f}"
        lines.append(
            f"| {arm.name} | {slow[0]:.1f} ms | {slow[1]:.1f} ms | {fast[0]:.1f} ms | {fast[1]:.1f} ms"
            f" | {rate:,.0f} | {ratio} |"
        )
    lines += ["", f"![the same as bars]({PLOT})", "", _how(), ""]
    if figures.recoveries:
        lines += _recovery(figures)
    if figures.decide:
        lines += ["## The pure core alone", "", "```", figures.decide.strip(), "```", ""]
    lines += [
        "Which policy is best, and how large a pool one core decides: [policies](benchmarks-policies.md) and"
        " [scale](benchmarks-scale.md), by `make bench-policies` and `make bench-scale`.",
        "",
    ]
    return "\n".join(lines)


def plot(figures: Figures, to: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [arm.name for arm in figures.arms]
    colours = ["#1f77b4" if name.startswith("headrace") else "#b0b0b0" for name in names]
    panels = [
        ("50/s, p50 and p99, ms (less is better)", [_latency(arm.slow) for arm in figures.arms]),
        ("500/s, p50 and p99, ms (less is better)", [_latency(arm.fast) for arm in figures.arms]),
    ]
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 3.6))
    for axis, (title, pairs) in zip(axes, panels, strict=False):
        axis.bar(names, [pair[1] for pair in pairs], color=colours, alpha=0.45)
        axis.bar(names, [pair[0] for pair in pairs], color=colours)
        axis.set_title(title, fontsize=10)
    axes[2].bar(names, [_drain(arm) for arm in figures.arms], color=colours)
    axes[2].set_title("drain of 10,000, jobs/s (more is better)", fontsize=10)
    for axis in axes:
        axis.tick_params(axis="x", labelsize=8, labelrotation=20)
    figure.tight_layout()
    figure.savefig(to, dpi=110)
    pyplot.close(figure)


def _how() -> str:
    return " ".join(HOW.split())


HOW = """
Every arm's job is the same function (`bench/peers/stamp.py`): it notes when the job was submitted and when it started.
`headrace` is the whole stack (scheduler, intake, projector, relay, API, one node); `headrace core` is scheduler
and node alone, since the peers keep no views and have no API. The node has 8 slots, each a process of its own, and
32 for the drain, which begins with a pool that was on hold; they run behind the layers that hold a model off its node
(decision 0034). The submitter is a Kafka producer that writes what the API writes. Every start is acknowledged by
the broker before the job runs, and every decision is in the ledger; the peers keep no results and no history here.
Celery: 2 prefork processes; Dramatiq: 2 processes of 8 threads; arq: one event loop, polling every 5 ms. The rates
are open loops: a job is submitted when it is due, however long the jobs before took.
"""


def _recovery(figures: Figures) -> list[str]:
    recovery = measure.median_of(figures.recoveries, by=lambda r: r.first_dispatch_ms)
    audit = measure.median_of(figures.audits, by=lambda a: a.verify_batches_per_s)
    return [
        f"## Recovery and audit (the median of {len(figures.recoveries)})",
        "",
        f"| with {recovery.queued:,} jobs queued | |",
        "|---|---|",
        f"| killed scheduler, from the new process's start to its `Opened` | {recovery.opened_ms / 1000:.2f} s |",
        f"| … to its first dispatch | {recovery.first_dispatch_ms / 1000:.2f} s |",
        f"| fold of the ledger | {audit.fold_jobs_per_s:,.0f} jobs/s |",
        f"| `audit verify` (every decision made again) | {audit.verify_batches_per_s:,.0f} batches/s,"
        f" {audit.verify_events_per_s:,.0f} events/s; clean: {'yes' if audit.clean else 'NO'} |",
        "",
    ]


def _latency(runs: list[measure.Latency]) -> tuple[float, float]:
    return measure.median([run.p50_ms for run in runs]), measure.median([run.p99_ms for run in runs])


def _drain(arm: Arm) -> float:
    return measure.median([run.per_s for run in arm.drains])


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
