"""What all children of a slot have in common."""

from __future__ import annotations

from runtime.worker.launch import child_environment, launches_of
from runtime.worker.node import NodeIdentity


def test_a_child_gets_none_of_the_agents_environment_but_what_it_needs() -> None:
    inherited = {"PATH": "/bin", "HEADRACE_KAFKA": "k", "DATABASE_URL": "d", "AWS_SECRET_ACCESS_KEY": "a"}
    kept = {"CUDA_VISIBLE_DEVICES": "4,5,6,7", "NCCL_SOCKET_IFNAME": "eth1", "GLOO_SOCKET_IFNAME": "eth2"}
    environment = child_environment(inherited | kept, 2, [2, 3])
    assert (environment["NCCL_SOCKET_IFNAME"], environment["GLOO_SOCKET_IFNAME"]) == ("eth1", "eth2")
    assert environment["CUDA_VISIBLE_DEVICES"] == "6,7"
    assert environment["HIP_VISIBLE_DEVICES"] == "2,3"
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "2"
    assert not set(environment) & {"HEADRACE_KAFKA", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"}


def test_slots_share_cores_and_gpus_out() -> None:
    node = NodeIdentity("main", "n", 4, "rocm", 2, 0, 0, 10, 5.0)
    launches = launches_of(node, {"PATH": "/bin"})
    assert [launch.environment["HIP_VISIBLE_DEVICES"] for launch in launches] == ["0,1", "2,3", "4,5", "6,7"]
    assert {(launch.threads, launch.device, launch.environment["OMP_NUM_THREADS"]) for launch in launches} == {
        (2, "cuda", "2")
    }
