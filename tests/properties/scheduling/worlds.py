"""Random lives of a pool, for properties: any inputs in any order, right and wrong ones, at any pace."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from contract.inputs import (
    AliasMoved,
    Body,
    CancelRequested,
    ClusterActivated,
    ClusterDrainRequested,
    EraseRequested,
    ErasureCompleted,
    Failed,
    NodeHeartbeat,
    NodeJoined,
    NodeLeft,
    NodeReport,
    PolicyApplied,
    Requirements,
    Started,
    Stopped,
    Submission,
    Succeeded,
    Unreadable,
    VersionPublished,
    WithdrawRequested,
    cached_digest,
)
from contract.policy import UNLIMITED, Cluster, Policy, Tier, fingerprint
from tests.unit.scheduling.specification import MANIFEST, POLICY, START_MS, Pool, a_job, version_of

NODES = ("n1", "n2", "n3")
CLASSES = (
    Requirements(("cpu",), 0),
    Requirements(("cpu", "cuda"), 0),
    Requirements(("cuda",), 1, 1_000),
    Requirements(("cpu", "cuda"), 0, ranks=3),
)

Step = tuple[str, int, int, int]
"""What happens, and three numbers that the step reads as it likes. What is applied depends on the state at that
moment."""

WHAT = (
    *("submit",) * 6,
    *("report",) * 12,
    *("beat",) * 5,
    *("join",) * 3,
    "leave",
    "cancel",
    "erase",
    "erased",
    "drain",
    "activate",
    "policy",
    "publish",
    "alias",
    "stray",
    "unreadable",
    "take_over",
)

STEPS = st.lists(
    st.tuples(
        st.sampled_from((*WHAT, "withdraw")),
        st.integers(0, 11),
        st.integers(0, 7),
        st.sampled_from((0, 1, 700, 5_000, 9_000)),
    ),
    min_size=30,
    max_size=60,
)


def live(pool: Pool, steps: list[Step]) -> None:
    """Applies the steps, one batch each."""
    for place, requirements in enumerate(CLASSES):
        pool.publish(f"model{place}", requirements)
    for node, cluster in zip(NODES, ("east", "east", "west"), strict=True):
        chipset, slots = "cuda" if node == "n2" else "cpu", 1 + (node == "n1")
        pool.tell(NodeJoined(node, "s0", cluster, chipset, slots, 1, 2_000, address=f"{node}:29500"))
    for what, first, second, after_ms in steps:
        if what == "take_over":
            pool.take_over()
        else:
            caught_up = second != 7
            elapsed_ms = 0 if first == 11 else after_ms
            pool.tell(*bodies(pool, what, first, second), after_ms=after_ms, lease_ms=elapsed_ms, caught_up=caught_up)


def bodies(pool: Pool, what: str, first: int, second: int) -> list[Body]:
    node = NODES[first % 3]
    session = f"s{second % 3}"
    known = pool.state.nodes.get(node)
    match what:
        case "submit":
            tier = "gold" if (first, second) == (3, 3) else ("api", "light", "free")[second % 3]
            via, sent_ms = ("kafka", START_MS - 1) if second % 2 else ("api", 0)
            expires_ms = pool.now_ms + 4_000 if second == 5 else 0
            model = f"model{first % len(CLASSES)}"
            if second == 4:
                model += f"@{version_of(f'{model}/v1')}"
            job = Submission(a_job(first), "acme", tier, model, "sha256:" + "d" * 64, via, sent_ms, expires_ms)
            return [job] * (1 + second // 6)
        case "report":
            return reports(pool, node, first, second)
        case "beat":
            held = list(pool.state.node_attempts.get(node, {}).values())
            running = tuple(a.dispatch for a in held if a.started)
            staged = tuple(a.dispatch for a in held if not a.started)
            loaded = (version_of(f"model{second % 3}/v1"),) if second % 2 else ()
            alive = known.session if known is not None and second < 6 else session
            beat = NodeHeartbeat(node, alive, running[second // 5 :], staged, loaded, loaded, draining=first == 9)
            if second == 4:
                digest = cached_digest(beat.cached)
                beat = msgspec.structs.replace(beat, cached=(), cached_digest=digest, usable=first % 3)
            return [msgspec.structs.replace(beat, holding="store")] if first == 5 else [beat]
        case "join":
            cluster = ("east", "west", "far" if second == 3 else "east")[first // 4]
            chipset = "cuda" if second > 4 else "cpu"
            address = f"{node}:29500" if second % 4 else ""
            slots, holds = 1 + second % 3, (0, 3, 5)[first % 3]
            identity = ("", "0" * 32, "1" * 32)[first % 3]
            join = NodeJoined(node, session, cluster, chipset, slots, second % 2, 2_000, (), address, holds, identity)
            return [join]
        case "leave":
            return [NodeLeft(node, known.session if known is not None and second else session)]
        case "cancel":
            return [CancelRequested(a_job(first), "" if second else "rival")]
        case "erase":
            return [EraseRequested(a_job(first), "" if second else "rival")]
        case "erased":
            return [ErasureCompleted(a_job(first), (second,), pool.now_ms)]
        case "drain":
            deadline_ms = pool.now_ms + 5_000 if second % 2 else 0
            return [ClusterDrainRequested(("east", "west", "far")[first % 3], deadline_ms)]
        case "activate":
            return [ClusterActivated("east" if first % 2 else "west")]
        case "policy":
            clusters = {
                "east": Cluster(
                    "main", UNLIMITED if first == 11 else 1 + first, staged_per_slot=1 + first % 3, adaptive=second > 4
                ),
                "west": Cluster("main" if second else "other", 2),
            }
            tiers = {**POLICY.tiers, "light": Tier(1 + second * 999)}
            in_force = pool.state.policy or POLICY
            policy = Policy(tiers, POLICY.pools, clusters, discipline=in_force.discipline, may_starve=True)
            return [PolicyApplied(policy, fingerprint(policy))]
        case "publish":
            return [VersionPublished(f"model{first % 3}", version_of(f"more{second}"), CLASSES[second % 3], 9_000)]
        case "alias":
            return [AliasMoved(f"model{first % 3}", "live", version_of(f"more{second}"), second)]
        case "withdraw":
            name = f"model{first % len(CLASSES)}"
            return [WithdrawRequested(name, version_of(f"{name}/v1"), bool(second % 2))]
        case "stray":
            return [NodeReport(node, session, (Succeeded(a_job(first), f"1.{second}.0", MANIFEST),))]
        case _:
            return [Unreadable("expected JSON")]


def reports(pool: Pool, node: str, first: int, second: int) -> list[Body]:
    """What a node says of an attempt that it holds; sometimes twice, sometimes out of order."""
    held = sorted(pool.state.node_attempts.get(node, {}).items())
    if not held:
        return []
    job, attempt = held[first % len(held)]
    dispatch = attempt.dispatch
    start, success = Started(job, dispatch), Succeeded(job, dispatch, MANIFEST)
    said = (
        (start,),
        (start, success),
        (success, start),
        (Failed(job, dispatch, "child_died", "Signal9"),),
        (start, Failed(job, dispatch, "bad_inputs")),
        (Stopped(job, dispatch, ("killed", "recalled", "drained", "unclaimed")[first % 4]),),
        (start, start),
        (start,),
    )[second]
    return [NodeReport(node, attempt.session, said)]
