"""Audiences: who may see a model and run it, by tenant or tier. Operators say so; nothing said means everybody.

What is said of a tenant counts before what is said of a tier, and that before what is said of all. Of the same tenant,
tier or all, the newest word counts. Every change is a row of a history that only grows.

To whoever may not see a model it is the same as a model that is not there (api.catalog, streams.door.admission).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Literal

import msgspec
from sqlalchemy import Connection, Engine, text

from contract.names import is_name
from registry import models, outbox
from registry.answers import Answers
from registry.errors import RegistryError

Kind = Literal["tenant", "tier", "all"]

RULES_MAX = 1_000
"""Tenants and tiers of which something is said for one model. Doors keep all of them in memory."""
KEPT_RULES_MAX = 100_000
"""Of all models together, in one door."""


class Viewer(msgspec.Struct, frozen=True):
    """Who asks for a model."""

    tenant: str
    tiers: tuple[str, ...]
    """Of the job, or of the key: one tier that may see the model is enough."""
    sees_all: bool = False
    """An operator."""


class AudienceRule(msgspec.Struct, frozen=True):
    kind: Kind
    name: str
    """Of the tenant or tier; empty for all."""
    allowed: bool


class Audience(msgspec.Struct, frozen=True):
    """Who sees a model: at most one rule for each tenant, for each tier, and for all."""

    rules: tuple[AudienceRule, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whoever nothing is said of may see it."""
        return AudienceRule("all", "", False) not in self.rules

    def sees(self, viewer: Viewer) -> bool:
        if viewer.sees_all:
            return True
        said = {(rule.kind, rule.name): rule.allowed for rule in self.rules}
        everybody = said.get(("all", ""), True)
        of_tenant = said.get(("tenant", viewer.tenant))
        if of_tenant is not None:
            return of_tenant
        return any(said.get(("tier", tier), everybody) for tier in viewer.tiers) if viewer.tiers else everybody


EVERYBODY = Audience()


class AudienceChange(msgspec.Struct, frozen=True):
    """One row of a model's history."""

    model: str
    change: int
    kind: Kind
    name: str
    allowed: bool
    who: str
    why: str
    changed_ms: int
    """By the database's clock."""


_RULES = """
SELECT DISTINCT ON (model, kind, name) model, kind, name, allowed FROM registry.audience_changes
WHERE CAST(:model AS text) IS NULL OR model = :model ORDER BY model, kind, name, change DESC
"""


def of(engine: Engine, model: str) -> Audience:
    """Who sees the model; everybody, when nothing was said or nobody registered it."""
    with engine.connect() as connection:
        return _rules(connection, model).get(model, EVERYBODY)


def restricted(engine: Engine) -> dict[str, Audience]:
    """By model, for those of which something was said."""
    with engine.connect() as connection:
        return _rules(connection, None)


def _rules(connection: Connection, model: str | None) -> dict[str, Audience]:
    found: dict[str, list[AudienceRule]] = {}
    for row in connection.execute(text(_RULES), {"model": model}):
        found.setdefault(row.model, []).append(AudienceRule(row.kind, row.name, row.allowed))
    return {name: Audience(tuple(rules)) for name, rules in found.items()}


def seen_of(engine: Engine, viewer: Viewer, names: Iterable[str]) -> list[str]:
    """Those of these models that the viewer may see."""
    said = restricted(engine)
    return [name for name in names if said.get(name, EVERYBODY).sees(viewer)]


_CHANGE = """
INSERT INTO registry.audience_changes (model, change, kind, name, allowed, changed_by, why)
SELECT :model, coalesce(max(change), 0) + 1, :kind, :name, :allowed, :who, :why
FROM registry.audience_changes WHERE model = :model
"""


def change(
    engine: Engine, model: str, kind: Kind, name: str, *, allowed: bool, who: str, why: str
) -> AudienceChange | None:
    """Says that the tenant, the tier or all (`name` empty) may see the model or may not; None when that was said last.

    RegistryError: unknown_model, invalid, conflict when too much is said of the model."""
    if kind != "all" and not is_name(name):
        raise RegistryError(
            "invalid",
            f"expected a {kind} name of lower case letters, digits, '.', '_', '-', at most 63, found {name[:80]!r}",
        )
    models.show(engine, model)
    with engine.begin() as connection:
        outbox.hold_model(connection, model)
        rules = _rules(connection, model).get(model, EVERYBODY).rules
        if AudienceRule(kind, name, allowed) in rules:
            return None
        if len(rules) >= RULES_MAX and not any((rule.kind, rule.name) == (kind, name) for rule in rules):
            raise RegistryError(
                "conflict",
                f"expected at most {RULES_MAX} tenants and tiers of which something is said for model {model!r}, found"
                " as many: say it of a tier, or of all",
            )
        values = {"model": model, "kind": kind, "name": name, "allowed": allowed, "who": who, "why": why}
        connection.execute(text(_CHANGE), values)
        return history(connection, model)[-1]


def may_read(connection: Connection) -> bool:
    """Whether this login may know who sees which model. An author's may not: the rules name tenants."""
    may: bool = connection.execute(
        text("SELECT has_table_privilege('registry.audience_changes', 'SELECT')")
    ).scalar_one()
    return may


_HISTORY = """
SELECT model, change, kind, name, allowed, changed_by AS who, why,
       (extract(epoch FROM changed_at) * 1000)::bigint AS changed_ms
FROM registry.audience_changes WHERE model = :model ORDER BY change
"""


def history(connection: Connection, model: str) -> tuple[AudienceChange, ...]:
    """Every change of who sees the model, oldest first."""
    return tuple(AudienceChange(**row) for row in connection.execute(text(_HISTORY), {"model": model}).mappings())


class Audiences:
    """Who sees which model, for a door that asks often. An answer is kept for `ttl_s` seconds, so a change that another
    process makes counts here after that time. Threads may share this."""

    def __init__(self, engine: Engine, ttl_s: float, kept_rules_max: int = KEPT_RULES_MAX) -> None:
        self._engine = engine
        self._kept: Answers[str, Audience] = Answers(kept_rules_max, ttl_s, size_of=_size_of)

    def of(self, model: str) -> Audience:
        """Ask for models that somebody registered only: every name takes room."""
        return self._kept.get(model, partial(of, self._engine, model))

    def kept(self, model: str) -> Audience | None:
        """The audience, if the answer is kept. Asks nobody, so an event loop may call it."""
        return self._kept.kept(model)


def _size_of(audience: Audience) -> int:
    return 1 + len(audience.rules)
