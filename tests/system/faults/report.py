"""What a run did, as a table and as a line for a note."""

from __future__ import annotations

import msgspec


class Done(msgspec.Struct, frozen=True):
    """One fault, as it was."""

    fault: str
    target: str
    began_s: float
    """After the first job."""
    lasted_s: float
    """Its end included: until the operator was heard, or the part ran again."""
    note: str


class Report(msgspec.Struct, frozen=True):
    """What a run did, and what came of it."""

    seed: int
    done: list[Done]
    jobs: int
    attempts: str
    """How many failed and were lost."""
    current_after_s: float
    took_s: float
    slowest_answer_s: float
    """Until a submission was acknowledged, all its tries together."""
    rss_mib: dict[str, float]
    """The most that each part of ours had in memory."""
    left: list[str]


def table(done: list[Done]) -> str:
    """What was done, in the order of its beginning."""
    rows = [("fault", "target", "at s", "for s", "")]
    rows += [
        (one.fault, one.target, f"{one.began_s:.1f}", f"{one.lasted_s:.1f}" if one.fault != "killed" else "", one.note)
        for one in done
    ]
    return "\n".join(
        f"{fault:<12}{target:<13}{at:>7}{lasts:>8}  {note}".rstrip() for fault, target, at, lasts, note in rows
    )


def line(report: Report) -> str:
    """For a note."""
    most = max(report.rss_mib, key=lambda part: report.rss_mib[part])
    return (
        f"seed {report.seed}: {len(report.done)} faults, {report.jobs} jobs ended as they must ({report.attempts}),"
        f" current after {report.current_after_s} s, slowest answer {report.slowest_answer_s} s, most memory {most}"
        f" {report.rss_mib[most]} MiB, {'; '.join(report.left)}, {report.took_s:.0f} s in all"
    )
