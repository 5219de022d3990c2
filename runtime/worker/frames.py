"""The frames between a node's agent and a child process: a 4-byte big-endian length, then a JSON object.

The child is not trusted. A frame that is too long, or that is no message of the kind of child, ends the child and the
attempt it had, and nothing else; the agent never waits on the pipe. Which messages there are is the kind of child's
(gpu_worker.child.messages).
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

FRAME_BYTES_MAX = 4 * 1024 * 1024
"""The largest frame either way, without its length; also the most that a model's values may take."""

_LENGTH_BYTES = 4

_encoder = msgspec.json.Encoder()

Message = TypeVar("Message", bound=msgspec.Struct)
"""What the child may send."""


class BadFrame(msgspec.Struct, frozen=True):
    """The child sent what is no frame. What it sends after that cannot be told apart."""

    reason: str
    """What was expected and what was found; quotes nothing that the child sent."""


def encode(message: msgspec.Struct) -> bytes:
    """The frame's bytes. ValueError when the frame is longer than FRAME_BYTES_MAX."""
    body = _encoder.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise ValueError(f"expected a frame of at most {FRAME_BYTES_MAX} bytes, found {len(body)}")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameDecoder(Generic[Message]):
    """Cuts what arrives from a child into messages: the same messages in whatever pieces the bytes arrive."""

    def __init__(self, decoder: msgspec.json.Decoder[Message], expected: str) -> None:
        """`expected`: which messages there are, in the words of a BadFrame."""
        self._decoder = decoder
        self._expected = expected
        self._received = bytearray()
        self._bad: BadFrame | None = None

    def feed(self, data: bytes) -> list[Message | BadFrame]:
        """The messages that are complete with `data`. A BadFrame ends the list: all that comes after it is dropped.

        Holds no more than one frame and `data`."""
        found: list[Message | BadFrame] = []
        self._received += data
        while self._bad is None and (message := self._next()) is not None:
            found.append(message)
            if isinstance(message, BadFrame):
                self._bad = message
        if self._bad is not None:
            self._received.clear()
            return found or [self._bad]
        return found

    def _next(self) -> Message | BadFrame | None:
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
        return self._decoded(body)

    def _decoded(self, body: bytes) -> Message | BadFrame:
        try:
            message: Message = self._decoder.decode(body)
        except UnicodeDecodeError:
            return BadFrame(f"{self._expected} in UTF-8, found other bytes")
        except RecursionError:
            return BadFrame(f"{self._expected}, found one that is nested too deep")
        except (msgspec.MsgspecError, OverflowError):
            return BadFrame(f"{self._expected}, found another")
        return message
