"""What a worker asks of a process that decodes, and what that process answers: one line of JSON each way."""

from __future__ import annotations

import msgspec

from contract.media import MediaRule
from contract.prepared import MediaFacts
from runtime.media.confined_program import MediaDecoder

LINE_BYTES_MAX = 64 * 1024


class DecodeFile(msgspec.Struct, frozen=True):
    """As the arguments of runtime.media.preparation.prepare_file."""

    source: str
    kind: str
    rule: MediaRule
    target: str
    scratch: str
    decoder: MediaDecoder
    source_sha256: str


class FileDecoded(msgspec.Struct, frozen=True, tag=True):
    facts: MediaFacts


class FileRefused(msgspec.Struct, frozen=True, tag=True):
    kind: str
    """As runtime.media.refused says it."""
    sentence: str


class FileNotDecoded(msgspec.Struct, frozen=True, tag=True):
    """The file is not at fault."""

    errno: int
    """Of the OSError; 0: it had none."""
    name: str
    """Its class."""


DecodeAnswer = FileDecoded | FileRefused | FileNotDecoded
