"""What people do to a running pool: jobs, cancels, erasures, alias moves, policies, drains; how attempts turn out."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import msgspec

from contract import codec, inputs
from contract.bounds import TIME_MS_MAX
from contract.policy import DISCIPLINES, UNLIMITED, Cluster, Policy, Pool, Tier, fingerprint
from contract.signers import API, node_signer
from contract.topics import JOBS
from tests.simulation import workers
from tests.simulation.auditor import Auditor
from tests.simulation.log import Broker
from tests.simulation.pages import TERMINAL
from tests.simulation.signatures import LOGINS, RELAY, ROOT, signed
from tests.simulation.submitters import SUBMISSIONS, Api, deliver, submission

HOUR_MS = 3_600_000
LEASE_MS = 20_000
LAST_MOVED = "nowhere"
"""An alias whose moves have the largest numbers (tests.simulation.extremes)."""
RANKS_MAX = 3
"""Ranks of the largest gang that fits somewhere."""
SECOND_LIVES = 8
FLOOD = 40
NODES = tuple(node_signer(name[0], name) for name in ("a.1", "a.2", "b.1", "b.2"))
"""The nodes of the world, by signer: each is named after its cluster."""
TENANTS = ("acme", "globex", "initech")


def digest(name: str) -> str:
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


BOUNDS = ((0, 0), (1000, 1), (900, 3), (500, 20))
"""The bounds of policies on trial: permille of starts in time, and of how many starts."""
VERSIONS = {
    digest("film 1"): ("film", inputs.Requirements(("cpu", "cuda"), 0, 1000)),
    digest("film 2"): ("film", inputs.Requirements(("cpu", "cuda"), 0, 1000)),
    digest("film spare"): ("film", inputs.Requirements(("cuda",), 1, 1000)),
    digest("deep 1"): ("deep", inputs.Requirements(("cuda",), 1, 16_000)),
    digest("duo 1"): ("duo", inputs.Requirements(("cpu", "cuda"), 0, 1000, ranks=2)),
    digest("duo spare"): ("duo", inputs.Requirements(("cpu", "cuda"), 0, 1000, ranks=2)),
    digest("trio 1"): ("trio", inputs.Requirements(("cpu", "cuda"), 0, 1000, ranks=3)),
}
REFERENCES = (
    *("film", "film", "film@canary", f"film@{digest('film 1')}"),
    *("deep", "deep", "duo", "duo", "trio"),
    *("film@nowhere", "nothing"),
)
MEDIA_VERSIONS = {digest("clip 1"): "frames", digest("clip 2"): "frames", digest("clip spare"): "pixels"}
"""Versions that take media, and the rules by which these are prepared."""
MEDIA_REFERENCES = ("clip", "clip", "clip", "clip@canary", f"clip@{digest('clip 1')}")
WITHDRAWN = ("film 1", "film 2", "duo 1")
"""Versions that are withdrawn now and then. The spare version of their model never is."""
POLICY = Policy(
    tiers={"api": Tier(4_000), "unlimited": Tier(20_000), "free": Tier(90_000)},
    pools={"main": Pool(0)},
    clusters={"a": Cluster("main", 3), "b": Cluster("main", 2)},
    failures_max=3,
    backoff_ms=500,
    backoff_max_ms=4_000,
    node_lease_ms=LEASE_MS,
    submission_age_max_ms=600_000,
)


class Work:
    """How attempts turn out, and the object store their manifests lie in."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.failing = 0.0
        self.hanging = 0.0
        self.broken: set[str] = set()
        """Nodes and versions with which every attempt fails, and fast."""
        self.away_until_ms = 0
        """Until then CPU workers say that the store is away."""
        self.poison: set[str] = set()
        """Jobs whose media take the worker with them, also in a world that has healed."""
        self.junk: set[str] = set()
        """Jobs whose media are refused, and fast."""
        self.hangs: set[str] = set()
        """Jobs with an attempt that never ends unless it is killed."""
        self._manifests: dict[tuple[str, str], str] = {}
        self._inputs: dict[tuple[str, str], str] = {}

    def begin(self, job: str, dispatch: str, node: str, version: str) -> tuple[str, int]:
        if node in self.broken or version in self.broken:
            return "environment", self.broker.timeline.between(50, 1_000)
        timeline = self.broker.timeline
        draw = timeline.chance.random()
        if draw < self.hanging:
            self.hangs.add(job)
            return "", 10 * HOUR_MS
        failure = ""
        if draw > 1 - self.failing:
            failure = timeline.chance.choice(("model_error", "child_died", "out_of_memory", "bad_inputs"))
        elif version in MEDIA_VERSIONS and timeline.happens(self.failing):
            failure = "inputs_missing"
        return failure, timeline.between(300, 9_000)

    def store(self, job: str, dispatch: str) -> str:
        self._manifests[job, dispatch] = digest(f"{job} {dispatch}")
        return self._manifests[job, dispatch]

    def prepare(self, job: str) -> tuple[str, int]:
        timeline = self.broker.timeline
        if timeline.now_ms < self.away_until_ms:
            return "outage", timeline.between(20, 500)
        if job in self.junk:
            return "refused", timeline.between(20, 150)
        if job in self.poison:
            return "dies", timeline.between(50, 500)
        draw, for_ms = timeline.chance.random(), timeline.between(100, 7_000)
        if draw < self.hanging / 2:
            return "hangs", for_ms
        if draw > 1 - self.failing:
            return timeline.chance.choice(("refused", "outage", "unclaimed", "dies")), for_ms
        return "done", for_ms

    def store_prepared(self, job: str, preparation: str) -> str:
        self._inputs[job, preparation] = digest(f"{job} inputs {preparation}")
        return self._inputs[job, preparation]

    def stored_inputs(self, job: str, preparation: str) -> str | None:
        return self._inputs.get((job, preparation))

    def stored(self, job: str, dispatch: str) -> str | None:
        return self._manifests.get((job, dispatch))


class Operators:
    def __init__(self, broker: Broker, api: Api, work: Work, auditor: Auditor, *, media: bool = False) -> None:
        """`media`: there are CPU workers in this world, and jobs whose media they prepare."""
        clusters = {**POLICY.clusters, **workers.CLUSTERS} if media else POLICY.clusters
        self.base = msgspec.structs.replace(POLICY, clusters=clusters)
        self._media = media
        self._nodes = (*NODES, *(node_signer(name[0], name) for name in workers.NAMES if media))
        self.broker, self.api, self.work, self.auditor = broker, api, work, auditor
        self.timeline = broker.timeline
        self.jobs: list[tuple[str, str]] = []
        """Every job ever asked for, with its tenant."""
        self._asked: list[inputs.Submission] = []
        self._moves = 0
        self._policy = self._ordered(self.base)
        self._applied = self._policy
        self._access: dict[str, Any] = {}
        """What the policies say of access, where that is not the default."""
        self._healing = False

    def say(self, body: inputs.Wire) -> None:
        deliver(self.broker, codec.encode(body), key=self._signed(body))

    def _signed(self, body: inputs.Wire) -> str:
        match body:
            case inputs.VersionPublished() | inputs.AliasMoved():
                return signed(RELAY)
            case inputs.CancelRequested() | inputs.EraseRequested() if body.tenant:
                return signed(API)
        return signed(ROOT if self._healing else self.timeline.chance.choice(LOGINS))

    def _ask_once(self, body: inputs.Wire) -> None:
        """Nobody asks again when it is unclear whether the request arrived, so no copy of it comes after the world has
        healed."""
        self.broker.produce(JOBS, codec.encode(body), key=self._signed(body))

    def set_up(self) -> None:
        """Applies the policy first, then versions and aliases. A submission that comes before these is refused, which
        is right too."""
        self.apply(self._policy)
        for version, (model, requirements) in VERSIONS.items():
            self.say(inputs.VersionPublished(model, version, requirements, HOUR_MS))
        for model, alias, name in (
            ("film", "live", "film 1"),
            ("film", "canary", "film 2"),
            ("deep", "live", "deep 1"),
            ("duo", "live", "duo 1"),
            ("trio", "live", "trio 1"),
        ):
            self._moves += 1
            self.say(inputs.AliasMoved(model, alias, digest(name), self._moves))
        if self._media:
            self._set_up_media()

    def _set_up_media(self) -> None:
        needs = inputs.Requirements(("cpu", "cuda"), 0, 1000)
        for version, rules in MEDIA_VERSIONS.items():
            self.say(inputs.VersionPublished("clip", version, needs, HOUR_MS, prepares=digest(rules)))
        for alias, name in (("live", "clip 1"), ("canary", "clip 2")):
            self._moves += 1
            self.say(inputs.AliasMoved("clip", alias, digest(name), self._moves))

    def apply(self, policy: Policy) -> None:
        self._apply(policy, self.timeline.chance.choice(BOUNDS))

    def _apply(self, policy: Policy, bound: tuple[int, int] = (0, 0)) -> None:
        self._applied = msgspec.structs.replace(policy, **self._access)
        for_ms = HOUR_MS if self._healing else self.timeline.between(2_000, 60_000)
        until_ms = min(self.broker.clock_ms + for_ms, TIME_MS_MAX)
        self.say(inputs.PolicyApplied(self._applied, fingerprint(self._applied), *bound, until_ms))

    def copy_policy(self) -> None:
        """A thief who may write to `jobs` writes there again what an operator signed."""
        policies = [r for r in self.broker.topic(JOBS) if r.value and b'"type":"PolicyApplied.v1"' in r.value]
        if policies:
            copied = self.timeline.chance.choice(policies)
            self.broker.produce(JOBS, copied.value, key=copied.key)

    # -- access -----------------------------------------------------------------------------------------------

    def revoke(self) -> None:
        """Revokes a node or a login, and takes that back after a while. On trial, which nobody may."""
        signer = self.timeline.chance.choice((*self._nodes, *LOGINS[1:]))
        self._change_access("revoked", tuple(sorted({*self._access.get("revoked", ()), signer})))

        def take_back() -> None:
            left = tuple(other for other in self._access.get("revoked", ()) if other != signer)
            if not self._healing:
                self._change_access("revoked", left)

        self.timeline.after(self.timeline.between(3_000, 20_000), take_back)

    def change_access(self) -> None:
        field = self.timeline.chance.choice(("trusted_models", "join_tokens", "gang_network"))
        self._change_access(field, not getattr(self._applied, field))

    def _change_access(self, field: str, value: Any) -> None:
        self._access[field] = value
        on_trial = self.timeline.happens(0.2)
        self._apply(self._applied, self.timeline.chance.choice(BOUNDS) if on_trial else (0, 0))

    # -- jobs -------------------------------------------------------------------------------------------------

    def submit(self) -> None:
        chance = self.timeline.chance
        tenant = chance.choice(TENANTS)
        via = chance.choice(("api", "kafka"))
        within_ms = self.timeline.between(2_000, 60_000) if self.timeline.happens(0.1) else 0
        tier, model = chance.choice(tuple(POLICY.tiers)), chance.choice(REFERENCES)
        media = 0
        if self._media and self.timeline.happens(0.5):
            model, media = chance.choice(MEDIA_REFERENCES), self.timeline.between(0, 4)
        asked = submission(len(self.jobs), tenant, tier, model, via, within_ms, self.broker.clock_ms)
        asked = msgspec.structs.replace(asked, media=media)
        if media and self.timeline.happens(0.05):
            self.work.poison.add(asked.job)
        self.jobs.append((asked.job, tenant))
        self._asked.append(asked)
        if via == "api":
            self.api.post(asked)
            return
        copies = 2 if self.timeline.happens(0.2) else 1
        for _ in range(copies):
            self.timeline.after(
                self.timeline.between(0, 200 if copies == 1 else 8_000),
                lambda: self.broker.produce(SUBMISSIONS, msgspec.json.encode(asked)),
            )

    def flood(self) -> None:
        """Somebody sends many files that are no videos, of all tiers and tenants."""
        chance = self.timeline.chance
        for _ in range(FLOOD):
            tier, tenant = chance.choice(tuple(POLICY.tiers)), chance.choice(TENANTS)
            asked = submission(len(self.jobs), tenant, tier, "clip", "api", 0, 0)
            self.jobs.append((asked.job, tenant))
            self.work.junk.add(asked.job)
            asked = msgspec.structs.replace(asked, media=1)
            self.timeline.after(self.timeline.between(0, 4_000), partial(self.api.post, asked))

    def submit_again(self) -> set[str]:
        """Submits ids of long ago again over HTTP, and returns which."""
        again = self.timeline.chance.sample(self._asked, min(SECOND_LIVES, len(self._asked)))
        for asked in again:
            self.api.post(msgspec.structs.replace(asked, via="api", expires_ms=0, expires_in_ms=0))
        return {asked.job for asked in again}

    def submit_old(self) -> None:
        """Writes a record that lay in `submissions` for too long before intake came to read it."""
        asked = submission(len(self.jobs), "acme", "free", "film", "kafka", 0, 0)
        self.jobs.append((asked.job, "acme"))
        age_ms = POLICY.submission_age_max_ms + self.timeline.between(1, 60_000)
        self.broker.append(SUBMISSIONS, msgspec.json.encode(asked), append_ms=self.broker.clock_ms - age_ms)

    def cancel(self) -> None:
        if not self.jobs:
            return
        job, tenant = self.timeline.chance.choice(self.jobs)
        if self.work.hangs and self.timeline.happens(0.5):
            job, tenant = self.timeline.chance.choice(sorted(self.work.hangs)), ""
        asker = self.timeline.chance.choice((tenant, tenant, "", "intruder"))
        self.say(inputs.CancelRequested(job, asker, "key1" if asker else ""))

    def erase(self) -> None:
        """Asks for an erasure. Once the ledger says that the job has ended, it buries the job's copies and reports
        that."""
        if not self.jobs:
            return
        job, tenant = self.timeline.chance.choice(self.jobs)
        self.say(inputs.EraseRequested(job, tenant, "key2" if self.timeline.happens(0.5) else ""))

        def complete() -> bool:
            book = self.auditor.book.jobs.get(job)
            if book is None or book.state not in TERMINAL:
                return book is not None
            offsets = tuple(sorted(book.copies))
            for offset in offsets:
                self.broker.produce(JOBS, None, key=self.broker.topic(JOBS)[offset].key)
            self.say(inputs.ErasureCompleted(job, offsets, self.broker.clock_ms + HOUR_MS))
            self.timeline.after(3_000, lambda: self.broker.compact(JOBS))
            return False

        self.timeline.every(3_000, complete)

    # -- capacity and rollout ---------------------------------------------------------------------------------

    def move_alias(self) -> None:
        """Moves an alias. Sometimes an older move arrives late, which must change nothing."""
        names = ("film 1", "film 2", "clip 1", "clip 2") if self._media else ("film 1", "film 2")
        name = self.timeline.chance.choice(names)
        self._moves += 1
        late = self.timeline.happens(0.2)
        move = max(1, self._moves - 4) if late else self._moves
        self.say(inputs.AliasMoved(name.partition(" ")[0], "live", digest(name), move))

    def change_policy(self) -> None:
        clusters = {
            name: msgspec.structs.replace(
                cluster,
                limit=UNLIMITED if self.timeline.happens(0.1) else self.timeline.between(1, 4),
                staged_per_slot=self.timeline.between(0, 2),
                adaptive=self.timeline.happens(0.4),
            )
            for name, cluster in POLICY.clusters.items()
        }
        if self._media:
            clusters |= self._worker_clusters()
        policy = self._policy if self.timeline.happens(0.5) else self._ordered(self.base)
        if self.timeline.happens(0.7):
            weighted = self.timeline.happens(0.5)
            tiers = {
                name: Tier(tier.slo_ms * self.timeline.between(1, 3), self.timeline.between(1, 4) if weighted else 0)
                for name, tier in POLICY.tiers.items()
            }
            policy = msgspec.structs.replace(policy, tiers=tiers)
        self.apply(msgspec.structs.replace(policy, clusters=clusters))

    def _worker_clusters(self) -> dict[str, Cluster]:
        """Another limit, none, or no such cluster any more; or of another kind, which no pool with workers takes."""
        draw = self.timeline.chance.random()
        if draw < 0.15:
            return {}
        kind = "run" if draw < 0.3 else "prepare"
        limit = UNLIMITED if draw > 0.9 else self.timeline.between(1, 3)
        return {name: Cluster("main", limit, kind=kind) for name in workers.CLUSTERS}

    def _ordered(self, policy: Policy) -> Policy:
        """The policy with another discipline, other shares of tenants and another look-ahead."""
        policy = msgspec.structs.replace(
            policy,
            discipline=self.timeline.chance.choice(DISCIPLINES),
            may_starve=True,
            promise_max=self.timeline.between(1, 4),
            tenant_weights={tenant: self.timeline.between(1, 20) for tenant in TENANTS if self.timeline.happens(0.5)},
            tenant_burst=self.timeline.between(0, 6),
            tenant_burst_penalty=self.timeline.between(0, 3),
            look_ahead_jobs=self.timeline.chance.choice((0, 2, 8)),
        )
        percent = self.timeline.chance.choice((10, 50, 150))
        return msgspec.structs.replace(policy, look_ahead_percent=percent, switch_percent=max(1, 100 // percent))

    def drain(self) -> None:
        cluster = self.timeline.chance.choice(tuple(self.base.clusters))
        deadline_ms = 0
        if self.timeline.happens(0.6):
            deadline_ms = self.broker.clock_ms + self.timeline.between(0, 6_000)
        self.say(inputs.ClusterDrainRequested(cluster, deadline_ms))
        self.timeline.after(self.timeline.between(3_000, 20_000), lambda: self.say(inputs.ClusterActivated(cluster)))

    def hold(self) -> None:
        self._ask_once(inputs.HoldRequested())
        self.timeline.after(self.timeline.between(500, 15_000), lambda: self.say(inputs.ReleaseRequested()))

    def withdraw(self) -> None:
        """Withdraws a version. Sometimes its aliases move away before that, sometimes later, sometimes not at all."""
        name = self.timeline.chance.choice((*WITHDRAWN, "clip 1", "clip 2") if self._media else WITHDRAWN)
        model = name.partition(" ")[0]
        kill = self.timeline.happens(0.5)
        self._ask_once(inputs.WithdrawRequested(model, digest(name), kill))
        if self.timeline.happens(0.6):
            self.timeline.after(self.timeline.between(0, 20_000), self._move_away)

    def _move_away(self) -> None:
        """No alias stays on a withdrawn version."""
        book = self.auditor.book
        for (model, alias), version in sorted(book.aliases.items()):
            if version in book.withdrawn:
                self._moves += 1
                other = model == "clip" and digest("clip 2") not in book.withdrawn and self.timeline.happens(0.7)
                name = "clip 2" if other else f"{model} spare"
                self.say(inputs.AliasMoved(model, alias, digest(name), self._moves))

    def cordon(self) -> None:
        names = workers.NAMES if self._media else ()
        node = self.timeline.chance.choice(("a.1", "a.2", "b.1", "b.2", "nobody", *names))
        self._ask_once(inputs.NodeCordonRequested(node))
        self.timeline.after(self.timeline.between(3_000, 20_000), lambda: self.say(inputs.NodeUncordonRequested(node)))

    def heal(self) -> None:
        """Restores everything as at the beginning, and cancels what would never end by itself. The policy is not on
        trial, and another one than before, which might be: no earlier policy comes back."""
        self._healing = True
        self._access.clear()
        healed = msgspec.structs.replace(self._policy, words_kept_ms=HOUR_MS)
        known = self.auditor.book.policy.get("clusters", {})
        if any(name in known and known[name]["kind"] == "run" for name in workers.CLUSTERS):
            # a cluster of another kind goes first, and comes back when the world is healed once more
            healed = msgspec.structs.replace(healed, clusters=POLICY.clusters)
        self._apply(healed)
        self.say(inputs.ReleaseRequested())
        for cluster in self.base.clusters:
            self.say(inputs.ClusterActivated(cluster))
        self._move_away()
        for node in sorted(self._cordoned_for_long()):
            self.say(inputs.NodeUncordonRequested(node))
        for job in sorted(self.work.hangs | self._endless()):
            self.say(inputs.CancelRequested(job))

    def _cordoned_for_long(self) -> set[str]:
        """Nodes that no job will try: an operator cordoned them, or they rest for longer than the world lasts."""
        book, beyond_ms = self.auditor.book, self.auditor.lease_ms + HOUR_MS
        return {
            node
            for node, reason in book.cordoned.items()
            if reason == "operator" or book.rests_until_ms[node] > beyond_ms
        }

    def _endless(self) -> set[str]:
        """Jobs that rest for longer than the world lasts, fit nowhere, or named an alias that stands on a withdrawn
        version and has made the last move that there is."""
        book = self.auditor.book
        beyond_ms = self.auditor.lease_ms + HOUR_MS
        return {
            job.job
            for job in book.jobs.values()
            if job.state in ("queued", "preparing")
            and (
                job.eligible_lease_ms > beyond_ms
                or book.ranks(job.version) > RANKS_MAX
                or (job.alias == LAST_MOVED and job.version in book.withdrawn)
            )
        }
