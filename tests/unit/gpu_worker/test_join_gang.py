"""How a rank finds the others and parts from them, on a torch.distributed of lists. With processes:
tests/process/gpu_worker/test_child_gangs.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from gpu_worker.child import join_gang
from gpu_worker.child.join_gang import GangTimeOut, JoinedGang

JOIN_S, RUN_S = 600.0, 30.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Distributed(ModuleType):
    """Notes what it is asked; `wait` takes `takes_s` and raises `fault`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__("torch.distributed")
        self.clock, self.told, self.takes_s = clock, list[tuple[Any, ...]](), 0.0
        self.fault: Exception | None = None

    def TCPStore(self, host: str, port: int, world: int, is_master: bool, **more: Any) -> Distributed:
        self.told.append(("store", host, port, world, is_master, more["timeout"].total_seconds()))
        return self

    def PrefixStore(self, name: str, store: Distributed) -> Distributed:
        self.told.append(("prefix", name))
        return self

    def add(self, key: str, value: int) -> None:
        self.told.append(("add", key))

    def wait(self, keys: list[str], limit: timedelta) -> None:
        self.told.append(("wait", *keys, limit.total_seconds()))
        self.clock.now_s += self.takes_s
        if self.fault is not None:
            raise self.fault

    def set_timeout(self, limit: timedelta) -> None:
        self.told.append(("limit", limit.total_seconds()))

    def init_process_group(self, backend: str, **more: Any) -> None:
        self.told.append(("group", backend, more["rank"], more["world_size"]))

    def destroy_process_group(self) -> None:
        self.told.append(("destroy",))


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Distributed:
    clock = Clock()
    distributed = Distributed(clock)
    monkeypatch.setattr(join_gang, "time", clock)
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    monkeypatch.setitem(sys.modules, "torch.distributed", distributed)
    return distributed


def frame(rank: int, device: str = "cpu", rendezvous: str = "10.0.0.1:4000") -> dict[str, Any]:
    gang = {"name": "1.2.3", "rendezvous": rendezvous, "join_s": JOIN_S, "run_s": RUN_S}
    return {"rank": rank, "world_size": 2, "device": device, "gang": gang}


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda", "nccl")])
def test_a_rank_joins_under_the_name_of_its_attempt(torch: Distributed, device: str, backend: str) -> None:
    JoinedGang(frame(0, device, "[fd00::1]:4000"))
    assert torch.told == [
        ("store", "fd00::1", 4000, 2, True, JOIN_S),
        ("prefix", "1.2.3"),
        ("add", "joined/0"),
        ("wait", "joined/0", "joined/1", JOIN_S),
        ("limit", RUN_S),
        ("group", backend, 0, 2),
    ]


def test_ranks_that_do_not_come_in_time_are_too_late_and_any_other_fault_is_torchs_own(torch: Distributed) -> None:
    gang = JoinedGang(frame(1))
    torch.fault = RuntimeError("wait timeout")
    with pytest.raises(RuntimeError, match="wait timeout"):
        gang.meet("loaded")
    torch.takes_s = JOIN_S
    with pytest.raises(GangTimeOut, match=r"2 ranks to have loaded at 10\.0\.0\.1:4000 within 600 s"):
        gang.meet("loaded")


def test_rank_0_waits_for_all_others_and_they_for_nobody(torch: Distributed) -> None:
    first, second = JoinedGang(frame(0)), JoinedGang(frame(1))
    torch.told.clear()
    first.leave()
    assert torch.told == [("add", "done/0"), ("wait", "done/0", "done/1", RUN_S), ("destroy",)]
    torch.told.clear()
    second.leave()
    assert torch.told == [("add", "done/1"), ("destroy",)]


def raised(call: Callable[[], object]) -> BaseException:
    with pytest.raises((RuntimeError, GangTimeOut)) as found:
        call()
    return found.value


def test_an_error_of_torch_distributed_or_of_a_wait_of_ours_is_an_echo_and_the_models_own_is_not(
    torch: Distributed,
) -> None:
    gang = JoinedGang(frame(0))
    lost: dict[str, Any] = {"__name__": "torch.distributed.distributed_c10d"}
    exec("def all_reduce(): raise RuntimeError('Connection closed by peer')", lost)
    torch.fault, torch.takes_s = RuntimeError("wait timeout"), JOIN_S
    assert gang.echoes(raised(lambda: lost["all_reduce"]()))
    assert gang.echoes(raised(lambda: gang.meet("loaded")))
    assert not gang.echoes(raised(_of_the_model))


def _of_the_model() -> None:
    raise RuntimeError("of the model")
