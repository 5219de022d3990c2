"""The media that a submission over HTTP names: registry.media_names, which both doors ask, in the words of HTTP."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from api.catalog import media_problem
from api.problems import RETRY_AFTER_S, Problem
from api.resources import Resources
from contract.media import OutputSource
from registry import media_names
from registry.media_names import MediaNameRefused, NamedMedium
from runtime.object_store import UNAVAILABLE
from views import queries

log = structlog.get_logger(__name__)


async def found_media(resources: Resources, tenant: str, named: Sequence[NamedMedium]) -> tuple[OutputSource, ...]:
    """Where the outputs of other jobs lie that are named. Problem 422 for what the tenant does not have, 503 when
    nobody can tell."""
    if not named:
        return ()
    try:
        jobs = await resources.write(media_names.look_up, tenant, named, resources.settings.upload_kept_s, queries.job)
        if not jobs:
            return ()
        return await resources.in_store(media_names.outputs_of, resources.store, named, jobs)
    except MediaNameRefused as refused:
        raise media_problem(refused) from None
    except UNAVAILABLE as error:
        log.warning("object store", found=str(error))
        raise Problem(
            503,
            "store-unavailable",
            "the object store did not answer. Nothing was submitted: try again",
            retry_after_s=RETRY_AFTER_S,
        ) from None
