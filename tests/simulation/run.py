"""One seed from beginning to end, and what to print when it fails."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from contract.topics import JOBS, LEDGER
from tests.simulation.access_rules import REFUSALS
from tests.simulation.violation import Violation
from tests.simulation.world import World


@dataclass
class Outcome:
    seed: int
    failure: str = ""
    """What was violated; empty when every invariant held."""
    invariant: str = ""
    numbers: dict[str, int] = field(default_factory=dict)


def simulate(seed: int) -> Outcome:
    """Runs the world of this seed. The same seed and code give the same outcome."""
    world = World(seed)
    outcome = Outcome(seed)
    try:
        world.run()
    except Violation as violation:
        outcome.invariant = violation.invariant
        outcome.failure = _told(world, violation)
    except Exception:
        outcome.invariant = "crash"
        outcome.failure = f"{_where(world)}\n{traceback.format_exc()}"
    auditor = world.auditor
    outcome.numbers = {
        "steps": world.timeline.steps,
        "jobs": len(auditor.book.jobs),
        "inputs": len(world.broker.topic(JOBS)),
        "records": len(auditor.counted),
        "zombie records": len(world.broker.topic(LEDGER)) - len(auditor.counted),
        "takeovers": auditor.epoch,
        "dispatches": len(auditor.book.dispatches),
        "gangs": auditor.book.gangs,
        "reservations": auditor.book.reservations,
        "back-fills": auditor.picks.back_fills,
        "second lives": auditor.book.second_lives,
        "stale": auditor.book.stale,
        "snapshots": len(world.snapshots.stored),
        "refusals": world.refusals,
        "cordons": auditor.book.cordons,
        "preparations": auditor.book.preparations,
        "overdue turns": auditor.picks.preparing.overdue,
        "prepared": auditor.book.prepared,
        "inputs dropped": auditor.book.dropped,
        "media refused": auditor.book.media_refused,
        "workers lost": auditor.book.worker_losses,
        "put out": auditor.book.put_out,
        **{reason: auditor.book.refusals.get(reason, 0) for reason in REFUSALS},
    }
    return outcome


def _where(world: World) -> str:
    phase = "healing" if world.healed else "faults"
    return (
        f"seed {world.seed}, step {world.timeline.steps}, true time {world.timeline.now_ms} ms, phase {phase},"
        f" faults: {', '.join(world.faults) or 'none'}"
    )


def _told(world: World, violation: Violation) -> str:
    lines = [_where(world), f"  {violation}"]
    if violation.job:
        lines.append(world.auditor.stories.tell(violation.job))
    lines.append(f"again: python -m tests.simulation --seed {world.seed}")
    return "\n".join(lines)
