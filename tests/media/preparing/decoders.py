"""Decoders for tests."""

from __future__ import annotations

import sys
from pathlib import Path

from runtime.media.confined_program import MediaDecoder
from runtime.media.decoder_program import DecoderProgram, find_program, look_at
from runtime.worker.canary_flight import probe
from runtime.worker.confinement import Form, confinement, forms, interpreter_places

FACTS = probe()
HOLDS = forms(FACTS)[0] in (Form.OWN_USER, Form.NAMESPACES)
"""Whether the kernel lets us have a root of our own for a child."""


def real(folder: Path) -> MediaDecoder:
    """That of the installation, behind the tightest layers that the kernel lets us have."""
    folder.mkdir()
    root = folder / "root"
    root.mkdir()
    held = confinement(forms(FACTS)[0], FACTS, root, [folder.parent], {})
    return MediaDecoder(look_at(find_program("")), held)


def fake(folder: Path, body: str, *, form: Form | None = None) -> MediaDecoder:
    """A program of Python in FFmpeg's place. `form`: of its layers; None: the tightest."""
    place, root = folder / "program", folder / "root"
    place.mkdir(parents=True)
    root.mkdir()
    python = str(Path(sys.executable).resolve())
    program = place / "ffmpeg"
    program.write_text(f"#!{python} -IS\n{body}")
    program.chmod(0o755)
    inherited = {"LD_LIBRARY_PATH": ":".join(interpreter_places(python))}  # shown to it, as a version's interpreter is
    held = confinement(form or forms(FACTS)[0], FACTS, root, [], inherited)
    return MediaDecoder(DecoderProgram(str(program), "fake", 63, "ours", ()), held)
