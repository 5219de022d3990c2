"""Reading the read models. Each query that a tenant can cause takes the tenant and filters by it (invariant I13)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, text

from contract.policy import CLUSTER_KINDS, UNLIMITED, Policy
from views import rows
from views.columns import is_key_text, nearest_number
from views.fold import COUNTER_PASSED_OVER

PAGE_MAX = 200
SCANNED_MAX = 20_000
"""Jobs of a tenant that one page with filters looks at: as many as Postgres reads in some tenths of a second, when each
is on a page of its own that is in no cache."""
EVENTS_AT_ONCE_MAX = 5_000
"""Of all watched jobs together."""


def _names(row: type[msgspec.Struct], table: str) -> str:
    return ", ".join(f'{table}."{field.name}"' for field in msgspec.structs.fields(row))


_JOB = f"SELECT {_names(rows.JobRow, 'jobs')} FROM views.jobs WHERE tenant = :tenant"
_NEWEST_FIRST = "ORDER BY submitted_ms DESC, job DESC"
_OWNED = "EXISTS (SELECT FROM views.jobs j WHERE j.job = t.job AND j.tenant = :tenant)"


class CursorInvalid(ValueError):
    """A cursor that no page ever had."""


class JobPage(NamedTuple):
    jobs: list[rows.JobRow]
    cursor: str
    """For the next page; empty when this is the last."""


def job(connection: Connection, tenant: str, job: str) -> rows.JobRow | None:
    """The job of the tenant; None when there is no such job, or it belongs to another tenant."""
    row = connection.execute(text(f"{_JOB} AND job = :job"), {"tenant": tenant, "job": job}).one_or_none()
    return None if row is None else rows.JobRow(*row)


def any_job(connection: Connection, job: str) -> rows.JobRow | None:
    """The job, of whatever tenant. For operators."""
    query = text(f"SELECT {_names(rows.JobRow, 'jobs')} FROM views.jobs WHERE job = :job")
    row = connection.execute(query, {"job": job}).one_or_none()
    return None if row is None else rows.JobRow(*row)


def jobs(
    connection: Connection,
    tenant: str,
    *,
    state: str = "",
    tier: str = "",
    model: str = "",
    limit: int = 50,
    cursor: str = "",
) -> JobPage:
    """The tenant's jobs, newest first, at most PAGE_MAX a page. With filters a page looks at SCANNED_MAX jobs at most:
    it may have few jobs, or none, and a cursor all the same. CursorInvalid."""
    wanted = {"state": state, "tier": tier, "model": model}
    filters = " AND ".join(f"{column} = :{column}" for column, value in wanted.items() if value)
    values: dict[str, str | int] = {
        "tenant": tenant,
        "limit": max(1, min(limit, PAGE_MAX)),
        "scanned": SCANNED_MAX,
        **wanted,
    }
    history = "views.jobs WHERE tenant = :tenant"
    if cursor:
        values["before_ms"], values["before"] = _decode_cursor(cursor)
        history += " AND (submitted_ms, job) < (:before_ms, :before)"
    source = f"(SELECT * FROM {history} {_NEWEST_FIRST} LIMIT :scanned) jobs WHERE {filters}" if filters else history
    query = text(f"SELECT {_names(rows.JobRow, 'jobs')} FROM {source} {_NEWEST_FIRST} LIMIT :limit")
    found = [rows.JobRow(*row) for row in connection.execute(query, values)]
    if len(found) == values["limit"]:
        return JobPage(found, _encode_cursor(found[-1].submitted_ms, found[-1].job))
    last = None
    if filters:
        place = text(f"SELECT submitted_ms, job FROM {history} {_NEWEST_FIRST} OFFSET :scanned - 1 LIMIT 1")
        last = connection.execute(place, values).one_or_none()
    if last is None:
        return JobPage(found, "")
    # jobs that came since the first query move the place: what lies beyond it is on the next page
    last_ms, last_job = last
    return JobPage([row for row in found if row.submitted_ms >= last_ms], _encode_cursor(last_ms, last_job))


def attempts(connection: Connection, tenant: str, job: str) -> list[rows.AttemptRow]:
    """The attempts of the tenant's job, oldest first."""
    query = (
        f"SELECT {_names(rows.AttemptRow, 't')} FROM views.attempts t WHERE job = :job AND {_OWNED} ORDER BY attempt"
    )
    return [rows.AttemptRow(*row) for row in connection.execute(text(query), {"tenant": tenant, "job": job})]


_EVENTS = f"SELECT {_names(rows.JobEventRow, 't')} FROM views.job_events t"


def job_events(
    connection: Connection, tenant: str, job: str, *, after: tuple[int, int] = (-1, -1), limit: int = 1000
) -> list[rows.JobEventRow]:
    """The events of the tenant's job that come after (seq, index), in order."""
    query = text(
        f"{_EVENTS} WHERE job = :job AND (seq, index) > (:seq, :index) AND {_OWNED} ORDER BY seq, index LIMIT :limit"
    )
    values = {"tenant": tenant, "job": job, "seq": after[0], "index": after[1], "limit": limit}
    return [rows.JobEventRow(*row) for row in connection.execute(query, values)]


def new_job_events(connection: Connection, after: Mapping[tuple[str, str], tuple[int, int]]) -> list[rows.JobEventRow]:
    """New events of many jobs at once, EVENTS_AT_ONCE_MAX at most. `after`: by (tenant, job), the (seq, index) up to
    which its reader has seen."""
    query = text(
        f"{_EVENTS} JOIN unnest(CAST(:tenants AS text[]), CAST(:jobs AS text[]), CAST(:seqs AS bigint[]),"
        " CAST(:indexes AS integer[])) AS w(tenant, job, seq, index) ON t.job = w.job"
        " JOIN views.jobs j ON j.job = w.job AND j.tenant = w.tenant"
        " WHERE (t.seq, t.index) > (w.seq, w.index) ORDER BY t.job, t.seq, t.index LIMIT :limit"
    )
    values = {
        "limit": EVENTS_AT_ONCE_MAX,
        "tenants": [tenant for tenant, _ in after],
        "jobs": [name for _, name in after],
        "seqs": [seq for seq, _ in after.values()],
        "indexes": [index for _, index in after.values()],
    }
    return [rows.JobEventRow(*row) for row in connection.execute(query, values)]


class JobCount(msgspec.Struct):
    tier: str
    state: str
    jobs: int


def job_counts(connection: Connection, tenant: str) -> list[JobCount]:
    """How many jobs of the tenant are in each tier and state, of the jobs that the ledger has named."""
    return _counts(connection, "AND tenant = :tenant", tenant)


def all_job_counts(connection: Connection) -> list[JobCount]:
    """The same over all tenants. For operators."""
    return _counts(connection, "", "")


def _counts(connection: Connection, where: str, tenant: str) -> list[JobCount]:
    query = text(
        f"SELECT tier, state, sum(jobs)::bigint FROM views.job_counts WHERE jobs <> 0 {where}"
        " GROUP BY tier, state ORDER BY tier, state"
    )
    return [JobCount(*row) for row in connection.execute(query, {"tenant": tenant} if where else {})]


def erased_jobs(connection: Connection, jobs: Sequence[str]) -> frozenset[str]:
    """Those of these jobs whose words were erased, or are being erased, as far as the views know."""
    query = text("SELECT job FROM views.jobs WHERE job = ANY(:jobs) AND erasure <> ''")
    return frozenset(connection.execute(query, {"jobs": list(jobs)}).scalars())


def job_copies(connection: Connection, job: str) -> list[rows.JobCopyRow]:
    """Where the copies of the words of a job lie in `jobs`. For operators: an erasure writes tombstones for them."""
    query = text(f"SELECT {_names(rows.JobCopyRow, 't')} FROM views.job_copies t WHERE job = :job ORDER BY t.offset")
    return [rows.JobCopyRow(*row) for row in connection.execute(query, {"job": job})]


class ClusterView(msgspec.Struct):
    pool: str
    cluster: str
    state: str
    limit: int | None
    """The limit in force; None: unlimited."""
    adaptive: bool
    """The limit follows the recorded times of fetching and running, up to the limit of the policy."""
    deadline_ms: int | None
    staged: int
    """Attempts that are dispatched and not started; of kind `prepare`, open preparations. The limit applies to
    these."""
    running: int
    nodes: int
    """How many nodes can be given work."""
    slots: int
    actor: str
    """The operator who had it drain, or brought it back; empty: none did."""
    kind: str = CLUSTER_KINDS[0]
    """What its nodes do: run (attempts), or prepare (media: its nodes are CPU workers)."""


def clusters(connection: Connection) -> list[ClusterView]:
    """Every cluster of every pool. For operators."""
    query = text(
        'SELECT c.pool, c.cluster, c.state, nullif(c."limit", :unlimited),'
        " coalesce((p.document -> 'clusters' -> c.cluster ->> 'adaptive')::boolean, false),"
        " c.deadline_ms, c.staged, c.running, count(n.node)::bigint, coalesce(sum(n.slots), 0)::bigint, c.actor, c.kind"
        " FROM views.clusters c LEFT JOIN views.policies p ON p.pool = c.pool LEFT JOIN views.nodes n"
        " ON n.pool = c.pool AND n.cluster = c.cluster AND n.state = 'ready'"
        " GROUP BY c.pool, c.cluster, p.pool ORDER BY c.pool, c.cluster"
    )
    return [ClusterView(*row) for row in connection.execute(query, {"unlimited": UNLIMITED})]


class NodeView(msgspec.Struct):
    pool: str
    node: str
    cluster: str
    state: str
    session: str
    chipset: str
    slots: int
    gpus: int
    memory_mib: int
    loaded: list[str]
    cached: list[str]
    joined_ms: int
    heard_ms: int
    staged: int
    running: int
    usable: int
    """Slots that can run an attempt."""
    holding: str
    """Why the node takes nothing new for now: store, disk, bytes or payloads; empty: it takes work."""
    cordoned: str
    """Why the node is cordoned: failures (jobs failed there that succeeded elsewhere) or operator; empty: it is not."""
    cordoned_by: str
    """The operator who did it; empty: none did."""
    kind: str = CLUSTER_KINDS[0]
    """run, or prepare: a CPU worker."""


def nodes(connection: Connection) -> list[NodeView]:
    """Every node that ever joined, as it was when it was last heard. For operators."""
    query = text(f"SELECT {_names(NodeView, 't')} FROM views.nodes t ORDER BY pool, cluster, node")
    return [NodeView(*row) for row in connection.execute(query)]


class PolicyView(msgspec.Struct):
    pool: str
    fingerprint: str
    adopted_ms: int
    policy: Policy
    actor: str = ""
    """The operator who applied it; empty: it came back by itself, or nobody signed."""


def knows_job(connection: Connection, job: str) -> bool:
    """Whether the job exists, whosever it is."""
    found = connection.execute(text("SELECT 1 FROM views.jobs WHERE job = :job"), {"job": job})
    return found.scalar_one_or_none() is not None


def publishing_rules(connection: Connection) -> dict[str, bool]:
    """By pool in which a policy is in force: whether nodes may take wheels from a package index. An author, who may
    not read policies, may know that much."""
    return {row.pool: row.wheels_from_index for row in connection.execute(text("SELECT * FROM views.publishing_rules"))}


def policies(connection: Connection) -> list[PolicyView]:
    """The policy in force in each pool."""
    query = text("SELECT pool, fingerprint, adopted_ms, document, actor FROM views.policies ORDER BY pool")
    return [
        PolicyView(row.pool, row.fingerprint, row.adopted_ms, msgspec.convert(row.document, Policy), row.actor)
        for row in connection.execute(query)
    ]


class PoolView(msgspec.Struct):
    """How far the views of a pool are, and which scheduler's decisions they show."""

    pool: str
    offset: int
    hash: str
    seq: int
    epoch: int
    at_ms: int
    release: str
    rules: int
    unreadable: int
    """Jobs that the views cannot show as the ledger has them: their state is `unreadable`."""
    held: bool
    """The pool accepts jobs and starts none."""
    signed_from: int
    """From this offset of `jobs` on the pool takes signed records only; -1: it takes all."""
    passed_over: int
    """Events that the views do not show: events of such jobs, and events that no column holds."""
    held_by: str = ""
    """The operator who put it on hold; empty: it is on none, or nobody signed."""


def pools(connection: Connection) -> list[PoolView]:
    """Every pool that the views know. For operators."""
    query = text(
        'SELECT p.pool, p."offset", p.hash, p.seq, p.epoch, p.at_ms, p.release, p.rules,'
        " (SELECT coalesce(sum(c.jobs), 0)::bigint FROM views.job_counts c"
        " WHERE c.pool = p.pool AND c.state = :unreadable), p.held, p.signed_from,"
        " coalesce((SELECT n.value FROM views.counters n WHERE n.pool = p.pool AND n.name = :passed_over), 0),"
        " p.held_by"
        " FROM views.ledger_positions p ORDER BY p.pool"
    )
    values = {"unreadable": rows.UNREADABLE, "passed_over": COUNTER_PASSED_OVER}
    return [PoolView(*row) for row in connection.execute(query, values)]


def state_once_read(connection: Connection, pool: str, job: str, offset: int) -> str | None:
    """The state of the job whose submission lies at this offset of `jobs`. None: the pool's scheduler, or the views,
    have not come so far. `submitted`: they have, and the record became no job."""
    query = text(
        "SELECT j.state FROM views.ledger_positions p JOIN views.jobs j ON j.job = :job"
        " WHERE p.pool = :pool AND p.position > :offset"
    )
    state: str | None = connection.execute(query, {"pool": pool, "job": job, "offset": offset}).scalar_one_or_none()
    return state


def pools_that_want_signatures(connection: Connection) -> frozenset[str]:
    """Pools that take no record which nobody signed."""
    return frozenset(
        connection.execute(text("SELECT pool FROM views.ledger_positions WHERE signed_from >= 0")).scalars()
    )


def _encode_cursor(submitted_ms: int, job: str) -> str:
    return base64.urlsafe_b64encode(f"{submitted_ms}.{job}".encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> tuple[int, str]:
    try:
        said = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        said = ""
    match = re.fullmatch(r"(-?\d{1,19})\.(.+)", said, re.DOTALL)
    if match is None or nearest_number(int(match[1])) != int(match[1]) or not is_key_text(match[2]):
        raise CursorInvalid("expected the `cursor` of an earlier page; leave it out to begin with the newest job")
    return int(match[1]), match[2]
