"""The messages between the agent and a model process. run_model.py has the other end of the pipe.

What a model process says is not trusted: whoever reads its values, names and words checks them (gpu_worker.io,
rules.outcome).
"""

from __future__ import annotations

import msgspec

from gpu_worker.rules.handed_media import HandedMedia
from runtime.worker.frames import FrameDecoder


class GangPlace(msgspec.Struct, frozen=True):
    """How a rank finds the other ranks of its attempt."""

    name: str
    """The attempt's dispatch."""
    rendezvous: str
    """host:port at which rank 0 listens and the other ranks reach it."""
    join_s: float
    """How long the ranks wait for each other before and after they load."""
    run_s: float
    """How long a collective may take: the attempt's own time limit."""


class LoadModel(msgspec.Struct, frozen=True, tag="load"):
    """Import the model and load its weights. The agent sends this message once, first."""

    code: str
    """Directory of the version's code bundle."""
    weights: str
    entry_point: str
    """module:Class"""
    device: str
    """`cuda` (also for rocm), `cpu`, or another chipset's own name."""
    rank: int
    world_size: int
    threads: int
    """CPU threads the model may use."""
    gang: GangPlace | None = None
    """Set when `world_size` is more than 1."""


class RunModel(msgspec.Struct, frozen=True, tag="run"):
    """Compute one attempt. ModelSucceeded or ModelFailed answers."""

    dispatch: str
    inputs: msgspec.Raw
    directory: str
    """Where output files go; the child makes the directory when a model asks for its first output."""
    temporary: str
    """Where temporary files of the attempt go: the child's TMPDIR while `predict` runs."""
    frames_bytes_max: int
    """Of the pictures that the attempt hands over to be encoded."""


class CancelRun(msgspec.Struct, frozen=True, tag="cancel"):
    """Stop this attempt soon. The process is ended when the model does not notice."""

    dispatch: str


class ModelLoaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The model is loaded; a rank of a gang has met all other ranks, which are loaded too."""


class ModelProgressed(msgspec.Struct, frozen=True, tag="progress"):
    dispatch: str
    fraction: float
    message: str


class ModelSucceeded(msgspec.Struct, frozen=True, tag="succeeded"):
    dispatch: str
    outputs: tuple[str, ...]
    """Names of the files written under the attempt's directory."""
    values: msgspec.Raw
    """A JSON object."""
    media: tuple[HandedMedia, ...] = ()


class ModelFailed(msgspec.Struct, frozen=True, tag="failed"):
    dispatch: str
    """Empty when the model could not be loaded."""
    kind: str
    error: str
    """The exception's class name."""
    detail: str
    """Traceback. It may quote the user, so it goes to the object store only."""
    broken: bool = False
    """The process cannot compute any more, whatever it is given: only a new process mends that."""


ToModel = LoadModel | RunModel | CancelRun
FromModel = ModelLoaded | ModelProgressed | ModelSucceeded | ModelFailed

_decoder: msgspec.json.Decoder[FromModel] = msgspec.json.Decoder(FromModel)


def frame_decoder() -> FrameDecoder[FromModel]:
    """For what one model process sends."""
    return FrameDecoder(_decoder, "expected a loaded, progress, succeeded or failed frame")
