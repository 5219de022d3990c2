"""The model process: one standalone file, standard library only, run by the version's own Python interpreter.

`python -I child.py FD PARENT` talks to the agent over the socket FD: frames of a 4-byte big-endian length and a JSON
object with a `type`. Agent to child: `load`, `run`, `cancel`; child to agent: `loaded`, `progress`, `succeeded`,
`failed`. One attempt at a time, in the main thread, where CUDA and signal handlers of models expect to be. The process
dies with the thread of the agent that started it. It imports nothing of ours: nothing of ours is installed here.

A rank of a gang joins the others before its model loads, through the torch of the version's environment: the model
finds torch.distributed initialised. The process serves that one attempt.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import json
import os
import re
import select
import signal
import sys
import threading
import time
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

Frame = dict[str, Any]

FRAME_BYTES_MAX = 4 * 1024 * 1024
DETAIL_BYTES_MAX = 32 * 1024
MESSAGE_CHARACTERS_MAX = 200
OUTPUTS_MAX = 100
OUTPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
RESERVED_NAMES = ("manifest.json", "inputs.json", "error.txt")
PROGRESS_EVERY_S = 0.25
ECHO_S = 3.0
"""A rank that lost another waits so long before it says so: what befell the other one is the news."""
TORCH_ERRORS = (RuntimeError, OSError)
"""What torch.distributed may raise when others are not there in time: its own DistError is a RuntimeError."""
PR_SET_PDEATHSIG = 1
ENCODER = json.JSONEncoder(allow_nan=False)


class AgentGone(Exception):
    """The agent closed the pipe: there is nobody to work for."""


class BadOutputs(Exception):
    """What the model returned is no result."""


class Pipe:
    """Frames to and from the agent."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.received = bytearray()
        self.writing = threading.Lock()

    def read(self) -> Frame:
        """The next frame; waits for it. AgentGone at the end."""
        while True:
            frame = self._take()
            if frame is not None:
                return frame
            self._receive()

    def poll(self) -> Frame | None:
        """The next frame if one is there, else None."""
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


class Context:
    """What `predict` gets beside its inputs: `progress`, `cancelled`, `output`."""

    def __init__(self, pipe: Pipe, dispatch: str, directory: str) -> None:
        self._pipe = pipe
        self._dispatch = dispatch
        self._directory = directory
        self._cancelled = False
        self._progressed_s = 0.0
        self.outputs: list[str] = []

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how much is done (0 to 1), with a few words for whoever watches. Cheap: at most 4 a second are sent."""
        now_s = time.monotonic()
        if now_s - self._progressed_s < PROGRESS_EVERY_S:
            return
        self._progressed_s = now_s
        fraction = float(fraction)
        frame = {
            "type": "progress",
            "dispatch": self._dispatch,
            "fraction": min(1.0, max(0.0, fraction)) if fraction == fraction else 0.0,
            "message": str(message)[:MESSAGE_CHARACTERS_MAX],
        }
        self._pipe.write(json.dumps(frame).encode())

    def cancelled(self) -> bool:
        """Whether the attempt is to stop. A model that asks now and then, and returns, stays loaded."""
        while not self._cancelled:
            frame = self._pipe.poll()
            if frame is None:
                break
            if frame["type"] == "cancel" and frame["dispatch"] == self._dispatch:
                self._cancelled = True
        return self._cancelled

    def output(self, name: str) -> str:
        """Path to write an output file to. Names are letters, digits, '.', '_' and '-', at most 128 characters."""
        if not OUTPUT_NAME.fullmatch(name) or name in RESERVED_NAMES:
            raise ValueError(
                f"expected an output name of letters, digits, '.', '_', '-' that is none of {RESERVED_NAMES},"
                f" found {name!r}"
            )
        if name not in self.outputs:
            if len(self.outputs) >= OUTPUTS_MAX:
                raise ValueError(f"expected at most {OUTPUTS_MAX} outputs, found one more")
            self.outputs.append(name)
        directory = Path(self._directory)
        directory.mkdir(parents=True, exist_ok=True)
        return str(directory / name)


class GangTimeOut(Exception):
    """The ranks of a gang did not find each other in time."""


class Gang:
    """The ranks of one attempt: their process group, and a store in rank 0's process by which they wait for each
    other. What they store is named after the attempt, so that a stranger at the same port is not taken for a rank."""

    def __init__(self, frame: Frame) -> None:
        """Join. GangTimeOut, or what torch says of the address."""
        self.rank, self.world = frame["rank"], frame["world_size"]
        self.address, self.join_s = frame["gang"]["rendezvous"], frame["gang"]["join_s"]
        self.distributed = distributed = importlib.import_module("torch.distributed")
        run = timedelta(seconds=frame["gang"]["run_s"])
        join = timedelta(seconds=self.join_s)
        host, _, port = self.address.rpartition(":")
        started_s = time.monotonic()
        try:
            store = distributed.TCPStore(
                host.strip("[]"), int(port), self.world, self.rank == 0, timeout=join, wait_for_workers=False
            )
        except TORCH_ERRORS as error:
            if time.monotonic() - started_s < self.join_s:
                raise
            raise self._too_late("meet") from error
        self.store = distributed.PrefixStore(frame["gang"]["name"], store)
        self.meet("joined")
        store.set_timeout(run)
        backend = "nccl" if frame["device"] == "cuda" else "gloo"
        distributed.init_process_group(backend, store=self.store, rank=self.rank, world_size=self.world, timeout=run)
        self.run = run

    def meet(self, point: str) -> None:
        """Wait until every rank is at this point."""
        self._reach(point)
        started_s = time.monotonic()
        try:
            self._wait(point, timedelta(seconds=self.join_s))
        except TORCH_ERRORS as error:
            if time.monotonic() - started_s < self.join_s:
                raise
            raise self._too_late(point) from error

    def leave(self) -> None:
        """This rank has done its part. Rank 0 waits until all have: its success is that of all, and the store is in its
        process, which may end before another's word to it is answered."""
        if self.rank == 0:
            self._reach("done")
            self._wait("done", self.run)
        with contextlib.suppress(Exception):  # what this rank computed is worth more than a tidy end
            if self.rank > 0:
                self._reach("done")
            self.distributed.destroy_process_group()

    def echoes(self, error: BaseException) -> bool:
        """Whether the exception came out of torch.distributed or a wait of ours: most likely another rank is lost."""
        frame = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1]
        return str(frame.f_globals["__name__"]).startswith("torch.distributed") or frame.f_locals.get("self") is self

    def _reach(self, point: str) -> None:
        self.store.add(f"{point}/{self.rank}", 1)

    def _wait(self, point: str, limit: timedelta) -> None:
        self.store.wait([f"{point}/{rank}" for rank in range(self.world)], limit)

    def _too_late(self, point: str) -> GangTimeOut:
        return GangTimeOut(
            f"expected {self.world} ranks to have {point} at {self.address} within {self.join_s:g} s, found fewer; can"
            " the nodes reach each other there (HEADRACE_NODE_ADDRESS of rank 0's node, its 1,000 ports)?"
        )


def kind_of(error: BaseException, otherwise: str) -> str:
    """The failure kind (contract.inputs.FAILURE_KINDS) that an exception of the model means."""
    name = type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        return "out_of_memory"
    if name == "InvalidInputs":
        return "bad_inputs"
    if isinstance(error, BadOutputs):
        return "bad_outputs"
    if isinstance(error, GangTimeOut):
        return "time_out"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "store"
    return otherwise


def failed(dispatch: str, kind: str, error: BaseException) -> bytes:
    name = "ScratchFull" if kind == "store" else type(error).__name__
    detail = "".join(traceback.format_exception(error)).encode("utf-8", "replace")[-DETAIL_BYTES_MAX:]
    frame = {
        "type": "failed",
        "dispatch": dispatch,
        "kind": kind,
        "error": name[:80],
        "detail": detail.decode("utf-8", "replace"),
    }
    return json.dumps(frame).encode()


def limit_threads(threads: int) -> None:
    """Torch's own default is every core, which is ruinous beside another busy process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def load(frame: Frame) -> tuple[Any, Gang | None, bytes | None]:
    """(model, its gang if it is a rank of one, None), or as the last the frame to answer."""
    kind = "environment"
    gang = None
    try:
        sys.path.insert(0, frame["code"])
        module, _, name = frame["entry_point"].partition(":")
        model_class = getattr(importlib.import_module(module), name)
        limit_threads(frame["threads"])
        if frame["world_size"] > 1:
            gang = Gang(frame)
        kind = "model_error"
        model = model_class()
        model.load(frame["weights"], frame["device"], frame["rank"], frame["world_size"])
        limit_threads(frame["threads"])
        if gang is not None:
            gang.meet("loaded")
    except AgentGone:
        raise
    except BaseException as error:  # a model's own code, SystemExit included: a report, never a silent end
        wait_for_news(gang, error)
        return None, gang, failed("", kind_of(error, kind), error)
    return model, gang, None


def run(model: Any, gang: Gang | None, frame: Frame, pipe: Pipe) -> bytes:
    """One attempt. The frame to answer."""
    dispatch = frame["dispatch"]
    context = Context(pipe, dispatch, frame["directory"])
    try:
        values = model.predict(frame["inputs"], context)
        if gang is not None:
            gang.leave()
            if gang.rank > 0:  # the result is rank 0's
                return succeeded(dispatch, {}, [])
        return succeeded(dispatch, {} if values is None else values, context.outputs)
    except AgentGone:
        raise
    except BaseException as error:  # as above
        wait_for_news(gang, error)
        return failed(dispatch, kind_of(error, "model_error"), error)


def wait_for_news(gang: Gang | None, error: BaseException) -> None:
    """Another rank is lost: give its node the time to say why, upon which this process is ended."""
    if gang is not None and gang.echoes(error):
        time.sleep(ECHO_S)


def succeeded(dispatch: str, values: Any, outputs: list[str]) -> bytes:
    if not isinstance(values, dict):
        raise BadOutputs(f"expected predict to return a dict or None, found {type(values).__name__}")
    try:
        frame = {"type": "succeeded", "dispatch": dispatch, "outputs": outputs, "values": values}
        body = ENCODER.encode(frame).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadOutputs(f"expected values that are JSON: {error}") from None
    if len(body) > FRAME_BYTES_MAX:
        raise BadOutputs(f"expected at most {FRAME_BYTES_MAX} bytes of values, found {len(body)}; write a file instead")
    return body


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def serve(pipe: Pipe) -> None:
    model, gang = None, None
    while True:
        frame = pipe.read()
        if frame["type"] == "load":
            model, gang, refusal = load(frame)
            flush()
            pipe.write(refusal or b'{"type":"loaded"}')
            if refusal:
                return
        elif frame["type"] == "run" and model is not None:
            answer = run(model, gang, frame, pipe)
            flush()
            pipe.write(answer)
            if gang is not None:
                return


def main() -> None:
    fd, parent = int(sys.argv[1]), int(sys.argv[2])
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        return
    os.set_inheritable(fd, False)
    with contextlib.suppress(AgentGone):
        serve(Pipe(fd))


if __name__ == "__main__":
    main()
