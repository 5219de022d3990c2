"""Where a job's result lies in the object store, and the manifest that lists the result's files by sha256."""

from __future__ import annotations

import msgspec

from contract import names
from contract.names import digest_of


class ResultFile(msgspec.Struct, frozen=True):
    name: str
    sha256: str
    bytes: int
    media_type: str


class ResultManifest(msgspec.Struct, frozen=True, omit_defaults=True, tag="ResultManifest.v1"):
    """The object `results/<job>/<dispatch>/manifest.json`. The node reports its digest, and the ledger records the
    digest."""

    job: str
    dispatch: str
    version: str
    values: msgspec.Raw
    """The JSON that the model's `predict` returned."""
    files: tuple[ResultFile, ...]
    salt: str = ""
    """32 random hex digits, so that nobody can guess the values from the manifest's digest in the ledger. An erasure
    removes them with the manifest. Empty: written by v0.1.0."""


RESULT_MANIFEST_BYTES_MAX = 8 * 1024 * 1024
"""Of a manifest: values of 4 MiB, and 100 files. A node stores no larger one, and nobody reads one."""
TEXT_BYTES_MAX = 512 * 1024
"""Of what an attempt said, as ERROR_NAME or LOG_NAME: nodes cut it at 128 Ki characters."""

EMPTY_MANIFEST = digest_of(b"")
"""The digest that a node reports for a job without outputs. The node writes no object for such a job."""

MANIFEST_NAME = "manifest.json"
INPUTS_NAME = "inputs.json"
"""The inputs that the attempt used. They lie beside the outputs, so an erasure removes both."""
ERROR_NAME = "error.txt"
"""The whole error of a failed attempt, with its traceback. Events and logs never hold these words: they may quote the
user."""

LOG_NAME = "_log.txt"
"""The last of what the model printed during the attempt, whether it succeeded or failed. It may quote the user too. No
output of a model can have this name: outputs begin with a letter or a digit."""

RESERVED_NAMES = (MANIFEST_NAME, INPUTS_NAME, ERROR_NAME)
"""Names of an attempt's objects that no output of a model may have."""


def is_output_name(name: str) -> bool:
    """Whether an output of a model may have this name. Nodes ask before they store a file, and whoever reads a manifest
    asks again: a node is not believed."""
    return names.OUTPUT.fullmatch(name) is not None and name not in RESERVED_NAMES


def result_prefix(job: str) -> str:
    return f"results/{job}/"


def attempt_prefix(job: str, dispatch: str) -> str:
    return f"{result_prefix(job)}{dispatch}/"
