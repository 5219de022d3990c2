"""Makes the golden ledger of the decision rules: a pool's life from a fixed seed, one record a line.

`python -m tests.golden.rules` writes tests/golden/rules_<RULES>.jsonl. Run it once, after RULES was raised because a
decision differs; the ledgers of older rules stay, and must still fold.
"""

from __future__ import annotations

import random
import sys
from functools import partial
from pathlib import Path

import msgspec

from contract.inputs import (
    AliasMoved,
    Body,
    CancelRequested,
    ClusterActivated,
    ClusterDrainRequested,
    EraseRequested,
    HoldRequested,
    NodeCordonRequested,
    NodeHeartbeat,
    NodeReport,
    NodeUncordonRequested,
    PolicyApplied,
    ReleaseRequested,
    Requirements,
    Started,
    VersionPublished,
    WithdrawRequested,
)
from contract.policy import Policy, fingerprint
from contract.signers import node_signer, operator_signer
from scheduling import RULES
from tests.golden.media_life import media
from tests.properties.scheduling.worlds import WHAT, live
from tests.unit.scheduling.specification import POLICY, Pool, a_job, a_join, submission, version_of

HERE = Path(__file__).parent
SEED = 20_260
STEPS = 300


def ledger() -> list[bytes]:
    """The records of a life that meets every event of the contract."""
    chance = random.Random(SEED)
    pool = Pool(msgspec.structs.replace(POLICY, discipline="promise"))
    steps = [
        (chance.choice(WHAT), chance.randrange(12), chance.randrange(8), chance.choice((0, 1, 700, 3_000)))
        for _ in range(STEPS)
    ]
    live(pool, steps)
    suspects(pool)
    pre_emption(pool)
    the_rest(pool)
    gangs(pool)
    overdue(pool)
    cordons(pool)
    withdrawals(pool)
    media(pool)
    access(pool)
    return pool.records


def suspects(pool: Pool) -> None:
    """Two nodes are lost, each alone, under a job that fits only them."""
    pool.publish("killer", version="v1", move=1)
    for node, cluster in (("k1", "east"), ("k2", "west")):
        for _ in range(9):
            pool.tick(10_000)
        pool.join(node, cluster, session="k")
        if node == "k1":
            pool.tell(submission(100, "api", "killer"))
        pool.start(a_job(100), node, "k")
        for _ in range(3):
            pool.tick(10_000)


def pre_emption(pool: Pool) -> None:
    """A cluster drains under a running job, which is pre-empted at the deadline and requeued."""
    pool.join("p1", "east", session="p")
    pool.tell(submission(101, "api", "killer"))
    pool.start(a_job(101), "p1", "p")
    pool.tell(ClusterDrainRequested("east", pool.now_ms + 5_000))
    pool.beat("p1", "p", after_ms=5_000)
    pool.stop(a_job(101), "killed", "p1", "p")


def the_rest(pool: Pool) -> None:
    """A join that is refused, and a running job that is cancelled."""
    pool.join("far1", "far")
    for identity, session in (("1" * 32, "t1"), ("2" * 32, "t2")):
        pool.join("w1", "west", session=session, identity=identity)
    pool.beat("w1", "t1", usable=0, holding="disk")
    pool.tell(ClusterActivated("east"), submission(102, "api", "killer"))
    pool.join("p1", "east", session="q")
    running = min(job for job, attempt in pool.state.node_attempts["p1"].items() if attempt)
    pool.start(running, "p1", "q")
    pool.cancel(running)
    pool.stop(running, "killed", "p1", "q")


def gangs(pool: Pool) -> None:
    """Three gangs: one that slots are kept for, with back-fill; one whose slots are given back; one that fails by a
    rank."""
    pool.adopt(msgspec.structs.replace(POLICY, discipline="promise"))
    pool.tell(ClusterActivated("west"))
    pool.publish("tiny", Requirements(("tpu",), 0))
    pool.publish("pair", Requirements(("tpu",), 0, ranks=2))
    for node in ("g1", "g2"):
        pool.join(node, "west", chipset="tpu", address=f"{node}:29500")
    for number in (130, 131, 132):
        pool.tell(submission(number, "api", "tiny"))
    first, second = a_job(130), a_job(131)
    pool.start(first, "g1")
    pool.tick(1_000)
    pool.succeed(first, "g1")
    pool.start(second, "g2")
    pool.start(a_job(132), "g1")
    pool.tell(submission(133, "api", "pair"))
    pool.tell(submission(134, "api", "tiny"), after_ms=1)
    pool.succeed(second, "g2")
    pool.succeed(a_job(132), "g1")
    pool.start(a_job(133), pool.attempt(a_job(133)).node)
    pool.tell(submission(135, "api", "pair"), after_ms=1)
    pool.join("g3", "west", slots=2, chipset="tpu")
    pool.cancel(a_job(135))
    pool.fail(a_job(133), node="g2")
    pool.start(a_job(134), pool.attempt(a_job(134)).node)
    pool.fail(a_job(134), "bad_inputs", pool.attempt(a_job(134)).node)


def cordons(pool: Pool) -> None:
    """Three jobs fail on one node and succeed on another: the first is cordoned, tried in vain, tried again, and lifted
    by a success; an operator cordons the other."""
    pool.adopt(msgspec.structs.replace(POLICY, failures_max=5))
    pool.tell(ClusterActivated("west"))
    pool.publish("fragile", Requirements(("npu",), 0))
    for node in ("c1", "c2"):
        pool.join(node, "west", session="c", chipset="npu", slots=4)
    for number in range(140, 143):
        job = a_job(number)
        pool.beat("c2", "c", holding="disk")
        pool.tell(submission(number, "api", "fragile"))
        pool.start(job, "c1", "c")
        pool.beat("c2", "c")
        pool.fail(job, node="c1", session="c")
        pool.beat("c1", "c", after_ms=9_000, holding="disk")
        pool.start(job, "c2", "c")
        pool.succeed(job, "c2", "c")
        pool.beat("c1", "c")
    pool.tell(NodeCordonRequested("c2"))
    for number, fails in ((144, True), (145, False)):
        for _ in range(9):
            pool.beat("c1", "c", after_ms=9_000)
            pool.beat("c2", "c")
        pool.tell(submission(number, "api", "fragile"))
        pool.start(a_job(number), "c1", "c")
        if fails:
            pool.fail(a_job(number), node="c1", session="c")
            pool.cancel(a_job(number))
        else:
            pool.succeed(a_job(number), "c1", "c")
    pool.tell(NodeUncordonRequested("c2"))
    pool.tell(HoldRequested())
    pool.tell(submission(146, "api", "fragile"))
    pool.tell(ReleaseRequested(), after_ms=1_000)
    for _ in range(9):
        pool.beat("c1", "c", after_ms=5_000, staged=(), running=())
        pool.beat("c2", "c", staged=(), running=())


def withdrawals(pool: Pool) -> None:
    """A version is withdrawn, and then so that what runs is stopped: of jobs that run, wait by digest, wait by alias,
    and come later. Then the alias moves."""
    version = pool.publish("faulty", Requirements(("dsp",), 0))
    pool.join("d1", "west", session="d", chipset="dsp")
    pool.tell(submission(150, "api", "faulty"), submission(151, "api", f"faulty@{version}"))
    pool.tell(submission(152, "free", "faulty"), after_ms=1)
    running, staged = (job for job, _ in sorted(pool.state.node_attempts["d1"].items()))
    pool.start(running, "d1", "d")
    pool.tell(WithdrawRequested("faulty", version), submission(153, "api", "faulty"))
    pool.stop(staged, "recalled", "d1", "d")
    pool.tell(WithdrawRequested("faulty", version, kill=True), after_ms=1)
    pool.stop(running, "killed", "d1", "d")
    pool.publish("faulty", Requirements(("dsp",), 0), "v2", move=2)
    for _ in range(3):
        for attempt in list(pool.state.node_attempts["d1"].values())[:1]:
            pool.start(attempt.job, "d1", "d")
            pool.succeed(attempt.job, "d1", "d")


def access(pool: Pool) -> None:
    """From here on all is signed. Machines come with a token and without, and without all layers; a node is revoked
    under a job that runs, and an operator; models are trusted no longer, under a job that runs and one that is
    staged."""
    pool.take_over(signed_from=pool.offset)
    told = partial(_told, pool)
    tokens = msgspec.structs.replace(POLICY, join_tokens=True, isolation="tenant", networks=("guarded",))
    told(ADA, _applied(pool, tokens))
    version = version_of("guarded/v1")
    told(RELAY, VersionPublished("guarded", version, Requirements(("vpu",), 0), 60_000))
    told(RELAY, AliasMoved("guarded", "live", version, 1, by="eve@lab"))
    told(API, *(submission(number, "api", "guarded") for number in range(160, 164)))
    first = a_join("s1", chipset="vpu", identity="1" * 32)
    second = a_join("s2", slots=2, chipset="vpu", identity="2" * 32, layers_missing=("files",))
    told(node_signer("east", "s1"), first)
    told(node_signer("east", "s2"), second, token=True)
    told(node_signer("east", "s1"), msgspec.structs.replace(first, session="s2"), token=True)
    job = next(iter(pool.state.node_attempts["s1"]))
    told(node_signer("east", "s1"), NodeReport("s1", "s2", (Started(job, pool.dispatch(job)),)))
    told(API, CancelRequested(a_job(163), "acme", by="key7"), EraseRequested(a_job(163), "acme", by="key7"))
    told(BOB, HoldRequested())
    revoking = msgspec.structs.replace(tokens, revoked=(node_signer("east", "s1"), BOB), trusted_models=True)
    told(ADA, _applied(pool, revoking), after_ms=1_000)
    told(ADA, PolicyApplied(tokens, fingerprint(tokens), until_ms=pool.now_ms - 1))
    told(BOB, ReleaseRequested())
    told(ADA, ReleaseRequested(), _applied(pool, tokens, 900, 5))
    told(node_signer("east", "s1"), NodeHeartbeat("s1", "s2"), msgspec.structs.replace(first, session="s3"))
    told(node_signer("east", "s2"), msgspec.structs.replace(second, session="s2"), token=True)
    job = min(pool.state.node_attempts["s2"])
    told(node_signer("east", "s2"), NodeReport("s2", "s2", (Started(job, pool.dispatch(job)),)))
    told(ADA, _applied(pool, msgspec.structs.replace(tokens, gang_network=False)), after_ms=1_000)
    told(node_signer("east", "s1"), msgspec.structs.replace(first, session="s4", address="s1:29500"))


API, RELAY, ADA, BOB = "api", "relay", operator_signer("ada"), operator_signer("bob")


def _told(pool: Pool, signer: str, *bodies: Body, token: bool = False, after_ms: int = 0) -> None:
    pool.signer = signer
    pool.token_until_ms = pool.now_ms + 60_000 if token else 0
    pool.tell(*bodies, after_ms=after_ms)


def _applied(pool: Pool, policy: Policy, below_permille: int = 0, jobs: int = 0) -> PolicyApplied:
    return PolicyApplied(policy, fingerprint(policy), below_permille, jobs, pool.now_ms + 60_000)


def overdue(pool: Pool) -> None:
    """Jobs wait in a line that moves. Then the line stands still, and the forecast times pass."""
    for number in range(110, 116):
        pool.tell(submission(number, "api", "killer"))
    for _ in range(3):
        pool.tick(1_000)
        for held in list(pool.state.node_attempts.values()):
            for attempt in list(held.values()):
                if not attempt.started:
                    pool.start(attempt.job, attempt.node, pool.state.nodes[attempt.node].session)
                else:
                    pool.succeed(attempt.job, attempt.node, pool.state.nodes[attempt.node].session)
    pool.tell(submission(116, "free", "killer"), submission(117, "free", "killer"))
    pool.tick(7_200_000, lease_ms=0)
    trial(pool)


def trial(pool: Pool) -> None:
    """A policy is applied with a bound on attainment, and is reverted with the first job that starts late."""
    assert pool.state.policy is not None
    policy = msgspec.structs.replace(pool.state.policy, failures_max=3)
    pool.tell(PolicyApplied(policy, fingerprint(policy), 1000, 1))
    pool.join("t1", "east", session="t", slots=4)
    pool.beat("t1", "t", after_ms=10_000)
    attempt = next(a for _, a in sorted(pool.state.node_attempts["t1"].items()) if not pool.job(a.job).has_started)
    pool.start(attempt.job, "t1", "t")


def main() -> int:
    path = HERE / f"rules_{RULES}.jsonl"
    if path.exists():
        print(f"{path.name} exists: raise scheduling.RULES first; a golden ledger is never rewritten", file=sys.stderr)
        return 1
    path.write_bytes(b"".join(record + b"\n" for record in ledger()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
