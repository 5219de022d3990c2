"""Media as inputs: how a submission names them, what a model's schema says of them, and what a model gets.

A field of a model's input schema takes media when it is a property of the whole, of type string (or a list of strings),
with `format: video`, `image` or `audio`. Beside `format`, `media` holds a MediaRule: what may be sent, and the form in
which the model gets it. A submission's value there is a name: of an upload, of an output of another job, or a URL.
"""

from __future__ import annotations

import re

import msgspec

from contract import names
from contract.names import digest_of
from contract.results import is_output_name

KINDS = ("video", "image", "audio")
"""`format` of a field that takes media."""

FITS = ("cover", "contain", "stretch")
"""How a picture of another aspect gets the size that the model asks for. cover: what stands out is cut off, both sides
alike. contain: black bars are added. stretch: the aspect is lost."""

FORMS = ("frames", "file")
"""frames: a .npy file (version 1.0, C order) of uint8, RGB: [frames, height, width, 3] of a video, [height, width, 3]
of an image; of audio float32 [samples, channels]. file: an MP4 file with H.264 at a constant rate, a PNG, a WAV."""

MEDIA_MAX = 8
"""Media that one submission may name."""
NAME_BYTES_MAX = 2_048
"""Bytes of one name: the longest URL that is fetched."""

BYTES_MAX = 200_000_000
"""Of one file, whatever a schema says (`../shared/reference/media.md` 5.3)."""
SECONDS_MAX = 30
FPS_MAX = 60
SIDE_MAX = 3_840
PIXELS_MAX = 9_000_000
PREPARED_BYTES_MAX = 2_000_000_000
"""Of one job's prepared media. A rule that could ask for more in one file is refused when the version is published."""

MULTIPLE_MAX = 256


class MediaRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a field takes, and what the model gets. Under `media` in a schema; `format` is the kind."""

    bytes_max: int = BYTES_MAX
    seconds_max: float = float(SECONDS_MAX)
    fps_max: int = FPS_MAX
    """Frames a second that may be sent."""
    side_min: int = 16
    side_max: int = SIDE_MAX
    """Pixels of a side that may be sent."""
    pixels_max: int = PIXELS_MAX
    fps: int = 24
    """Frames a second that the model gets; the source's rate is made constant at it."""
    frames_min: int = 1
    """A shorter clip is refused."""
    frames_step: int = 1
    """The model gets frames_min plus a multiple of frames_step: the most that the clip has and frames_max allows. What
    comes after is cut off, and the facts say so."""
    frames_max: int = SECONDS_MAX * FPS_MAX
    width: int = 0
    height: int = 0
    """Pixels that the model gets. Both 0: the source's, scaled down so that no side is longer than `longest_side`."""
    longest_side: int = 1_920
    side_multiple: int = 2
    """With width and height 0: each side is made a multiple of it, downwards."""
    fit: str = FITS[0]
    form: str = FORMS[0]
    sample_rate: int = 48_000
    channels: int = 2
    """Of audio. A video's sound is not given to the model."""


def rule_fault(kind: str, rule: MediaRule) -> str:
    """Why no version may be published with this rule, as `expected …, found …`. Empty: it may."""
    if kind not in KINDS:
        return f"expected one of {', '.join(KINDS)} as format, found {kind!r}"
    if rule.fit not in FITS:
        return f"expected one of {', '.join(FITS)} as fit, found {rule.fit!r}"
    if rule.form not in FORMS:
        return f"expected one of {', '.join(FORMS)} as form, found {rule.form!r}"
    for field, least, most in (
        ("bytes_max", 1, BYTES_MAX),
        ("fps_max", 1, FPS_MAX),
        ("side_min", 1, SIDE_MAX),
        ("side_max", rule.side_min, SIDE_MAX),
        ("pixels_max", 1, PIXELS_MAX),
        ("fps", 1, FPS_MAX),
        ("frames_min", 1, SECONDS_MAX * FPS_MAX),
        ("frames_step", 1, SECONDS_MAX * FPS_MAX),
        ("frames_max", rule.frames_min, SECONDS_MAX * FPS_MAX),
        ("width", 0, SIDE_MAX),
        ("height", 0, SIDE_MAX),
        ("longest_side", 16, SIDE_MAX),
        ("side_multiple", 1, MULTIPLE_MAX),
        ("sample_rate", 8_000, 192_000),
        ("channels", 1, 2),
    ):
        value = getattr(rule, field)
        if not least <= value <= most:
            return f"expected {field} from {least} to {most}, found {value}"
    if not 0 < rule.seconds_max <= SECONDS_MAX:
        return f"expected seconds_max above 0 and at most {SECONDS_MAX}, found {rule.seconds_max}"
    if (rule.width == 0) != (rule.height == 0):
        return f"expected width and height, both or neither, found {rule.width} x {rule.height}"
    if kind == "video" and rule.form == "file" and (rule.width % 2 or rule.height % 2 or rule.side_multiple % 2):
        return "expected even width, height and side_multiple for a video file, found an odd one"
    most_bytes = prepared_bytes_max(kind, rule)
    if most_bytes > PREPARED_BYTES_MAX:
        return (
            f"expected prepared media of at most {PREPARED_BYTES_MAX} bytes, found a rule that allows {most_bytes}: "
            "lower frames_max, longest_side or width and height"
        )
    return ""


def prepared_bytes_max(kind: str, rule: MediaRule) -> int:
    """The most bytes that one prepared file of this rule has; of a video file, as if it were frames."""
    if kind == "audio":
        return 128 + int(rule.seconds_max * rule.sample_rate) * rule.channels * 4
    pixels = rule.width * rule.height or min(rule.longest_side**2, rule.pixels_max)
    frames = rule.frames_max if kind == "video" else 1
    return 128 + frames * pixels * 3


def rules_digest(rules: dict[str, tuple[str, MediaRule]]) -> str:
    """The digest of a version's fields that take media: {field: (kind, rule)}. What was prepared for one version serves
    another with the same digest. Empty for a version that takes no media."""
    if not rules:
        return ""
    return digest_of(msgspec.json.encode([PREPARED_FORMAT, rules], order="sorted"))


PREPARED_FORMAT = 1
"""Raised when a preparation by the same rule would give other files."""


class UploadName(msgspec.Struct, frozen=True):
    """`upload:ID`: an upload of the same tenant."""

    upload: str


class OutputName(msgspec.Struct, frozen=True):
    """`job:ID/NAME`: an output of a job of the same tenant that has succeeded."""

    job: str
    name: str


class UrlName(msgspec.Struct, frozen=True):
    """`https://…`: fetched through the egress guard."""

    url: str


MediaName = UploadName | OutputName | UrlName


class OutputSource(msgspec.Struct, frozen=True):
    """Where the output of another job lies that a submission names. The door has seen that the job is the same tenant's
    and has succeeded."""

    source: str
    """As the submission names it: `job:ID/NAME`."""
    dispatch: str
    """The attempt whose result was accepted."""
    sha256: str
    bytes: int


UPLOAD = re.compile(r"u-[0-9a-f]{32}")
"""The id of an upload."""

EXPECTED = "expected upload:ID, job:ID/NAME or a URL that begins with https://"


def read_name(text: str) -> MediaName | None:
    """What a submission's value names. None: nothing that can be one (EXPECTED says what can). Whether it exists, and
    whether the URL may be fetched, is asked elsewhere."""
    if len(text.encode(errors="surrogatepass")) > NAME_BYTES_MAX:
        return None
    scheme, _, rest = text.partition(":")
    if scheme == "upload":
        return UploadName(upload=rest) if UPLOAD.fullmatch(rest) else None
    if scheme == "job":
        job, _, name = rest.partition("/")
        return OutputName(job=job, name=name) if names.JOB.fullmatch(job) and is_output_name(name) else None
    if scheme.lower() in ("https", "http") and rest.startswith("//") and text.isprintable() and " " not in text:
        return UrlName(url=text)
    return None
