"""Where a job's result lies in the object store, and the manifest that names its bytes."""

from __future__ import annotations

import hashlib

import msgspec


class ResultFile(msgspec.Struct, frozen=True):
    name: str
    sha256: str
    bytes: int
    media_type: str


class ResultManifest(msgspec.Struct, frozen=True, tag="ResultManifest.v1"):
    """`results/<job>/<dispatch>/manifest.json`. Its digest is what the node reports and the ledger accepts."""

    job: str
    dispatch: str
    version: str
    values: msgspec.Raw
    """What `predict` returned, JSON."""
    files: tuple[ResultFile, ...]


EMPTY_MANIFEST = "sha256:" + hashlib.sha256(b"").hexdigest()
"""Reported by a job without outputs: no object is written for it."""


def result_prefix(job: str) -> str:
    return f"results/{job}/"


def attempt_prefix(job: str, dispatch: str) -> str:
    return f"results/{job}/{dispatch}/"


MANIFEST_NAME = "manifest.json"
INPUTS_NAME = "inputs.json"
"""The inputs the attempt used, beside its outputs: erased with them."""
ERROR_NAME = "error.txt"
"""The whole error of a failed attempt, traceback included: never in events or logs."""
