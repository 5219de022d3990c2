"""What all children of a slot have in common: the scrubbed environment, the device, the share of the cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.settings import FRAMES_BYTES_MAX
from runtime.worker.node import NodeIdentity

KEPT_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "GLOO_SOCKET_IFNAME",
)
"""With NCCL's, all variables of the agent's environment that a child inherits. None of them holds a credential."""

NCCL_PREFIX = "NCCL_"
"""Settings of how the GPUs of a gang reach each other (network interface, InfiniBand), which differ by installation."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def child_environment(inherited: Mapping[str, str], threads: int, gpus: Sequence[int]) -> dict[str, str]:
    """The environment of every child of a slot. `gpus`: indices into the GPUs that this node may use."""
    kept = {n: value for n, value in inherited.items() if n in KEPT_VARIABLES or n.startswith(NCCL_PREFIX)}
    kept |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    if gpus:
        for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
            present = [device for device in kept.get(name, "").split(",") if device]
            kept[name] = ",".join(present[gpu] if gpu < len(present) else str(gpu) for gpu in gpus)
    return kept


@dataclass(frozen=True, slots=True)
class ChildLaunch:
    """What all children of a slot have in common."""

    index: int
    environment: Mapping[str, str]
    device: str
    threads: int
    memory_mib: int = 0
    """Memory of the slot; 0: not known."""
    frames_bytes_max: int = FRAMES_BYTES_MAX
    """Of pictures that one attempt hands over to be encoded, before they are."""


def launches_of(
    node: NodeIdentity, inherited: Mapping[str, str], frames_bytes_max: int = FRAMES_BYTES_MAX
) -> list[ChildLaunch]:
    """For each slot, what its children have in common. Cores and GPUs are shared out evenly."""
    threads = max(1, node.cores // node.slots)
    device = "cuda" if node.chipset in ("cuda", "rocm") else node.chipset
    launches = []
    for index in range(node.slots):
        gpus = range(index * node.gpus, (index + 1) * node.gpus)
        launches.append(
            ChildLaunch(
                index,
                child_environment(inherited, threads, gpus),
                device,
                threads,
                node.memory_mib,
                frames_bytes_max,
            )
        )
    return launches
