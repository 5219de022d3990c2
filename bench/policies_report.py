"""Writes docs/benchmarks-policies.md, its plot and its figures from one run of `bench.policies`."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.figures import Figure, Results, TwoClusters
from bench.report import DOCS, processor
from contract.policy import DISCIPLINES, UNLIMITED

__all__ = ["DOCS", "page", "write"]

OURS, STRICT = "promise", "strict"
PAGE, PLOT, FIGURES = "benchmarks-policies.md", "benchmarks-policies.png", "benchmarks-policies.json"


def write(results: Results, to: Path) -> None:
    """Writes the page, the plot, and every figure as JSON for a closer look (half a megabyte, not in git)."""
    (to / FIGURES).write_bytes(msgspec.json.encode(results) + b"\n")
    (to / PAGE).write_text(page(results))
    plot(results, to / PLOT)


def page(results: Results) -> str:
    rows = _rows(results.figures)
    lines = [
        "# Benchmarks: policies",
        "",
        f"`make bench-policies`, {dt.datetime.now(dt.UTC):%Y-%m-%d}, {os.cpu_count()} cores ({processor()}), Python"
        f" {platform.python_version()}, {results.seconds / 60:.0f} min; {len(results.figures)} simulations through the"
        f" real core, about {results.jobs:,} jobs each.",
        "",
        " ".join(HOW.split()),
        "",
        "## Against the aims",
        "",
        *_aims(rows),
        "",
        f"![attainment against worst wait]({PLOT})",
        "",
        "## Two clusters, one half as fast",
        "",
        *_two(results.two_clusters),
        "",
        "## All cells",
        "",
        "Each cell shows attainment / worst wait in SLOs. Our discipline is the first column. A figure of ours is bold"
        " where another discipline beats it in the same row.",
        "",
        *_table(rows),
        "",
    ]
    return "\n".join(lines)


HOW = """
Loads: the public traces with tiers, tenants, models and run times by the documented rule (docs/traces.md), thinned to
every n-th row so that the hour keeps its shape; and a synthetic day whose rate swings by 80 %, with a quarter of an
hour of ten times the rate. SLOs: api 30 s, enterprise 60 s, unlimited 5 min, light 15 min, free 1 h. The slots, in two
equal clusters of one-slot nodes, are as many as offered load 0.9 or 1.3 asks for without any switch (for the synthetic
day, at its peak, the burst aside). Where a switch costs something, it is paid whenever a slot loads another version
(three models; the first load too), and the load runs in slow motion (arrivals, run times and SLOs alike), with jobs of
2 min on average. An order takes 20 ms, the fetch of inputs 200 ms. Limit: how many attempts a cluster may hold
dispatched and not started; with none, every job is pushed to a node at once. A job that never started counts as late.
"""

Row = dict[str, Figure]
"""The figures of one row of the report, by discipline."""


def _rows(figures: Sequence[Figure]) -> list[Row]:
    rows: dict[tuple[object, ...], Row] = {}
    for figure in figures:
        cell = figure.cell
        key = (cell.load, cell.utilisation, cell.switch_ms, cell.limit)
        rows.setdefault(key, {})[cell.discipline] = figure
    return list(rows.values())


def _aims(rows: Sequence[Row]) -> list[str]:
    judged = [row for row in rows if OURS in row and STRICT in row and len(row) > 2]
    if not judged:
        return ["Too few disciplines were run to say."]
    lines = ["| aim | all rows | limits 1 to 8 |", "|---|---|---|"]
    limited = [row for row in judged if row[OURS].cell.limit != UNLIMITED] or judged
    for words, figure in _AIMS:
        lines.append(f"| {words} | {figure(judged)} | {figure(limited)} |")
    return lines


def _others(row: Row) -> list[Figure]:
    return [figure for name, figure in row.items() if name != OURS]


def _gains(rows: Sequence[Row]) -> list[float]:
    """For each row, the attainment of our discipline minus that of the best other discipline."""
    return [row[OURS].attainment - max(other.attainment for other in _others(row)) for row in rows]


def _worst_tier(figure: Figure) -> float:
    return min(figure.tier_attainment.values())


def _least_worst(row: Row) -> float:
    return min(other.worst_fraction for other in _others(row))


def _ratio(part: float, whole: float) -> float:
    """`part` divided by `whole`. Values below 0.01 count as 0.01, so two that are next to nothing give 1."""
    return max(part, 0.01) / max(whole, 0.01)


_AIMS: tuple[tuple[str, Callable[[Sequence[Row]], str]], ...] = (
    ("attainment, never more than 0.01 below the best other: lowest difference", lambda r: f"{min(_gains(r)):+.3f}"),
    ("… rows more than 0.01 below", lambda r: f"{sum(gain < -0.01 for gain in _gains(r))} of {len(r)}"),
    ("… on the median 0.03 above it", lambda r: f"{statistics.median(_gains(r)):+.3f}"),
    (
        "the worst tier's attainment, on the median at least strict's: difference",
        lambda r: f"{statistics.median(_worst_tier(x[OURS]) - _worst_tier(x[STRICT]) for x in r):+.3f}",
    ),
    (
        "worst wait, never more than 10 % above strict's: highest ratio",
        lambda r: f"{max(_ratio(x[OURS].worst_fraction, x[STRICT].worst_fraction) for x in r):.2f}",
    ),
    (
        "… rows more than 10 % above",
        lambda r: f"{sum(_ratio(x[OURS].worst_fraction, x[STRICT].worst_fraction) > 1.1 for x in r)} of {len(r)}",
    ),
    (
        "worst wait, on the median no more than 2 % above the best other's: ratio",
        lambda r: f"{statistics.median(_ratio(x[OURS].worst_fraction, _least_worst(x)) for x in r):.2f}",
    ),
)


def _table(rows: Sequence[Row]) -> list[str]:
    names = [name for name in DISCIPLINES if any(name in row for row in rows)]
    lines = [f"| load | offered | switch | limit | {' | '.join(names)} |", "|---" * (4 + len(names)) + "|"]
    for row in rows:
        cell = next(iter(row.values())).cell
        columns = [_said(row, name) for name in names]
        head = f"{cell.load} | {cell.utilisation} | {_switch(cell.switch_ms)} | {limit_said(cell.limit)}"
        lines.append(f"| {head} | {' | '.join(columns)} |")
    return lines


def _said(row: Row, name: str) -> str:
    figure = row.get(name)
    if figure is None:
        return ""
    attained, worst = f"{figure.attainment:.3f}", f"{figure.worst_fraction:.2f}"
    if name == OURS:
        others = _others(row)
        if any(float(f"{other.attainment:.3f}") > float(attained) for other in others):
            attained = f"**{attained}**"
        if any(float(f"{other.worst_fraction:.2f}") < float(worst) for other in others):
            worst = f"**{worst}**"
    return f"{attained} / {worst}"


def _switch(switch_ms: int) -> str:
    return (
        "none" if not switch_ms else f"{switch_ms / 1000:g} s" if switch_ms < 60_000 else f"{switch_ms // 60_000} min"
    )


def limit_said(limit: int) -> str:
    return "none" if limit == UNLIMITED else str(limit)


def _two(cases: Sequence[TwoClusters]) -> list[str]:
    lines = [
        "Half of the slots run a job in twice the time. Offered load 1.1, no switch cost, our discipline.",
        "",
        "| load | limit | api p99 wait | attainment | longest that a slot stood idle while a job waited |",
        "|---|---|---|---|---|",
    ]
    for case in cases:
        lines.append(
            f"| {case.load} | {limit_said(case.limit)} | {case.api_p99_ms / 1000:.1f} s | {case.attainment:.3f}"
            f" | {case.idle_ms / 1000:.1f} s |"
        )
    return lines


def plot(results: Results, to: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    rows = _plotted(results.figures)
    loads = list(dict.fromkeys(next(iter(row.values())).cell.load for row in rows))
    offered = sorted({next(iter(row.values())).cell.utilisation for row in rows})
    figure, axes = pyplot.subplots(
        len(offered), len(loads), figsize=(3.6 * len(loads), 3.3 * len(offered)), squeeze=False
    )
    for row in rows:
        cell = next(iter(row.values())).cell
        axis = axes[offered.index(cell.utilisation)][loads.index(cell.load)]
        for place, name in enumerate(DISCIPLINES):
            if name in row:
                mark, size = ("*", 190) if name == OURS else ("o", 40)
                axis.scatter(
                    max(row[name].worst_fraction, 0.01),
                    row[name].attainment,
                    s=size,
                    marker=mark,
                    label=name,
                    c=f"C{place}",
                )
        axis.set_xscale("log")
        least, most = axis.get_xlim()
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)) if most > 10 * least else MaxNLocator(4))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_title(f"{cell.load}, offered {cell.utilisation}", fontsize=9)
        axis.tick_params(labelsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("worst wait ÷ SLO (left is better)", fontsize=8)
    for line in axes:
        line[0].set_ylabel("attainment (up is better)", fontsize=8)
    axes[0][0].legend(fontsize=7, loc="lower left")
    figure.tight_layout()
    figure.savefig(to, dpi=110)
    pyplot.close(figure)


def _plotted(figures: Sequence[Figure]) -> list[Row]:
    """The rows in the plot: without switch cost, and of limit 2 where the run had that limit, else of the lowest."""
    limits = {figure.cell.limit for figure in figures}
    limit = 2 if 2 in limits else min(limits)
    return _rows([figure for figure in figures if figure.cell.switch_ms == 0 and figure.cell.limit == limit])
