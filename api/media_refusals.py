"""Why a job's media were refused, in a sentence: the CPU worker's own, else one for the kind of refusal.

What the worker says may quote a name that the user chose, so it lies in the object store beside the media, never in the
ledger or the views (docs/decisions/0002), and goes with an erasure. It is for the owner of the job only.
"""

from __future__ import annotations

import structlog

from api.resources import Resources
from contract.bounds import visible
from contract.lifecycle import JobState
from contract.preparation_reports import MEDIA_REFUSALS
from contract.prepared import REFUSAL_NAME, preparation_prefix
from runtime.object_store import UNAVAILABLE, Missing, OtherSize
from views.rows import JobRow
from views.words import MEDIA_REFUSED

log = structlog.get_logger(__name__)

REFUSAL_BYTES_MAX = 16 * 1024


async def refusal_of(resources: Resources, row: JobRow) -> str:
    """The sentence; empty when the job's media were not refused. While the store is away, and when the job was erased,
    the sentence for the kind."""
    if row.state != JobState.REFUSED or row.reason not in MEDIA_REFUSALS:
        return ""
    said = ""
    if row.preparation and not row.erasure:
        key = preparation_prefix(row.job, row.preparation) + REFUSAL_NAME
        try:
            data = await resources.in_store(resources.store.get, key, REFUSAL_BYTES_MAX)
            said = visible(data.decode(errors="replace").strip())
        except (Missing, OtherSize, *UNAVAILABLE) as error:
            log.warning("the sentence of a refusal", job=row.job, error=type(error).__name__)
    return said or MEDIA_REFUSED[row.reason]
