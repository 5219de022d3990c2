"""Which fields of an input schema take media, and which words of it are refused when a version is published."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from api.bodies import ModelVersion
from contract.inputs import VersionPublished
from contract.media import MEDIA_MAX, MediaRule, rules_digest
from contract.names import digest_of
from registry.errors import RegistryError
from registry.manifest import encode_manifest
from registry.model_yaml import parse_model_yaml
from registry.relay import record_of
from registry.schemas import MediaField, MediaFields, SchemaRefused, Validator, media_fields, rules_of
from registry.schemas.media import gives, takes
from tests.unit.api.versions import version
from tests.unit.registry.samples import MODEL_YAML

SMALL: dict[str, Any] = {"frames_max": 48, "longest_side": 256}
CLIP: dict[str, Any] = {"type": "string", "format": "video", "media": SMALL}
RULE = MediaRule(frames_max=48, longest_side=256)


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_fields_come_with_their_rules_in_the_order_of_the_schema() -> None:
    found = media_fields(
        schema(
            prompt={"type": "string", "format": "date-time"},
            clip=CLIP,
            frames={"type": "array", "items": {"type": "string", "format": "image", "media": {"form": "file"}}},
            items={"type": "string", "format": "audio"},
        )
    )
    assert list(found.items()) == [
        ("clip", MediaField("video", RULE, False)),
        ("frames", MediaField("image", MediaRule(form="file"), True)),
        ("items", MediaField("audio", MediaRule(), False)),
    ]
    assert rules_digest(rules_of(found)).startswith("sha256:")
    assert rules_digest(rules_of(media_fields(schema(prompt={"type": "string"})))) == ""


def test_what_may_be_sent_is_said_in_words() -> None:
    found = media_fields(
        schema(
            clip=CLIP | {"media": {"width": 64, "height": 48, "frames_min": 9, "frames_step": 8, "frames_max": 97}},
            stills={"type": "array", "items": {"type": "string", "format": "image"}},
            sound={"type": "string", "format": "audio", "media": {"seconds_max": 2.5, "form": "file"}},
        )
    )
    assert [takes(field) for field in found.values()] == [
        "video, at most 200 MB, at most 30 s, at most 60 frames a second, sides of 16 to 3840 pixels, at most 9 MP",
        "each image, at most 200 MB, sides of 16 to 3840 pixels, at most 9 MP",
        "audio, at most 200 MB, at most 2.5 s",
    ]
    assert [gives(field) for field in found.values()] == [
        "64 x 48 pixels (cover), 9 to 97 frames, 9 and a multiple of 8 at 24 a second, as frames",
        "sides of at most 1920 pixels, multiples of 2, as frames",
        "48000 samples a second, channels: 2, as file",
    ]
    shown = ModelVersion.of(version(schema(clip=CLIP)))
    assert shown.media["clip"].limits["frames_max"] == 48
    assert shown.media["clip"].limits["seconds_max"] == 30, "every limit, also those that the author left out"
    assert ModelVersion.of(version(schema(a=schema(clip=CLIP)))).media == {}


def test_values_of_such_fields_are_texts_to_whoever_checks_inputs() -> None:
    validator = Validator(schema(clip=CLIP))
    assert validator.fault({"clip": "upload:u-1"}) is None
    assert validator.fault({"clip": 7}) is not None


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (schema(a=schema(clip=CLIP)), "a/properties/clip", "expected format: video at a property of the whole"),
    ({"type": "string", "format": "image"}, "format", "at a property of the whole"),
    (schema(clip={"$ref": "#/$defs/c"}) | {"$defs": {"c": CLIP}}, "$defs/c", "write it there, without $ref"),
    ({"allOf": [schema(clip=CLIP)]}, "allOf/0", "at a property of the whole"),
    ({"patternProperties": {"clip": CLIP}}, "patternProperties", "at a property of the whole"),
    (schema(clip=CLIP | {"type": "object"}), "clip/format", "at a property of type string"),
    (schema(clip=CLIP | {"type": ["string", "null"]}), "clip/format", "at a property of type string"),
    (schema(clip={"format": "image"}), "clip/format", "at a property of type string"),
    (schema(clip={"items": {"type": "string", "format": "image"}}), "items/format", "of a property of type array"),
    (schema(clip={"type": "string", "media": {}}), "clip/media", "expected format: video, image, audio beside media"),
    (schema(clip=CLIP | {"media": {"frame_max": 1}}), "clip/media", "found: Object contains unknown field"),
    (schema(clip=CLIP | {"media": {"fps": "24"}}), "clip/media", "expected limits as the guide lists them"),
    (schema(clip=CLIP | {"media": SMALL | {"fps": 61}}), "clip/media", "expected fps from 1 to 60, found 61"),
    (schema(clip={"type": "string", "format": "video"}), "clip/media", "lower frames_max"),
    (
        schema(**{f"clip{n}": CLIP | {"media": {"frames_max": 180}} for n in range(2)}),
        "",
        "of all properties together, found rules that allow",
    ),
    (
        schema(**{f"still{n}": {"type": "string", "format": "image"} for n in range(MEDIA_MAX + 1)}),
        "",
        "expected at most 8 properties that take media, found 9",
    ),
]


@pytest.mark.parametrize(("wrong", "place", "said"), REFUSED)
def test_media_words_that_nobody_could_keep_are_refused(wrong: dict[str, Any], place: str, said: str) -> None:
    with pytest.raises(SchemaRefused) as refused:
        media_fields(wrong)
    assert said in str(refused.value)
    assert place in "/".join(map(str, refused.value.path))
    kept = MediaFields()
    for _ in range(2):
        with pytest.raises(SchemaRefused, match="expected"):
            kept.of("sha256:1", wrong)


def test_publishing_says_the_line() -> None:
    wrong = MODEL_YAML.replace(
        "    prompt: {type: string, maxLength: 100}\n",
        "    prompt: {type: string}\n    clip: {type: string, format: video, media: {frames_max: 48, fps: 61}}\n",
    )
    with pytest.raises(RegistryError, match=r"line 14: inputs/properties/clip/media: expected fps from 1 to 60"):
        parse_model_yaml(wrong.encode())
    assert parse_model_yaml(wrong.replace(", fps: 61", "").encode()).inputs["properties"]["clip"]["media"]


def test_the_scheduler_is_told_by_which_rules_a_version_prepares() -> None:
    def told(inputs: dict[str, Any]) -> str:
        manifest = msgspec.structs.replace(version(inputs).manifest, name="echo")
        raw = encode_manifest(manifest)
        row: Any = SimpleNamespace(
            alias="", model="echo", version=digest_of(raw), manifest=raw.decode(), event_id="1", partition=0
        )
        record = record_of(row)
        assert isinstance(record, VersionPublished)
        return record.prepares

    assert told(schema(clip=CLIP)) == rules_digest({"clip": ("video", RULE)})
    assert told(schema(prompt={"type": "string"})) == ""
    assert told(schema(a=schema(clip=CLIP))) == "", "as a release before media let it in"
