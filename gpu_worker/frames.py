"""The frames between agent and child: a 4-byte big-endian length, then JSON. child.py has the other end.

The child is not trusted: a frame that is too long or is none of these ends it, and the agent never waits on its pipe.
"""

from __future__ import annotations

import msgspec

FRAME_BYTES_MAX = 4 * 1024 * 1024
"""The largest frame either way, without its length; also the most that a model's values may take."""

_LENGTH_BYTES = 4


class Gang(msgspec.Struct, frozen=True):
    """How a rank finds the others of its attempt."""

    name: str
    """The attempt's dispatch."""
    rendezvous: str
    """host:port at which rank 0 listens and the others reach it."""
    join_s: float
    """How long the ranks wait for each other before and after they load."""
    run_s: float
    """How long a collective may take: the attempt's own time limit."""


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Import the model and load its weights. Sent once, first."""

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
    gang: Gang | None = None
    """Set when `world_size` is more than 1."""


class Compute(msgspec.Struct, frozen=True, tag="run"):
    """Compute one attempt; answered by Succeeded or Failed."""

    dispatch: str
    inputs: msgspec.Raw
    directory: str
    """Where output files go; the child makes it when the first is asked for."""


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Stop this attempt soon, of your own will: the process is killed otherwise."""

    dispatch: str


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    pass


class Progressed(msgspec.Struct, frozen=True, tag="progress"):
    dispatch: str
    fraction: float
    message: str


class Succeeded(msgspec.Struct, frozen=True, tag="succeeded"):
    dispatch: str
    outputs: tuple[str, ...]
    """Names of the files written under the attempt's directory."""
    values: msgspec.Raw
    """A JSON object."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    dispatch: str
    """Empty when the model could not be loaded."""
    kind: str
    error: str
    """The exception's class name."""
    detail: str
    """Traceback; may quote the user, so it goes to the object store only."""


ToChild = Load | Compute | Cancel
FromChild = Loaded | Progressed | Succeeded | Failed

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(FromChild)


class BadFrame(Exception):
    """The child sent what is no frame. The message quotes nothing of it."""


def encode(message: ToChild) -> bytes:
    """The frame's bytes. ValueError when it is longer than FRAME_BYTES_MAX."""
    body = _encoder.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise ValueError(f"expected a frame of at most {FRAME_BYTES_MAX} bytes, found {len(body)}")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class Unframer:
    """Cuts what arrives from a child into frames."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> list[FromChild]:
        """The frames that are complete with `data`. BadFrame when there is something else."""
        received = self._received
        received += data
        frames: list[FromChild] = []
        start = 0
        while len(received) - start >= _LENGTH_BYTES:
            body = start + _LENGTH_BYTES
            length = int.from_bytes(received[start:body], "big")
            if length > FRAME_BYTES_MAX:
                raise BadFrame(f"expected a frame of at most {FRAME_BYTES_MAX} bytes, found {length}")
            if len(received) < body + length:
                break
            try:
                frames.append(_decoder.decode(bytes(received[body : body + length])))
            except msgspec.MsgspecError:
                raise BadFrame("expected a loaded, progress, succeeded or failed frame, found another") from None
            start = body + length
        del received[:start]
        return frames
