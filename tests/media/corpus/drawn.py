"""Files that ffmpeg makes, some with bytes altered afterwards."""

from __future__ import annotations

import struct

from tests.media.corpus import boxes
from tests.media.corpus.boxes import full_box, poke, put
from tests.media.corpus.clips import Ffmpeg
from tests.media.corpus.trick import Trick, prepared, refused, undecodable

SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")
TRACK = "moov/trak"
QUARTER = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 120 << 16, 0, 0x40000000)
"""The matrix of a picture that is shown turned clockwise by a quarter."""


def fragments(f: Ffmpeg, seconds: int = 2) -> bytes:
    """One each half second. The header says neither how many there are nor how long they last."""
    flags = ("-g", "12", "-movflags", "+frag_keyframe+empty_moov+default_base_moof")
    return f.video(*flags, draw=f"testsrc2=s=160x120:r=24:d={seconds}")


def million_a_second(f: Ffmpeg) -> bytes:
    """48 frames, a microsecond each, in fragments: only their time stamps say so."""
    flags = (
        "-g",
        "12",
        "-movflags",
        "+frag_keyframe+empty_moov+default_base_moof",
        "-video_track_timescale",
        "1000000",
    )
    return f.video(*flags, draw="testsrc2=s=64x64:r=1000000:d=0.000048")


def says_a_second(f: Ffmpeg) -> bytes:
    """40 seconds of frames, of which each header says that they last one."""
    data = f.video(draw="testsrc2=s=64x64:r=24:d=40")
    scale = struct.unpack_from(">I", data, boxes.find(data, f"{TRACK}/mdia/mdhd")[0] + 20)[0]
    data = poke(data, "moov/mvhd", 16, struct.pack(">I", 1000))
    data = poke(data, f"{TRACK}/tkhd", 20, struct.pack(">I", 1000))
    return poke(data, f"{TRACK}/mdia/mdhd", 16, struct.pack(">I", scale))


def matroska_says_a_second(f: Ffmpeg) -> bytes:
    data = f.video(draw="testsrc2=s=64x64:r=24:d=40", suffix="mkv")
    at = data.index(b"\x44\x89\x88") + 3  # Duration, eight bytes
    return data[:at] + struct.pack(">d", 1000.0) + data[at + 8 :]


def says_small(f: Ffmpeg) -> bytes:
    """A stream wider than allowed, whose boxes say 64 × 64."""
    data = f.video("-frames:v", "4", draw="testsrc2=s=4096x64:r=24:d=1")
    entry = boxes.find(data, f"{TRACK}/mdia/minf/stbl/stsd")[0] + 8 + 8 + 8 + 24
    data = data[:entry] + struct.pack(">HH", 64, 64) + data[entry + 4 :]
    return poke(data, f"{TRACK}/tkhd", 76, struct.pack(">II", 64 << 16, 64 << 16))


def changes_size(f: Ffmpeg, suffix: str) -> bytes:
    first, second = f.stream("testsrc2=s=160x120:r=24:d=1"), f.stream("testsrc2=s=320x240:r=24:d=1")
    return f.wrapped(first + second, suffix=suffix)


def edits(f: Ffmpeg, entries: int, start: int = 0) -> bytes:
    """The first second of the clip, `entries` times over."""
    data = f.video()
    scale = struct.unpack_from(">I", data, boxes.find(data, f"{TRACK}/mdia/mdhd")[0] + 20)[0]
    listed = b"".join(struct.pack(">IiI", 1000, start % scale, 0x10000) for _ in range(entries))
    return put(data, f"{TRACK}/edts/elst", full_box(b"elst", struct.pack(">I", entries), listed))


def rotated(f: Ffmpeg) -> bytes:
    return poke(f.video(), f"{TRACK}/tkhd", 40, QUARTER)


def bright(transfer: str) -> tuple[str, ...]:
    """Ten bits, with a screen's light as HDR measures it. Options of the encoder alone would not reach the stream."""
    colours = f"color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc"
    return ("-vf", f"format=yuv420p10le,setparams={colours}", "-pix_fmt", "yuv420p10le")


def like_a_phone(f: Ffmpeg) -> bytes:
    """Held upright: ten bits, HLG, turned by a quarter."""
    data = f.video(*HEVC, *bright("arib-std-b67"), suffix="mov")
    return poke(data, f"{TRACK}/tkhd", 40, QUARTER)


def damaged(f: Ffmpeg) -> bytes:
    """Every 61st byte of the pictures turned round, in the second half."""
    data = bytearray(f.video())
    start, end = boxes.find(bytes(data), "mdat")
    for at in range((start + end) // 2, end, 61):
        data[at] ^= 0xFF
    return bytes(data)


def one_picture_many_times(f: Ffmpeg) -> bytes:
    """30 s of 4K at 60 frames a second in little more than the bytes of the table: one key frame of one colour."""
    one = f.stream("color=black:s=3840x2160:r=60:d=1", "-preset", "medium", "-frames:v", "1")
    return f.wrapped(one * 1800, rate=60)


def cover(f: Ffmpeg) -> bytes:
    art = ("-f", "lavfi", "-i", "testsrc2=s=64x64:r=1:d=1")
    mapped = ("-map", "0:a", "-map", "1:v", "-frames:v", "1", "-c:v", "png", "-disposition:v", "attached_pic")
    return f.clip(*SOUND, *art, *mapped, "-c:a", "aac")


def streams(f: Ffmpeg, videos: int, sounds: int) -> bytes:
    source = ("-f", "lavfi", "-i", "testsrc2=s=64x64:r=24:d=1", *SOUND)
    mapped = ("-map", "0:v") * videos + ("-map", "1:a") * sounds
    codecs = (
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        "-movflags",
        "+faststart",
    )
    return f.clip(*source, *mapped, *codecs)


VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
HEVC = ("-c:v", "libx265", "-x265-params", "log-level=none:pools=none:frame-threads=1", "-tag:v", "hvc1")
AV1 = ("-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=1")
ODD = ("-vf", "format=yuv444p,scale=161:121", "-pix_fmt", "yuv444p")
UNEVEN = ("-vf", "select='not(mod(n,3))+lt(n,12)'", "-fps_mode", "vfr")

WHOLE: dict[str, object] = {
    "frames": 48,
    "fps": 24,
    "source_frames": 48,
    "source_ms": 2000,
    "width": 160,
    "height": 120,
}
"""Of the clip that most of the files hold."""

DRAWN: tuple[Trick, ...] = (
    prepared(
        "good.mp4",
        "48 frames, 2 s, h264",
        lambda f: f.video(),
        facts=WHOLE | {"container": "mp4", "codec": "h264", "changes": ()},
    ),
    prepared(
        "good-header-last.mp4",
        "48 frames",
        lambda f: f.video("-movflags", "0"),
        facts=WHOLE | {"container": "mp4", "codec": "h264", "changes": ()},
    ),
    prepared(
        "good.mov",
        "48 frames",
        lambda f: f.video(suffix="mov"),
        facts=WHOLE | {"container": "mov"},
    ),
    prepared(
        "good.webm",
        "48 frames, vp9",
        lambda f: f.video(*VP9, suffix="webm"),
        facts={"frames": 48, "codec": "vp9", "container": "webm", "source_ms": 1999},
    ),
    prepared(
        "good.mkv",
        "48 frames",
        lambda f: f.video(suffix="mkv"),
        facts={"frames": 48, "codec": "h264", "container": "mkv", "source_ms": 1999},
    ),
    prepared(
        "good-hevc.mp4",
        "48 frames, hevc",
        lambda f: f.video(*HEVC),
        facts=WHOLE | {"codec": "hevc"},
    ),
    prepared(
        "good-av1.mp4",
        "48 frames, av1",
        lambda f: f.video(*AV1),
        facts=WHOLE | {"codec": "av1"},
    ),
    prepared(
        "like-a-phone.mov",
        "sides exchanged; rotation applied; HDR to SDR",
        like_a_phone,
        facts={"width": 120, "height": 160, "rotated": 90, "changes": ("depth_reduced", "hdr_to_sdr")},
    ),
    prepared(
        "fragmented.mp4",
        "48 frames",
        fragments,
        facts=WHOLE | {"container": "mp4", "codec": "h264", "changes": ()},
    ),
    prepared(
        "rotated.mp4",
        "sides exchanged; rotation applied",
        rotated,
        facts={"width": 120, "height": 160, "rotated": 90, "changes": ()},
    ),
    prepared(
        "wide-samples.mp4",
        "sample aspect 2:1 applied",
        lambda f: f.video("-vf", "setsar=2/1"),
        facts={"source_width": 160, "width": 320, "height": 120, "changes": ("pixels_made_square",)},
    ),
    prepared(
        "uneven-rate.mp4",
        "variable rate made constant",
        lambda f: f.video(*UNEVEN),
        facts={"source_frames": 24, "frames": 46, "changes": ("rate_made_constant",)},
    ),
    prepared(
        "ten-bit-hdr.mp4",
        "HDR to SDR",
        lambda f: f.video(*bright("smpte2084")),
        facts=WHOLE | {"changes": ("depth_reduced", "hdr_to_sdr")},
    ),
    prepared(
        "odd-sides-444.mp4",
        "161 x 121",
        lambda f: f.video(*ODD),
        facts={"source_width": 161, "source_height": 121, "width": 160, "height": 120},
    ),
    prepared(
        "grey.mp4",
        "48 frames",
        lambda f: f.video("-pix_fmt", "gray"),
        facts=WHOLE | {"changes": ()},
    ),
    prepared(
        "full-range-422.mp4",
        "range",
        lambda f: f.video("-pix_fmt", "yuvj422p", "-strict", "unofficial"),
        facts=WHOLE | {"changes": ()},
    ),
    prepared("one-edit.mp4", "1 s", lambda f: edits(f, 1), facts={"frames": 24, "source_ms": 1000}),
    prepared(
        "two-videos-nine-sounds.mp4",
        "dropped: 1 video, 8 audio",
        lambda f: streams(f, 2, 9),
        facts={"frames": 24, "changes": ("audio_dropped", "streams_dropped")},
    ),
    prepared(
        "many-4k.mp4",
        "1800 frames, 30 s",
        one_picture_many_times,
        slow=True,
        facts={"width": 1920, "height": 1080, "frames": 719},
    ),
    refused("edits-without-end.mp4", "edit list", lambda f: edits(f, 5000)),
    refused("cut-in-half.mp4", "ends", lambda f: f.video()[: len(f.video()) // 2]),
    refused("cut-before-its-header.mp4", "ends|header", lambda f: f.video("-movflags", "0")[:-2000]),
    refused("cut.webm", "ends", lambda f: f.video(*VP9, suffix="webm")[:-2000]),
    refused("sound-only.mp4", "audio", lambda f: f.clip(*SOUND, "-c:a", "aac")),
    refused("sound.wav.mp4", "audio", lambda f: f.clip(*SOUND, suffix="wav")),
    refused("cover-picture.mp4", "codec|audio", cover),
    refused("no-such-codec.mp4", "codec", lambda f: f.video("-c:v", "mpeg4")),
    refused("magic.mkv", "codec", lambda f: f.video("-c:v", "magicyuv", "-pix_fmt", "gbrp", suffix="mkv")),
    refused("old.avi", "AVI", lambda f: f.video("-c:v", "mpeg4", suffix="avi")),
    refused("transport.mp4", "transport stream", lambda f: f.video("-f", "mpegts")),
    refused("fragments-missing.mp4", "no frame", lambda f: fragments(f)[: boxes.find(fragments(f), "moof")[0]]),
    refused("one-frame.mp4", "one frame", lambda f: f.video("-frames:v", "1")),
    refused("says-a-second.mp4", "frames a second", says_a_second),
    undecodable("says-a-second.mkv", "longer than", matroska_says_a_second),
    undecodable("forty-seconds-in-fragments.mp4", "longer than", lambda f: fragments(f, 40)),
    undecodable("million-a-second-in-fragments.mp4", "frames a second", million_a_second),
    undecodable("says-small.mp4", "side|pixels", says_small),
    undecodable("changes-size.mp4", "changes its size", lambda f: changes_size(f, "mp4")),
    undecodable("changes-size.mkv", "changes its size", lambda f: changes_size(f, "mkv")),
    undecodable("damaged.mp4", "damaged", damaged),
)
