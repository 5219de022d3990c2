"""The rows of `headrace demo` that begin with media: a clip is uploaded and modified, its result is made larger, and a
picture begins to move."""

from __future__ import annotations

import uuid
from pathlib import Path

import msgspec

from cli import upload_sending
from cli.api_client import ApiClient

EXAMPLES = Path(__file__).parent.parent / "examples"
CLIP = EXAMPLES / "clips" / "red-ball.mp4"
MODELS = ("modify_video", "image_to_video", "upscale")
"""Directories of examples/models."""


class MediaRequest(msgspec.Struct):
    """A job that takes media, and what its row on the contact sheet shows beside the result."""

    model: str
    tier: str
    words: str
    inputs: dict[str, str | int]
    of: int
    """The number of the request whose result it takes; -1: it takes the uploaded clip."""


REQUESTS = (
    MediaRequest("modify-video", "api", "make it a blue star", {"prompt": "make it a blue star", "seed": 1}, -1),
    MediaRequest("upscale", "api", "the same, four times as large", {"scale": 4}, 0),
    MediaRequest("image-to-video", "free", "its poster moves right", {"prompt": "moving to the right", "seed": 2}, 0),
)
_TAKES = {"modify-video": ("video", "video.mp4"), "upscale": ("video", "video.mp4")} | {
    "image-to-video": ("image", "video.poster.jpg")
}
"""By model: the field that takes media, and the output of another job that is put there."""


def upload(client: ApiClient) -> str:
    """The clip, uploaded, as an input names it."""
    name: str = upload_sending.bring(client, CLIP)["name"]
    return name


def submit(client: ApiClient, request: MediaRequest, source: str) -> str:
    """The job's id. `source`: the upload's name, or the id of the job whose result is taken."""
    field, output = _TAKES[request.model]
    named = source if request.of < 0 else f"job:{source}/{output}"
    body = {"model": request.model, "tier": request.tier, "inputs": {**request.inputs, field: named}}
    job: str = client.post("/v1/jobs", body, {"Idempotency-Key": uuid.uuid4().hex})["job"]
    return job
