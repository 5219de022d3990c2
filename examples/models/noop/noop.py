"""The model that does nothing. Its environment is empty: it uses the standard library only."""

import os
import time
from pathlib import Path

PROGRESS_EVERY_S = 0.05


class InvalidInputs(Exception):
    """The inputs are wrong, and no retry can mend them. The node recognises this class by its name."""


class Noop:
    def load(self, weights_dir, device, rank, world_size):
        """Nothing to load."""

    def predict(self, inputs, ctx):
        """Sleep, fail or write a file as the inputs say."""
        if inputs.get("sleep_ms"):
            sleep(inputs["sleep_ms"] / 1000, ctx)
        if "fail" in inputs:
            fail(inputs["fail"])
        if "output_bytes" in inputs:
            write(ctx.output("output.bin"), inputs["output_bytes"])
        return {}


def sleep(seconds, ctx):
    start = time.monotonic()
    while (done := time.monotonic() - start) < seconds and not ctx.cancelled():
        ctx.progress(done / seconds, "sleeping")
        time.sleep(min(PROGRESS_EVERY_S, seconds - done))


def fail(how):
    if how == "raise":
        raise RuntimeError("told to raise")
    if how == "invalid":
        raise InvalidInputs("told to refuse the inputs")
    if how == "exit":
        os._exit(3)
    while True:  # hang: never ask whether the job was cancelled
        time.sleep(3600)


def write(path, size):
    block = bytes(1024 * 1024)
    with Path(path).open("wb") as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
