"""The frames between agent and child: a 4-byte big-endian length, then JSON. run_model.py has the other end.

The child is not trusted: a frame that is too long or is none of these ends it and the attempt it had, nothing else, and
the agent never waits on its pipe. Values are looked at where there is time for it (gpu_worker.io.checker).
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


class BadFrame(msgspec.Struct, frozen=True):
    """The child sent what is no frame. What it sends after that cannot be told apart."""

    reason: str
    """What was expected and what was found; quotes nothing of it."""


def encode(message: ToChild) -> bytes:
    """The frame's bytes. ValueError when it is longer than FRAME_BYTES_MAX."""
    body = _encoder.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise ValueError(f"expected a frame of at most {FRAME_BYTES_MAX} bytes, found {len(body)}")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class Unframer:
    """Cuts what arrives from a child into frames: the same ones in whatever pieces it arrives."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._bad: BadFrame | None = None

    def feed(self, data: bytes) -> list[FromChild | BadFrame]:
        """The frames that are complete with `data`. One that is none ends the list, and all that comes after it.

        Holds no more than one frame and `data`."""
        frames: list[FromChild | BadFrame] = []
        self._received += data
        while self._bad is None and (frame := self._next()) is not None:
            frames.append(frame)
            if isinstance(frame, BadFrame):
                self._bad = frame
        if self._bad is not None:
            self._received.clear()
            return frames or [self._bad]
        return frames

    def _next(self) -> FromChild | BadFrame | None:
        received = self._received
        if len(received) < _LENGTH_BYTES:
            return None
        end = _LENGTH_BYTES + int.from_bytes(received[:_LENGTH_BYTES], "big")
        if end > _LENGTH_BYTES + FRAME_BYTES_MAX:
            return BadFrame(f"expected a frame of at most {FRAME_BYTES_MAX} bytes, found {end - _LENGTH_BYTES}")
        if len(received) < end:
            return None
        body = bytes(received[_LENGTH_BYTES:end])
        del received[:end]
        return _decoded(body)


def _decoded(body: bytes) -> FromChild | BadFrame:
    expected = "expected a loaded, progress, succeeded or failed frame"
    try:
        frame: FromChild = _decoder.decode(body)
    except UnicodeDecodeError:
        return BadFrame(f"{expected} in UTF-8, found other bytes")
    except RecursionError:
        return BadFrame(f"{expected}, found one that is nested too deep")
    except (msgspec.MsgspecError, OverflowError):
        return BadFrame(f"{expected}, found another")
    return frame
