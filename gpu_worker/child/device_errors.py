"""Errors after which a process cannot compute any more, in the model process: a GPU's context that is lost stays lost.

`run_model.py` loads this file, from the folder of both, when an attempt failed. Whether the process is broken is
decided by what the device itself says, and by the classes, codes and phrases with which the CUDA, HIP and NCCL
libraries and torch report such errors. The agent is told yes or no, and no word of the error. This file imports only
the standard library: nothing of ours is installed here.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

CLASSES = (
    "AcceleratorError",
    "CUDADriverError",
    "CUDARuntimeError",
    "CudaAPIError",
    "DistBackendError",
    "RuntimeError",
    "XlaRuntimeError",
)
"""Classes, or bases of classes, in which libraries report an error of a device: torch's, cupy's, numba's, JAX's. An
error of any other class may quote the phrases below (a user's text does) and means nothing."""

CODES = frozenset({214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721})
"""cudaError_t (`error_code` of torch's AcceleratorError) of which CUDA's documentation says that the process must be
ended: uncorrectable ECC and NVLink errors, a contained memory error, illegal address, time-out of a launch, assert,
errors of the hardware's stack, instruction, alignment, address space, program counter, launch failure, tensor memory.
"""

PHRASES = (
    "cudaerrorassert",
    "cudaerrorecc",
    "cudaerrorillegal",
    "cudaerrorlaunchfailure",
    "cudaerrorlaunchtimeout",
    "cudaerrormisaligned",
    "cublas_status_execution_failed",
    "cudnn_status_execution_failed",
    "device-side assert",
    "hardware stack error",
    "hiperrorillegaladdress",
    "hiperrorlaunchfailure",
    "hsa_status_error",
    "illegal instruction was encountered",
    "illegal memory access",
    "invalid program counter",
    "misaligned address",
    "nccl communicator was aborted",
    "operation not supported on global/shared address space",
    "the launch timed out and was terminated",
    "uncorrectable ecc",
    "uncorrectable nvlink",
    "unspecified launch failure",
)
"""As the libraries write them, in lower case. torch before 2.8 has no class and no code for them, only RuntimeError."""

LINKS_MAX = 20
"""How many errors of a chain are looked at: a model wraps what a library raised."""

DEVICE_S = 2.0
"""How long to wait for a device that is still at work: its answer may say that its context is lost."""


def is_broken(error: BaseException) -> bool:
    """Whether the process must be replaced before it can compute again."""
    return any(is_sticky(link) for link in chain_of(error)) or is_device_lost()


def chain_of(error: BaseException) -> list[BaseException]:
    """The error, and what it was raised from or while handling."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links and len(links) < LINKS_MAX:
        links.append(link)
        link = link.__cause__ or link.__context__
    return links


def is_sticky(error: BaseException) -> bool:
    if not any(base.__name__ in CLASSES for base in type(error).__mro__):
        return False
    with contextlib.suppress(Exception):  # a model's own class may raise when it is asked for its words
        if getattr(error, "error_code", None) in CODES:
            return True
        words = str(error).lower()
        return any(phrase in words for phrase in PHRASES)
    return False


def is_device_lost() -> bool:
    """Whether torch's device, if this process uses one, answers with an error: every later call would, too. Asks
    without waiting for the device's work, which may never end."""
    torch: Any = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return False
        stream = torch.cuda.current_stream()
    except Exception:  # a torch without devices, or something else of that name
        return False
    until_s = time.monotonic() + DEVICE_S
    try:
        while not stream.query() and time.monotonic() < until_s:
            time.sleep(0.01)
    except Exception:  # whatever it says: an idle stream of a sound context says nothing
        return True
    return False
