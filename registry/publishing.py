"""Publishing: a model directory becomes a version for ever.

First the blobs are stored, named by their content: an interrupted publication leaves only bytes that nobody refers to.
Then one transaction binds the model to its pool, adds the row of the version and moves the alias; triggers write what
the scheduler must be told. The row is the commit point: when several publish one version at once, one adds the row, and
the others are told that the version was there.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, text

from registry import aliases, blobs, models, outbox, owners, wheels
from registry.aliases import AliasMove
from registry.errors import RegistryError
from registry.manifest import MANIFEST_BYTES_MAX, Manifest, VersionFile, blob_key, digest_of, encode_manifest
from registry.model_directory import ModelDirectory, read_model_directory
from registry.models import RegisteredVersion
from runtime.object_store import ObjectStore

UPLOADS_AT_ONCE = 4


class PublishOutcome(msgspec.Struct, frozen=True):
    """What `publish` did."""

    version: RegisteredVersion
    is_new: bool
    """False: this version was published before, and nothing was added."""
    move: AliasMove | None
    """The last move of the alias, when an alias was asked for."""
    bytes_uploaded: int
    wheels_vendored: int
    ignored: tuple[str, ...]
    """Files of the directory that are not part of the version."""


def publish(
    directory: Path,
    *,
    engine: Engine,
    store: ObjectStore,
    who: str,
    why: str = "",
    pool: str = "",
    alias: str = "",
    wheels_from_index: bool = True,
    vendor_wheels: bool = False,
    wheels_folder: Path | None = None,
    on_uploaded: Callable[[VersionFile], None] | None = None,
) -> PublishOutcome:
    """Publishes a model directory, and points `alias` to the version when an alias is given.

    `pool`: where the model runs; may be empty when the model is known or there is only one pool.
    `wheels_from_index`: from the policy. When it is false, or with `vendor_wheels`, the wheels are stored too. They
    come from `wheels_folder`, or else from the package index. `on_uploaded` is called on any thread after each file.
    RegistryError: invalid (the directory), forbidden (another's model), unknown_pool, conflict (another pool),
    environment (wheels)."""
    if not who:
        raise RegistryError("invalid", "expected who publishes, found an empty name")
    before = {path: blobs.signature(path) for path in directory.rglob("*") if path.is_file()}
    model = read_model_directory(directory)
    manifest = model.manifest
    digest = digest_of(manifest)
    raw = encode_manifest(manifest)
    if len(raw) > MANIFEST_BYTES_MAX:
        raise RegistryError(
            "invalid",
            f"expected a version whose manifest has at most {MANIFEST_BYTES_MAX} bytes, found {len(raw)}: it names"
            " every file of code/ and weights/ and holds both schemas; have fewer files",
        )
    with engine.begin() as connection:  # a refusal comes before anything is uploaded
        owners.require(connection, manifest.name)
        pool = _pool_for(connection, manifest.name, pool)
    uploaded = _upload(model, before, store, on_uploaded)
    vendored = 0
    if vendor_wheels or wheels_folder is not None or not wheels_from_index:
        vendored = wheels.vendor(manifest.environment, store, wheels_folder)
    store.put(blob_key(digest), raw, content_type="application/json", if_absent=True)
    with engine.begin() as connection:
        owners.require(connection, manifest.name)
        outbox.hold_model(connection, manifest.name)
        models.bind(connection, manifest.name, pool, who)
        is_new = _insert(connection, manifest, digest, raw, who)
        move = aliases.promote_in(connection, manifest.name, alias, digest, who, why) if alias else None
        version = models.version_in(connection, digest)
    if version is None:
        raise RegistryError("conflict", f"expected version {digest} after publishing it, found none")
    return PublishOutcome(version, is_new, move, uploaded, vendored, model.ignored)


def _pool_for(connection: Connection, model: str, pool: str) -> str:
    bound: str | None = connection.execute(
        text("SELECT pool FROM registry.models WHERE name = :model"), {"model": model}
    ).scalar_one_or_none()
    pools = connection.execute(text("SELECT name FROM registry.pools ORDER BY name")).scalars().all()
    if pool and bound is None and pool not in pools:
        raise models.unknown_pool(pool, pools)
    if pool and bound not in (None, pool):
        raise models.bound_elsewhere(model, str(bound), pool)
    if pool or bound:
        return pool or str(bound)
    if len(pools) == 1:
        return str(pools[0])
    raise RegistryError(
        "unknown_pool",
        f"model {model!r} is new: expected the name of its pool, one of {', '.join(pools) or '(none yet)'}, found none;"
        " name it (it is the model's pool for ever)" + ("" if pools else ", after applying a policy"),
    )


def _upload(
    model: ModelDirectory,
    before: dict[Path, blobs.Signature],
    store: ObjectStore,
    on_uploaded: Callable[[VersionFile], None] | None,
) -> int:
    """Stores the files of the model. Returns how many bytes the store did not have before."""

    def one(source: tuple[VersionFile, Path]) -> int:
        file, path = source
        new = blobs.upload(store, file, path, before[path])
        if on_uploaded is not None:
            on_uploaded(file)
        return file.bytes if new else 0

    distinct = {file.sha256: (file, path) for file, path in model.sources()}
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as threads:
        return sum(threads.map(one, distinct.values()))


def _insert(connection: Connection, manifest: Manifest, digest: str, raw: bytes, who: str) -> bool:
    done = connection.execute(
        text(
            "INSERT INTO registry.versions (digest, model, manifest, published_by)"
            " VALUES (:digest, :model, :manifest, :who) ON CONFLICT (digest) DO NOTHING RETURNING digest"
        ),
        {"digest": digest, "model": manifest.name, "manifest": raw.decode(), "who": who},
    ).scalar_one_or_none()
    return done is not None
