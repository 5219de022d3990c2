"""Doors of the object store's answers about media: manifests of prepared inputs, and records of complete uploads."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from random import Random

import msgspec

from contract.codec import Malformed, decode_prepared, decode_upload_ready, encode
from contract.media import FORMS, KINDS
from contract.prepared import PreparedManifest, UploadReady, prepared_name
from cpu_worker.io.decoder_jobs import FileDecoded, FileNotDecoded, FileRefused
from cpu_worker.io.file_decoders import answer_of
from gpu_worker.io.prepared_inputs import InputsLost, with_paths
from tests.fuzz.door import Door
from tests.fuzz.mutations import mostly_good
from tests.fuzz.records import record


def prepared(chance: Random) -> bytes:
    made = record(chance, PreparedManifest)
    files = []
    for place, file in enumerate(made.files):
        kind, form = chance.choice(KINDS), chance.choice(FORMS)
        files.append(msgspec.structs.replace(file, kind=kind, form=form, name=prepared_name(place, kind, form)))
    return mostly_good(chance, encode(msgspec.structs.replace(made, files=tuple(files))))


def feed_prepared(raw: bytes) -> bool:
    manifest = decode_prepared(raw)
    assert decode_prepared(encode(manifest)) == manifest
    assert all("/" not in file.name for file in manifest.files)
    with suppress(InputsLost):
        named = msgspec.json.encode({file.field: "upload:u" for file in manifest.files})
        given = msgspec.json.decode(with_paths(msgspec.Raw(named), manifest.files, "/media"))
        assert {posixpath.dirname(path) for path in given.values()} <= {"/media"}
    return True


def feed_upload_ready(raw: bytes) -> bool:
    ready = decode_upload_ready(raw)
    assert decode_upload_ready(encode(ready)) == ready
    return True


def decoded_answer(chance: Random) -> bytes:
    return mostly_good(chance, encode(record(chance, chance.choice((FileDecoded, FileRefused, FileNotDecoded)))))


def feed_decoded_answer(raw: bytes) -> bool:
    answer = answer_of(raw)
    assert answer is None or answer_of(encode(answer)) == answer
    return answer is not None


DOORS = (
    Door(
        "a decoding process, by its CPU worker",
        decoded_answer,
        feed_decoded_answer,
        ("cpu_worker.io.file_decoders.answer_of",),
    ),
    Door(
        "a manifest of prepared inputs",
        prepared,
        feed_prepared,
        ("contract.codec.decode_prepared", "gpu_worker.io.prepared_inputs.with_paths"),
        (Malformed,),
    ),
    Door(
        "the record of a complete upload",
        lambda chance: mostly_good(chance, encode(record(chance, UploadReady))),
        feed_upload_ready,
        ("contract.codec.decode_upload_ready",),
        (Malformed,),
    ),
)
