"""Sends the canary ahead: finds the tightest confinement in which a child of this node starts, and what holds."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from runtime.worker.cgroups import PROCESSES_MAX
from runtime.worker.confinement import (
    ENTER,
    LAYERS,
    PROGRAMS,
    ChildPlaces,
    Confinement,
    Form,
    KernelFacts,
    Layer,
    confinement,
    forms,
    interpreter_places,
)

log = structlog.get_logger(__name__)

CANARY = PROGRAMS / "canary.py"
WITHIN_S = 30.0
"""How long the canary may take: two starts of an interpreter, on a busy machine."""

_VARIABLES = ("HOME", "TMPDIR", "PATH", "LC_CTYPE")


class LayersFound(msgspec.Struct, frozen=True):
    """What the canary found of a confinement."""

    confinement: Confinement
    broken: Mapping[Layer, tuple[str, ...]]
    """By layer that does not hold: what a child can do."""

    @property
    def all_hold(self) -> bool:
        return not self.broken

    @property
    def missing(self) -> tuple[str, ...]:
        """As contract.inputs.LAYERS names them."""
        return tuple(sorted(layer.name.lower() for layer in self.broken))


def tell_of(found: LayersFound) -> None:
    """The log says what holds, and what a model could do where something is missing."""
    facts = {"form": found.confinement.form, "held": [layer for layer in LAYERS if layer not in found.broken]}
    if found.all_hold:
        log.info("models are held off from this node", **facts)
        return
    log.warning(
        "layers are missing that keep a model off from this node, its secrets and other models: models run here only if"
        " the policy trusts them (`trusted_models`). Give the node what the layers need (`headrace doctor`)",
        could={layer.value: list(could) for layer, could in found.broken.items()},
        **facts,
    )


def probe() -> KernelFacts:
    """What the kernel lets a child of this process have. OSError."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(ENTER), "probe"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WITHIN_S,
            check=True,
            env={},  # any process of this user can read what another one was given
        )
        return msgspec.json.decode(done.stdout, type=KernelFacts)
    except (subprocess.SubprocessError, msgspec.DecodeError) as error:
        raise OSError(f"expected to find out what the kernel can do, found {type(error).__name__}") from None


def find_layers(folder: Path, hidden: Sequence[Path], inherited: Mapping[str, str]) -> LayersFound:
    """The tightest confinement that a child starts in, with `folder` for the canary's and the children's own use (it is
    made). `hidden`: directories of the installation. OSError."""
    facts = probe()
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    for form in forms(facts):
        found = confinement(form, facts, root, hidden, inherited)
        broken = _fly(found, folder)
        if broken is not None:
            return LayersFound(found, broken)
        log.warning("children cannot start so", form=form)
    none = confinement(Form.LIMITS, facts, root, hidden, inherited)
    return LayersFound(none, dict.fromkeys(LAYERS, ("the canary did not start",)))


def _fly(tried: Confinement, folder: Path) -> dict[Layer, tuple[str, ...]] | None:
    """By layer that does not hold: what the canary could do. None when no child starts so."""
    place = folder.absolute() / f"canary-{secrets.token_hex(4)}"
    own, others = place / "own", place / "others"
    for made in (place, own, others):
        made.mkdir(mode=0o700)
    secret = others / "secret"
    secret.write_text("secret")
    places = ChildPlaces(tuple(interpreter_places(sys.executable)), str(own), str(own), str(own))
    targets: dict[str, Any] = {
        "agent": os.getpid(),
        "files": [str(secret)],
        "shut": [str(secret), str(others / "new"), str(PROGRAMS / "canary.txt"), "/canary.txt"],
        "own": str(own / "file"),
        "variables": _VARIABLES,
        "processes": PROCESSES_MAX,
        "alone": tried.own_processes,
    }
    try:
        if tried.uid(0):
            os.chown(own, tried.uid(0), tried.uid(0))
        with _listening(targets):
            plan = tried.plan(0, places, gpus=False)
            command = [
                *tried.command(plan),
                sys.executable,
                "-I",
                "-B",
                str(CANARY),
                msgspec.json.encode(targets).decode(),
            ]
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=WITHIN_S,
                check=True,
                env={"HOME": str(own), "TMPDIR": str(own), "PATH": os.environ.get("PATH", "")},
                cwd="/",
            )
        told = msgspec.json.decode(done.stdout, type=dict[str, tuple[str, ...]])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        said = getattr(error, "stderr", b"") or b""
        log.warning("the canary did not come back", form=tried.form, said=said.decode(errors="replace")[-300:])
        return None
    finally:
        for left in (PROGRAMS / "canary.txt", Path("/canary.txt")):
            with contextlib.suppress(OSError):  # mostly there is none, and the place may be read only
                left.unlink()
        shutil.rmtree(place, ignore_errors=True)
    return {Layer[name]: could for name, could in told.items() if could}


@contextlib.contextmanager
def _listening(targets: dict[str, Any]) -> Iterator[None]:
    """Have a socket of each kind, as an agent has, whose addresses the canary is told. The one with a path lies in a
    directory that only this user may enter."""
    with contextlib.ExitStack() as open_here:
        folder = open_here.enter_context(tempfile.TemporaryDirectory(prefix="headrace-canary-"))
        targets["socket"], targets["name"] = f"{folder}/socket", f"headrace-canary-{secrets.token_hex(8)}"
        for kind, address in (
            (socket.AF_UNIX, targets["socket"]),
            (socket.AF_UNIX, f"\0{targets['name']}"),
            (socket.AF_INET, ("127.0.0.1", 0)),
        ):
            listener = open_here.enter_context(socket.socket(kind, socket.SOCK_STREAM))
            listener.bind(address)
            listener.listen(4)
        targets["port"] = listener.getsockname()[1]
        yield
