"""The model process's end of the pipe to its agent: frames of a 4-byte big-endian length and a JSON object.

`run_model.py` loads this file, from the folder of both. This file imports only the standard library: nothing of ours is
installed here.
"""

from __future__ import annotations

import json
import os
import select
import threading
from typing import Any

Frame = dict[str, Any]

FRAME_BYTES_MAX = 4 * 1024 * 1024


class AgentGone(Exception):
    """The agent closed the pipe: nobody wants results any more."""


class Pipe:
    """Frames to and from the agent."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.received = bytearray()
        self.writing = threading.Lock()

    def read(self) -> Frame:
        """Wait for the next frame. AgentGone when the agent closed the pipe."""
        while True:
            frame = self._take()
            if frame is not None:
                return frame
            self._receive()

    def poll(self) -> Frame | None:
        """The next frame if a frame has arrived, else None."""
        frame = self._take()
        while frame is None and select.select([self.fd], [], [], 0)[0]:
            self._receive()
            frame = self._take()
        return frame

    def write(self, body: bytes) -> None:
        data = len(body).to_bytes(4, "big") + body
        try:
            with self.writing:  # a model may report progress from a thread of its own
                while data:
                    data = data[os.write(self.fd, data) :]
        except OSError:
            raise AgentGone from None

    def _take(self) -> Frame | None:
        if len(self.received) < 4:
            return None
        end = 4 + int.from_bytes(self.received[:4], "big")
        if end > 4 + FRAME_BYTES_MAX:
            raise AgentGone
        if len(self.received) < end:
            return None
        frame: Frame = json.loads(self.received[4:end].decode())
        del self.received[:end]
        return frame

    def _receive(self) -> None:
        try:
            chunk = os.read(self.fd, 65536)
        except OSError:
            chunk = b""
        if not chunk:
            raise AgentGone
        self.received += chunk
