"""Whether the object store does its work, and what of S3 it can do: asked at the start, by readiness and by `doctor`.

A store that answers may still refuse what we need: it may be read-only, or know no conditional writes. So each question
here is a request like those of the product, on objects under `probes/`.
"""

from __future__ import annotations

import uuid
from typing import NamedTuple

from runtime.object_store import Missing, ObjectStore, StoreAway, StoreFault, StoreRefuses
from runtime.settings import Settings

ANSWER_S = 3.0
"""How long a store may take for one step of a question whose answer is wanted now."""
WORD = b"probe"


class StoreUnfit(Exception):
    """The store cannot do what the product needs. The message says expected, found, and what to do."""

    def __init__(self, expected: str, found: str, todo: str) -> None:
        super().__init__(f"expected {expected}, found {found}. {todo}")
        self.expected = expected
        self.found = found
        self.todo = todo


class StoreSupport(NamedTuple):
    """One thing that a store can do or cannot."""

    what: str
    good: bool
    found: str
    todo: str = ""


def store_of_moment(settings: Settings) -> ObjectStore:
    """The store, for a question whose answer is wanted now: one try, and ANSWER_S for each step of it."""
    return ObjectStore(settings, read_timeout_s=ANSWER_S, tries=1)


def ask(store: ObjectStore, who: str) -> None:
    """Write an object and read it back. StoreFault says what the store did not do. `who` asks at most once at a
    time."""
    key = f"probes/health/{who}"
    store.put(key, WORD)
    try:
        found = store.get(key, len(WORD))
    except Missing:
        raise StoreAway("the object store does not show an object that it has just taken") from None
    if found != WORD:
        raise StoreAway("the object store returned other bytes than those it was given")


def require_conditional_writes(store: ObjectStore) -> None:
    """StoreUnfit unless the first writer of a key wins: two publishers of one version could else overwrite each
    other."""
    key = f"probes/conditional/{uuid.uuid4().hex}"
    try:
        first, second = store.put(key, b"first", if_absent=True), store.put(key, b"second", if_absent=True)
    except StoreRefuses as refused:
        raise _unfit(f"one that refuses them ({refused.status} {refused.code})") from None
    finally:
        _remove(store, key)
    if not first or second:
        raise _unfit("one that takes them and overwrites the object all the same")


def what_it_supports(settings: Settings) -> list[StoreSupport]:
    """What the store of the installation can do, by trying; settings that would help are named."""
    try:
        store = store_of_moment(settings)
        if not store.bucket_exists():
            return [StoreSupport("object store", False, f"no bucket {store.bucket}", "make it, or run `headrace up`")]
        checksums = _checksums(settings, store)
        if not checksums.good:
            return [checksums]
        return [checksums, _conditional_writes(store), _batch_deletes(store)]
    except StoreFault as fault:
        return [StoreSupport("object store", False, str(fault), "see HEADRACE_S3_ENDPOINT and `headrace status`")]


def _checksums(settings: Settings, store: ObjectStore) -> StoreSupport:
    what = "object store: writes and reads"
    try:
        ask(store, "doctor")
    except StoreRefuses as refused:
        if settings.s3_checksums == "when_required":
            raise
        try:
            ask(store_of_moment(settings.model_copy(update={"s3_checksums": "when_required"})), "doctor")
        except StoreFault:
            raise refused from None
        found = f"refuses checksum headers ({refused.status} {refused.code})"
        return StoreSupport(what, False, found, "set HEADRACE_S3_CHECKSUMS=when_required for every process")
    return StoreSupport(what, True, f"both, HEADRACE_S3_CHECKSUMS={settings.s3_checksums}")


def _conditional_writes(store: ObjectStore) -> StoreSupport:
    what = "object store: conditional writes"
    try:
        require_conditional_writes(store)
    except StoreUnfit as unfit:
        return StoreSupport(what, False, unfit.found, unfit.todo)
    return StoreSupport(what, True, "the first writer of a key wins")


def _batch_deletes(store: ObjectStore) -> StoreSupport:
    what = "object store: deletes"
    keys = [f"probes/deletes/{uuid.uuid4().hex}" for _ in range(2)]
    for key in keys:
        store.put(key, WORD)
    store.delete_prefix("probes/deletes/")
    if store.deletes_batches:
        return StoreSupport(what, True, "many by one request")
    return StoreSupport(
        what, True, "one by one, which is slower; HEADRACE_S3_BATCH_DELETES=false saves each process one question"
    )


def _unfit(found: str) -> StoreUnfit:
    return StoreUnfit(
        "an object store with conditional writes (PutObject with If-None-Match: *)",
        found,
        "Point HEADRACE_S3_ENDPOINT at a store that has them, or update this one: without them two publishers could"
        " overwrite each other's version",
    )


def _remove(store: ObjectStore, key: str) -> None:
    try:
        store.delete_prefix(key)
    except StoreFault:
        return  # a few bytes stay under probes/
