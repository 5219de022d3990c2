"""The table of doors: every place where bytes or objects from outside come in, and what is offered there."""

from __future__ import annotations

from tests.fuzz import files, store, topics
from tests.fuzz.door import Door

DOORS: tuple[Door, ...] = (*topics.DOORS, *files.DOORS, *store.DOORS)
