"""The model process: standard library only, run by the version's own Python interpreter.

`python -I run_model.py FD PARENT` talks to the agent over the socket FD: frames of a 4-byte big-endian length and a
JSON object with a `type`. Agent to child: `load`, `run`, `cancel`; child to agent: `loaded`, `progress`, `succeeded`,
`failed`. Attempts run one at a time, in the main thread, where CUDA and signal handlers of models expect to be. The
process dies with the agent's thread that started it. This file imports nothing of ours: nothing of ours is installed
here.

A rank of a gang joins the other ranks before its model loads (join_gang.py, loaded for such a rank only). Its process
serves that one attempt.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import importlib.util
import io
import json
import os
import re
import signal
import sys
import time
import traceback
from functools import cache
from pathlib import Path
from typing import Any

Frame = dict[str, Any]

DETAIL_BYTES_MAX = 32 * 1024
MESSAGE_CHARACTERS_MAX = 200
VALUE_LEAST, VALUE_MOST = -(2**63), 2**64 - 1
DEPTH_MAX = 64
PLACE_CHARACTERS_MAX = 200
NO_CHARACTER = re.compile("[\0\ud800-\udfff]")
OUTPUTS_MAX = 100
OUTPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
RESERVED_NAMES = ("manifest.json", "inputs.json", "error.txt")
PROGRESS_EVERY_S = 0.25
ECHO_S = 3.0
"""A rank that lost another rank waits this long before it says so, because the fate of the other rank is the news."""
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ENCODER = json.JSONEncoder(allow_nan=False)


def beside(name: str) -> Any:
    """A module in the folder of this file. Loaded by path: a model can neither shadow nor import the file."""
    spec = importlib.util.spec_from_file_location(f"headrace_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None, f"{name}.py is installed beside run_model.py"
    assert spec.loader is not None, f"{name}.py is a source file"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PIPE = beside("agent_pipe")
FRAME_BYTES_MAX: int = PIPE.FRAME_BYTES_MAX


class BadValues(Exception):
    """What the model returned is no result: no JSON, or JSON that not every reader of the result can hold."""


def mended(text: str) -> str:
    """The text with each NUL and each half of a surrogate pair replaced: for what a model says of itself."""
    return NO_CHARACTER.sub("\ufffd", text)


ValuePlace = tuple[Any, ...]
"""Where a value is: () for the whole, else (place of the dict or list around the value, its name or number there)."""


def fault_of(values: Any) -> str:
    """Which of the values not every reader of JSON can hold, and where: `values/title: expected …, found …`. Empty when
    all can be held.

    The agent checks again, because a child is not trusted; only here is the place of a value known. The check takes
    time in proportion to a frame's size, even where the same list stands in many places."""
    waiting: list[tuple[Any, int, ValuePlace]] = [(values, 0, ())]
    room = FRAME_BYTES_MAX
    while waiting:
        value, depth, place = waiting.pop()
        fault = ""
        if isinstance(value, str):
            fault = text_fault(value)
            room -= len(value)
        elif isinstance(value, float):
            if value != value or value in (float("inf"), float("-inf")):
                fault = "expected a finite number, found none"
        elif isinstance(value, int):
            if not VALUE_LEAST <= value <= VALUE_MOST:
                fault = f"expected whole numbers from {VALUE_LEAST} to {VALUE_MOST}, found another"
        elif isinstance(value, (dict, list, tuple)):
            room -= 2 * len(value)
            if depth >= DEPTH_MAX:
                fault = f"expected lists and objects at most {DEPTH_MAX} deep, found more"
            elif room > 0 and isinstance(value, dict):
                waiting += [(part, depth + 1, (place, name)) for name, part in value.items()]
                waiting += [(name, depth + 1, (place, "a name")) for name in value if isinstance(name, str)]
            elif room > 0:
                waiting += [(part, depth + 1, (place, number)) for number, part in enumerate(value)]
        elif value is not None:
            fault = f"expected a dict, list, text, number, bool or None, found {type(value).__name__}"
        if fault:
            return f"{path_of(place)}: {fault}"
        if room < 0:
            return f"values: expected at most {FRAME_BYTES_MAX} bytes, found more; write a file instead"
    return ""


def text_fault(text: str) -> str:
    found = NO_CHARACTER.search(text)
    if found is None:
        return ""
    if found[0] == "\0":
        return "expected text without the character NUL, found one"
    return "expected whole characters, found half a surrogate pair"


def path_of(place: ValuePlace) -> str:
    parts: list[str] = []
    while place:
        place, part = place
        numbered = isinstance(part, int) and VALUE_LEAST <= part <= VALUE_MOST
        parts.append(mended(part) if isinstance(part, str) else str(part) if numbered else "a name")
    return "/".join(["values", *reversed(parts)])[:PLACE_CHARACTERS_MAX]


@cache
def made_media() -> Any:
    """Loaded by the first model that hands pictures over."""
    return beside("made_media")


class Context:
    """What `predict` gets beside its inputs: `progress`, `cancelled`, `output`, `video`, `image`."""

    def __init__(self, pipe: Any, dispatch: str, directory: str, frames_bytes_max: int = 0) -> None:
        self._pipe = pipe
        self._dispatch = dispatch
        self._directory = directory
        self._frames_bytes_max = frames_bytes_max
        self._media: Any = None
        self._cancelled = False
        self._progressed_s = 0.0
        self._fraction = 0.0
        self.outputs: list[str] = []

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how much is done (0 to 1), with a few words for whoever watches. At most 4 calls a second send."""
        now_s = time.monotonic()
        if now_s - self._progressed_s < PROGRESS_EVERY_S:
            return
        self._progressed_s = now_s
        words = ""
        with contextlib.suppress(Exception):  # a message without words, or a fraction that is no number, fails nothing
            words = str(message)[:MESSAGE_CHARACTERS_MAX]
        with contextlib.suppress(Exception):
            fraction = float(fraction)
            if fraction == fraction:
                self._fraction = min(1.0, max(0.0, fraction))
        frame = {
            "type": "progress",
            "dispatch": self._dispatch,
            "fraction": self._fraction,
            "message": mended(words),
        }
        self._pipe.write(json.dumps(frame).encode())

    def cancelled(self) -> bool:
        """Whether the attempt is to stop. A model that asks now and then, and returns when told so, stays loaded."""
        while not self._cancelled:
            frame = self._pipe.poll()
            if frame is None:
                break
            if frame["type"] == "cancel" and frame["dispatch"] == self._dispatch:
                self._cancelled = True
        return self._cancelled

    def output(self, name: str) -> str:
        """Path to write an output file to. Names are letters, digits, '.', '_' and '-', at most 128 characters."""
        if name not in self.outputs:
            self._check_new([name])
            self.outputs.append(name)
        directory = Path(self._directory)
        directory.mkdir(parents=True, exist_ok=True)
        return str(directory / name)

    def video(self, name: str, frames: Any, fps: float) -> int:
        """Hand frames over to be encoded as the output `name`, which ends in .mp4, and go on: the node encodes them
        when `predict` has returned, and makes a poster and a thumbnail of the first frame.

        `frames`: an array or a tensor [frames, height, width, 3], on any device, or an iterable of arrays
        [height, width, 3] as they are made. uint8, or float from 0 to 1. How many frames there were is returned."""
        return int(self._handed("video", name).video(name, frames, fps))

    def image(self, name: str, picture: Any) -> None:
        """As `video`, of one picture [height, width, 3] as an output `name` that ends in .png or .jpg."""
        self._handed("image", name).image(name, picture)

    @property
    def media(self) -> list[Frame]:
        """What was handed over to be encoded."""
        return [] if self._media is None else self._media.made

    def _handed(self, kind: str, name: str) -> Any:
        self._check_new(made_media().names_of(kind, str(name)))
        if self._media is None:
            self._media = made_media().MadeMedia(self._directory, self._frames_bytes_max)
        return self._media

    def _check_new(self, names: list[str]) -> None:
        """ValueError when the attempt may not have outputs of these names, too."""
        for name in names:
            if not OUTPUT_NAME.fullmatch(name) or name in RESERVED_NAMES:
                raise ValueError(
                    f"expected an output name of letters, digits, '.', '_', '-' that is none of {RESERVED_NAMES},"
                    f" found {name!r}"
                )
        taken = {*self.outputs, *([] if self._media is None else self._media.names)}
        for name in taken.intersection(names):
            raise ValueError(f"expected outputs of different names, found {name!r} twice")
        if len(taken) + len(names) > OUTPUTS_MAX:
            raise ValueError(f"expected at most {OUTPUTS_MAX} outputs, found one more")


def kind_of(error: BaseException, otherwise: str) -> str:
    """The failure kind (contract.inputs.FAILURE_KINDS) that an exception of the model means."""
    name = type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        return "out_of_memory"
    if name == "InvalidInputs":
        return "bad_inputs"
    if isinstance(error, BadValues):
        return "bad_values"
    if name == "MediaTooLarge":
        return "bad_outputs"
    if name == "GangTimeOut":
        return "time_out"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "store"
    return otherwise


def failed(dispatch: str, kind: str, error: BaseException) -> bytes:
    name = "ScratchFull" if kind == "store" else type(error).__name__
    words = f"{error}\n" if isinstance(error, BadValues) else "".join(traceback.format_exception(error))
    detail = mended(words).encode()[-DETAIL_BYTES_MAX:]
    frame = {
        "type": "failed",
        "dispatch": dispatch,
        "kind": kind,
        "error": mended(name[:80]),
        "detail": detail.decode("utf-8", "replace"),
        "broken": is_broken(error),
    }
    return json.dumps(frame).encode()


def limit_threads(threads: int) -> None:
    """By default torch uses every core, which ruins both processes when another is busy."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def load(frame: Frame) -> tuple[Any, Any, bytes | None]:
    """(model, its gang or None, None); when the model does not load, the last is the frame to answer."""
    kind = "environment"
    gang = None
    try:
        sys.path.insert(0, frame["code"])
        module, _, name = frame["entry_point"].partition(":")
        model_class = getattr(importlib.import_module(module), name)
        limit_threads(frame["threads"])
        if frame["world_size"] > 1:
            gang = beside("join_gang").JoinedGang(frame)
        kind = "model_error"
        model = model_class()
        model.load(frame["weights"], frame["device"], frame["rank"], frame["world_size"])
        limit_threads(frame["threads"])
        if gang is not None:
            gang.meet("loaded")
    except PIPE.AgentGone:
        raise
    except BaseException as error:  # the model's own code may raise anything, SystemExit too, and must be reported
        wait_for_news(gang, error)
        return None, gang, failed("", kind_of(error, kind), error)
    return model, gang, None


def run(model: Any, gang: Any, frame: Frame, pipe: Any) -> bytes:
    """Compute one attempt. Returns the frame to answer."""
    dispatch = frame["dispatch"]
    context = Context(pipe, dispatch, frame["directory"], frame["frames_bytes_max"])
    kept, home = os.environ["TMPDIR"], os.environ["HOME"]
    use_temporary(frame["temporary"], frame["temporary"])
    try:
        values = model.predict(frame["inputs"], context)
        if gang is not None:
            gang.leave()
            if gang.rank > 0:  # the result is that of rank 0
                return succeeded(dispatch, {}, [], [])
        return succeeded(dispatch, {} if values is None else values, context.outputs, context.media)
    except PIPE.AgentGone:
        raise
    except BaseException as error:  # as above
        wait_for_news(gang, error)
        return failed(dispatch, kind_of(error, "model_error"), error)
    finally:
        use_temporary(kept, home)


def use_temporary(directory: str, home: str) -> None:
    """Make temporary files there from now on: what an attempt makes goes with it, what `load` made stays. The home
    changes too: what a library puts there during one tenant's attempt is not there in another's."""
    os.environ["TMPDIR"], os.environ["HOME"] = directory, home
    tempfile: Any = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.tempdir = directory


def is_broken(error: BaseException) -> bool:
    """Whether this process cannot compute any more. A look that fails says no: the failure itself must be reported."""
    with contextlib.suppress(Exception):
        return bool(beside("device_errors").is_broken(error))
    return False


def wait_for_news(gang: Any, error: BaseException) -> None:
    """When another rank is lost, give its node time to say why: the agent then ends this process."""
    if gang is not None and gang.echoes(error):
        time.sleep(ECHO_S)


def succeeded(dispatch: str, values: Any, outputs: list[str], media: list[Frame]) -> bytes:
    if not isinstance(values, dict):
        raise BadValues(f"values: expected predict to return a dict or None, found {type(values).__name__}")
    fault = fault_of(values)
    if fault:
        raise BadValues(fault)
    try:
        frame = {"type": "succeeded", "dispatch": dispatch, "outputs": outputs, "media": media, "values": values}
        body = ENCODER.encode(frame).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadValues(f"values: expected JSON, found what is none: {error}") from None
    if len(body) > FRAME_BYTES_MAX:
        raise BadValues(f"values: expected at most {FRAME_BYTES_MAX} bytes, found {len(body)}; write a file instead")
    return body


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def serve(pipe: Any) -> None:
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
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what a model detaches stays below this process, and ends after it
    if os.getppid() != parent:  # the agent died before the line above
        return
    os.set_inheritable(fd, False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # half a surrogate pair in a print fails nothing
    with contextlib.suppress(PIPE.AgentGone):
        serve(PIPE.Pipe(fd))


if __name__ == "__main__":
    main()
