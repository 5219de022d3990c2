"""A comparison as a picture: attainment by tier, and the share of jobs by the part of their SLO that they waited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whatif.compare import CHANGED, IN_FORCE, RECORDED, SHADOW, Comparison

COLOURS = {RECORDED: "#9a9a9a", IN_FORCE: "#d98032", CHANGED: "#1f77b4", SHADOW: "#1f77b4"}
FRACTION_MIN = 0.001
"""Waits shorter than this part of an SLO are drawn at this part."""


class NoPlotter(RuntimeError):
    """matplotlib is not installed."""


def draw(comparison: Comparison, to: Path) -> None:
    """Writes the picture; the file's suffix says the format. NoPlotter; OSError; ValueError for an unknown suffix."""
    pyplot = _pyplot()
    figure, (bars, lines) = pyplot.subplots(1, 2, figsize=(12, 4.2))
    columns = comparison.summary.columns
    tiers = list(columns[0].outcome.tiers)
    width = 0.8 / len(columns)
    for place, column in enumerate(columns):
        colour = COLOURS.get(column.name, f"C{place + 1}")
        heights = [100 * column.outcome.tiers[tier].attainment for tier in tiers]
        places = [number + (place - (len(columns) - 1) / 2) * width for number in range(len(tiers))]
        bars.bar(places, heights, width, color=colour, label=column.name)
        fractions = _fractions(comparison, column.name, column.outcome.slos_ms)
        shares = [(number + 1) / len(fractions) * 100 for number in range(len(fractions))]
        lines.step(fractions, shares, where="post", color=colour, label=column.name)
    bars.set_xticks(range(len(tiers)), tiers)
    bars.set_ylabel("jobs that started within their SLO, %")
    bars.set_ylim(0, 105)
    lines.axvline(1.0, color="#444444", linewidth=0.8, linestyle=":")
    lines.set_xscale("log")
    lines.set_xlabel("wait ÷ SLO (dotted: the SLO)")
    lines.set_ylabel("jobs that have started, %")
    lines.legend(loc="upper left", frameon=False)
    figure.tight_layout()
    try:
        figure.savefig(to, dpi=120)
    finally:
        pyplot.close(figure)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise NoPlotter(
            "expected matplotlib for a plot, found none; install it into Headrace's environment"
            " (`uv pip install matplotlib`), or leave --plot out"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _fractions(comparison: Comparison, column: str, slos_ms: dict[str, int]) -> list[float]:
    arrivals, starts_ms = comparison.arrivals, comparison.starts_ms[column]
    return sorted(
        max(FRACTION_MIN, (starts_ms[number] - job.submitted_ms) / slos_ms[job.tier])
        for number, job in enumerate(arrivals)
        if starts_ms[number] >= 0
    )
