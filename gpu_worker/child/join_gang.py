"""A rank of a gang, in the model process: how it finds the other ranks before its model loads, and how they part.

`run_model.py` loads this file, from the folder of both, for ranks of a gang only. The ranks join through the torch of
the version's environment, so the model finds torch.distributed initialised. Except torch, this file imports only the
standard library: nothing of ours is installed here.
"""

from __future__ import annotations

import contextlib
import importlib
import time
import traceback
from datetime import timedelta
from typing import Any

TORCH_ERRORS = (RuntimeError, OSError)
"""What torch.distributed may raise when other ranks are not there in time. Its own DistError is a RuntimeError."""


class GangTimeOut(Exception):
    """The ranks of a gang did not find each other in time."""


class JoinedGang:
    """The ranks of one attempt, as one rank sees them: their process group, and a store in rank 0's process by which
    they wait for each other. The store's keys are named after the attempt, so that a stranger at the same port is not
    taken for a rank."""

    def __init__(self, frame: dict[str, Any]) -> None:
        """Join the other ranks. GangTimeOut, or what torch raises when the address cannot be used."""
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
        """This rank has done its part. Rank 0 waits until all ranks have: its success is that of all, and the store in
        its process must not end while other ranks still talk to the store."""
        if self.rank == 0:
            self._reach("done")
            self._wait("done", self.run)
        with contextlib.suppress(Exception):  # what this rank computed is worth more than a tidy end
            if self.rank > 0:
                self._reach("done")
            self.distributed.destroy_process_group()

    def echoes(self, error: BaseException) -> bool:
        """Whether the exception came out of torch.distributed or a wait of ours. Most likely another rank is lost."""
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
