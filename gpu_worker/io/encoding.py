"""How `ffmpeg` is told to encode what a model handed over. Pure.

A video becomes H.264 in 4:2:0 at a constant rate, in an MP4 file that can be played before it is all there; an image
PNG or JPEG. A poster has the size of the picture, a thumbnail no side above THUMBNAIL_SIDE; of a video both show the
first frame, so that a player which shows the poster does not jump.

The bytes come from the descriptor 0. No protocol but that one, and files for what is written, can be used.
"""

from __future__ import annotations

import msgspec

from gpu_worker.io.visible_mark import FILE as LABEL_FILE
from gpu_worker.io.visible_mark import Label
from gpu_worker.rules.handed_media import VIDEO, HandedMedia
from runtime.settings import Settings

CRF, PRESET = 18, "veryfast"
"""Of libx264. At 18 a difference is hard to see. A slower preset than this costs twice the time for about as many
bytes (docs/benchmarks-worker.md)."""
KEY_FRAME_S = 2
"""A player can jump to a frame every so many seconds."""
THUMBNAIL_SIDE = 320
POSTER_QUALITY, THUMBNAIL_QUALITY, IMAGE_QUALITY = 3, 5, 2
"""Of JPEG, as ffmpeg counts: 2 to 31, the least is the best."""

BT709 = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
_VIDEO_FILTER = f"scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,{BT709}"
_JPEG_FILTER = "scale=out_color_matrix=bt601:out_range=pc,format=yuvj420p"
_SMALLER = f"scale=w='min(iw,{THUMBNAIL_SIDE})':h='min(ih,{THUMBNAIL_SIDE})':force_original_aspect_ratio=decrease"


CORES_EACH = 8
"""Of a node, for one encoder that is not set."""
THREADS_MAX = 4
"""Of one encoder: with more of them libx264 needs more for the same."""


class EncoderTuning(msgspec.Struct, frozen=True):
    """How a node encodes."""

    processes: int = 1
    """Encoders at work at a time."""
    threads: int = 1
    """Of each."""
    limit_s: float = 900.0
    """How long one may take."""

    @classmethod
    def of(cls, settings: Settings, cores: int) -> EncoderTuning:
        processes = settings.encoders or max(1, cores // CORES_EACH)
        threads = min(THREADS_MAX, max(1, cores // 2 // processes))
        return cls(processes, threads, settings.encoder_limit_s)


DEFAULT_TUNING = EncoderTuning()


def arguments(one: HandedMedia, comment: str, threads: int, label: Label | None) -> list[str]:
    """What stands behind the program's name. The files of `one.names` are written in the working directory.

    `label`: is drawn over the lower right corner; its bytes lie in the file LABEL_FILE there."""
    before = ["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-threads", str(threads)]
    before += ["-filter_threads", str(threads), "-filter_complex_threads", str(threads)]
    before += _input("pipe", "rgb24", one.width, one.height, f"{one.rate}/{one.per}", "pipe:0")
    source = "[0:v]"
    graph = ""
    if label is not None:
        before += _input("file", "rgba", label.width, label.height, "1", LABEL_FILE)
        graph = f"[0:v][1:v]overlay=x=W-w-{label.margin}:y=H-h-{label.margin}:format=rgb[marked];"
        source = "[marked]"
    if one.kind == VIDEO:
        return [*before, *_video(one, graph + source, comment, threads)]
    return [*before, *_image(one, graph + source, comment)]


def _input(protocol: str, form: str, width: int, height: int, rate: str, place: str) -> list[str]:
    size = ["-pixel_format", form, "-video_size", f"{width}x{height}", "-framerate", rate]
    return ["-protocol_whitelist", protocol, "-f", "rawvideo", *size, "-i", place]


def _video(one: HandedMedia, source: str, comment: str, threads: int) -> list[str]:
    name, poster, thumbnail = one.names
    first = "trim=end_frame=1"
    graph = (
        f"{source}split=3[a][b][c];[a]{_VIDEO_FILTER}[video];[b]{first},{_JPEG_FILTER}[poster];"
        f"[c]{first},{_SMALLER},{_JPEG_FILTER}[thumbnail]"
    )
    every = max(1, round(KEY_FRAME_S * one.rate / one.per))
    codec = ["-c:v", "libx264", "-preset", PRESET, "-crf", str(CRF), "-g", str(every), "-threads", str(threads)]
    video = ["-map", "[video]", *codec, "-fps_mode", "passthrough", "-movflags", "+faststart"]
    video += ["-map_metadata", "-1", "-metadata", f"comment={comment}", "-f", "mp4", name]
    return [
        *("-filter_complex", graph),
        *video,
        *_jpeg("[poster]", POSTER_QUALITY, poster),
        *_jpeg("[thumbnail]", THUMBNAIL_QUALITY, thumbnail),
    ]


def _image(one: HandedMedia, source: str, comment: str) -> list[str]:
    name, thumbnail = one.names
    is_png = name.endswith(".png")
    graph = (
        f"{source}split=2[a][b];[a]{'format=rgb24' if is_png else _JPEG_FILTER}[image];"
        f"[b]{_SMALLER},{_JPEG_FILTER}[thumbnail]"
    )
    image = _jpeg("[image]", IMAGE_QUALITY, name)
    if is_png:
        image = ["-map", "[image]", "-c:v", "png", "-frames:v", "1", "-f", "image2", "-update", "1", name]
    return ["-filter_complex", graph, *image, *_jpeg("[thumbnail]", THUMBNAIL_QUALITY, thumbnail)]


def _jpeg(stream: str, quality: int, name: str) -> list[str]:
    codec = ["-c:v", "mjpeg", "-q:v", str(quality), "-frames:v", "1"]
    return ["-map", stream, *codec, "-f", "image2", "-update", "1", name]


def address_space(one: HandedMedia) -> int:
    """Bytes that an encoder of this may reserve: the program itself, and the pictures that H.264 looks at."""
    return 2 * 2**30 + PICTURES_HELD * one.pixels * 3


PICTURES_HELD = 100
