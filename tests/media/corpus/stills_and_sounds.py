"""Images and sounds that ffmpeg makes, some with bytes altered afterwards."""

from __future__ import annotations

import struct

from tests.media.corpus.clips import Ffmpeg
from tests.media.corpus.trick import Trick, prepared, refused, undecodable

STILL = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=4:d=1")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")


def still(f: Ffmpeg, suffix: str, *arguments: str) -> bytes:
    return f.clip(*STILL, *arguments, "-frames:v", "1", "-update", "1", suffix=suffix)


def moving(f: Ffmpeg, suffix: str, *arguments: str) -> bytes:
    """Four pictures, a quarter of a second each."""
    return f.clip(*STILL, *arguments, suffix=suffix)


def turned_jpeg(f: Ffmpeg) -> bytes:
    """As a camera that was held upright writes it: EXIF says that the picture is to be turned by a quarter."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    data = still(f, "jpg")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + data[2:]


def tone(f: Ffmpeg, suffix: str, *arguments: str) -> bytes:
    return f.clip(*TONE, *arguments, suffix=suffix)


def with_sound(f: Ffmpeg) -> bytes:
    return f.clip(*STILL, *TONE, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac")


def says_a_second(f: Ffmpeg) -> bytes:
    """40 seconds of sound, of which the header says that they last one."""
    data = f.clip("-f", "lavfi", "-i", "sine=frequency=440:duration=40", "-c:a", "libopus", suffix="mkv")
    at = data.index(b"\x44\x89\x88") + 3  # Duration, eight bytes
    return data[:at] + struct.pack(">d", 1000.0) + data[at + 8 :]


SMALL: dict[str, object] = {"width": 64, "height": 48, "frames": 1}
SOUND: dict[str, object] = {"samples": 96_000, "sample_rate": 48_000, "channels": 2, "source_ms": 2000}

STILLS_AND_SOUNDS: tuple[Trick, ...] = (
    prepared(
        "good.png", "64 x 48", lambda f: still(f, "png"), "image", facts=SMALL | {"container": "png", "changes": ()}
    ),
    prepared(
        "good.jpg", "64 x 48", lambda f: still(f, "jpg"), "image", facts=SMALL | {"container": "jpeg", "changes": ()}
    ),
    prepared("good.webp", "64 x 48", lambda f: still(f, "webp"), "image", facts=SMALL | {"container": "webp"}),
    prepared(
        "moving.gif", "first picture", lambda f: moving(f, "gif"), "image", facts={"changes": ("animation_dropped",)}
    ),
    prepared("moving.png", "first picture", lambda f: moving(f, "png", "-f", "apng"), "image", facts=SMALL),
    prepared(
        "turned.jpg", "turned by a quarter", turned_jpeg, "image", facts={"rotated": 90, "width": 48, "height": 64}
    ),
    prepared(
        "glass.png",
        "transparency dropped",
        lambda f: still(f, "png", "-vf", "format=rgba,colorchannelmixer=aa=0.5"),
        "image",
        facts={"changes": ("transparency_dropped",)},
    ),
    prepared(
        "opaque.png", "nothing dropped", lambda f: still(f, "png", "-pix_fmt", "rgba"), "image", facts={"changes": ()}
    ),
    prepared(
        "deep.png",
        "eight bits",
        lambda f: still(f, "png", "-pix_fmt", "rgb48be"),
        "image",
        facts={"changes": ("depth_reduced",)},
    ),
    refused("moving.webp", "animated", lambda f: moving(f, "webp"), kind="image"),
    undecodable("cut.png", "damaged", lambda f: still(f, "png")[:-300], "image"),
    undecodable("cut.jpg", "damaged", lambda f: still(f, "jpg")[:-600], "image"),
    prepared("good.wav", "2 s", lambda f: tone(f, "wav"), "audio", facts=SOUND | {"container": "wav", "codec": "pcm"}),
    prepared("floats.wav", "2 s", lambda f: tone(f, "wav", "-c:a", "pcm_f32le"), "audio", facts=SOUND),
    prepared("six-channels.wav", "mixed to two", lambda f: tone(f, "wav", "-ac", "6"), "audio", facts=SOUND),
    prepared("good.m4a", "2 s", lambda f: tone(f, "mp4", "-c:a", "aac"), "audio", facts=SOUND | {"codec": "aac"}),
    prepared(
        "sound.webm", "2 s", lambda f: tone(f, "webm", "-c:a", "libopus"), "audio", facts=SOUND | {"codec": "opus"}
    ),
    prepared(
        "sound.mkv", "2 s", lambda f: tone(f, "mkv", "-c:a", "libvorbis"), "audio", facts=SOUND | {"codec": "vorbis"}
    ),
    prepared("sound-of-video.mp4", "pictures dropped", with_sound, "audio", facts={"changes": ("streams_dropped",)}),
    refused("law.wav", "codec", lambda f: tone(f, "wav", "-c:a", "pcm_alaw"), kind="audio"),
    undecodable("says-a-second-of-sound.mkv", "longer than", says_a_second, "audio"),
)
