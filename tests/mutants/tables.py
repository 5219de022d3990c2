"""All mutants of the shell, by room."""

from __future__ import annotations

from tests.mutants import (
    access,
    api,
    authors,
    bucket,
    children,
    clients,
    doors,
    erasures,
    hosting,
    keys,
    layers,
    ledger,
    machine,
    node_machine,
    node_rules,
    principals,
    retention,
    security,
    shares,
    storing,
    views,
    withdrawals,
)
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *hosting.MUTANTS,
    *ledger.MUTANTS,
    *doors.MUTANTS,
    *views.MUTANTS,
    *retention.MUTANTS,
    *withdrawals.MUTANTS,
    *node_rules.MUTANTS,
    *children.MUTANTS,
    *storing.MUTANTS,
    *node_machine.MUTANTS,
    *clients.MUTANTS,
    *api.MUTANTS,
    *machine.MUTANTS,
    *security.MUTANTS,
    *keys.MUTANTS,
    *shares.MUTANTS,
    *bucket.MUTANTS,
    *erasures.MUTANTS,
    *layers.MUTANTS,
    *access.MUTANTS,
    *principals.MUTANTS,
    *authors.MUTANTS,
)
