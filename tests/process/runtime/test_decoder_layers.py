"""A decoder that a file has taken over reaches nothing; one that crashes, hangs or eats memory is a sentence."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from contract.media import MediaRule
from runtime.media.confined_program import ConfinedProgram, MediaDecoder, ProgramBounds
from runtime.media.decoder_program import DecoderUnusable
from runtime.media.decoding import PreparationBounds
from runtime.media.preparation import prepare_file
from runtime.media.refused import MediaRefused
from runtime.worker.confinement import Form
from tests.media.corpus.boxes import FTYP, box, movie
from tests.media.preparing.decoders import HOLDS, fake, real
from tests.waiting import until

VIDEO = FTYP + movie(width=160, height=120) + box(b"mdat", bytes(48))
BOUNDS = ProgramBounds(wall_s=20.0, cpu_s=20, memory_bytes=300 * 2**20)
QUICK = PreparationBounds(start_s=2.0, per_second_s=0.0, memory_bytes=300 * 2**20, bytes_per_pixel=0)

TRIES = """
import json, os, resource, socket, sys
def can(call):
    try:
        call()
    except (OSError, PermissionError):
        return False
    return True
def connect(family, address):
    with socket.socket(family) as any_socket:
        any_socket.settimeout(2)
        any_socket.connect(address)
secret, port, name, given, scratch = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
print(json.dumps({
    "read a file": can(lambda: open(secret).close()),
    "read the system's users": can(lambda: open("/etc/passwd").close()),
    "list the system": can(lambda: os.listdir("/usr/bin")),
    "write a file": any(can(lambda: open(at + "/x", "w").close()) for at in ("", "/tmp", scratch)),
    "write to what it was given": can(lambda: os.write(given, b"x")),
    "reach a port": can(lambda: connect(socket.AF_INET, ("127.0.0.1", port))),
    "reach a socket": can(lambda: connect(socket.AF_UNIX, chr(0) + name)),
    "see processes": sum(entry.isdecimal() for entry in os.listdir("/proc")) > 2,
    "be root": os.geteuid() == 0,
    "see variables": sorted(set(os.environ) - {"MALLOC_ARENA_MAX", "LC_CTYPE"}),
    "read what it was given": os.pread(given, 6, 0) == b"public",
}))
print(json.dumps({name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in
    ("AS", "CPU", "FSIZE", "NOFILE", "NPROC", "CORE")}))
"""


def said(decoder: MediaDecoder, folder: Path, arguments: Sequence[str], descriptor: int) -> list[dict[str, object]]:
    scratch = folder / "scratch"
    scratch.mkdir()
    scratch.chmod(0o777)  # so that nothing but the layers holds the decoder off
    data = bytearray()
    program = ConfinedProgram(decoder, arguments, scratch, BOUNDS, descriptors=(descriptor,))
    ended = program.run(data.extend, lambda line: print(line.decode()))
    assert ended.status == 0
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.skipif(not HOLDS, reason="the kernel gives a child no root of its own")
def test_a_decoder_that_was_taken_over_reaches_nothing(tmp_path: Path) -> None:
    decoder, secret, public = fake(tmp_path / "fake", TRIES), tmp_path / "secret", tmp_path / "public"
    secret.write_text("secret")
    public.write_text("public")
    descriptor = os.open(public, os.O_RDONLY)
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as named:
        name = f"headrace-test-{os.getpid()}"
        named.bind(f"\0{name}")
        named.listen()
        arguments = [str(secret), str(port.getsockname()[1]), name, str(descriptor), str(tmp_path / "scratch")]
        could, limits = said(decoder, tmp_path, arguments, descriptor)
    os.close(descriptor)

    assert could.pop("see variables") == []
    is_root_outside = os.geteuid() == 0 and decoder.confinement is not None and not decoder.confinement.uids_from
    assert could.pop("be root") is is_root_outside
    assert {what for what, done in could.items() if done} == {"read what it was given"}
    assert limits["AS"] == BOUNDS.memory_bytes
    assert limits["CPU"] == BOUNDS.cpu_s
    assert limits["FSIZE"] == 1
    assert limits["CORE"] == 0
    assert limits["NOFILE"] == limits["NPROC"] == 64


def refusal(decoder: MediaDecoder, folder: Path, bounds: PreparationBounds = QUICK) -> MediaRefused:
    source, scratch = folder / "clip.mp4", folder / "scratch"
    source.write_bytes(VIDEO)
    scratch.mkdir()
    with pytest.raises(MediaRefused) as refused:
        prepare_file(source, "video", MediaRule(), folder / "target", scratch, decoder, bounds=bounds)
    assert not (folder / "target").exists()
    return refused.value


FORMS = [pytest.param(None, id="tightest"), pytest.param(Form.LIMITS, id="limits")]


@pytest.mark.parametrize("form", FORMS)
def test_one_that_crashes_is_a_sentence(tmp_path: Path, form: Form | None) -> None:
    crash = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    refused = refusal(fake(tmp_path / "fake", crash, form=form), tmp_path)
    assert (refused.kind, "did not survive" in str(refused)) == ("decoder", True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("body", ["import time\ntime.sleep(600)\n", "while True: pass\n"], ids=["sleeps", "computes"])
def test_one_that_hangs_is_a_sentence(tmp_path: Path, body: str, form: Form | None) -> None:
    refused = refusal(fake(tmp_path / "fake", body, form=form), tmp_path)
    assert (refused.kind, "takes more than the 2 s" in str(refused)) == ("decoder_time", True)


@pytest.mark.parametrize("form", FORMS)
def test_one_that_eats_memory_is_a_sentence(tmp_path: Path, form: Form | None) -> None:
    """As FFmpeg says that it got none. Without the limit it would come to a good end, and give no frame."""
    hog = "try:\n    bytearray(400 * 2**20)\nexcept MemoryError:\n    raise SystemExit(256 - 12)\n"
    refused = refusal(fake(tmp_path / "fake", hog, form=form), tmp_path)
    assert (refused.kind, "memory" in str(refused)) == ("decoder_memory", True)


def test_one_that_never_stops_talking_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.media.confined_program.SAID_BYTES_MAX", 2**20)
    talk = "import sys\nwhile True: sys.stderr.write('[info] a word\\n' * 1000)\n"
    refused = refusal(fake(tmp_path / "fake", talk), tmp_path, PreparationBounds())
    assert (refused.kind, "no pictures" in str(refused)) == ("damaged", True)


def test_one_that_never_stops_giving_frames_is_a_sentence(tmp_path: Path) -> None:
    """Of 160 x 120 pixels, it was asked for 1,800 at most: the filter that says so is not believed."""
    flood = """
import re, sys
name = re.search(r"showinfo@[0-9a-f]+", " ".join(sys.argv))[0]
said = "n: 0 pts: 0 pts_time:0 duration: 1 duration_time:0.04 fmt:yuv420p cl:left sar:1/1 s:160x120 i:P\\n"
sys.stderr.write(f"[{name} @ 0x1] [info] {said}")
sys.stderr.flush()
while "pipe:1" in sys.argv: sys.stdout.buffer.write(bytes(2**20))
"""
    source, scratch = tmp_path / "clip.mp4", tmp_path / "scratch"
    source.write_bytes(VIDEO)
    scratch.mkdir()
    rule, decoder = MediaRule(frames_max=48), fake(tmp_path / "fake", flood)
    with pytest.raises(MediaRefused) as refused:
        prepare_file(source, "video", rule, tmp_path / "target", scratch, decoder, bounds=QUICK)
    assert refused.value.kind == "too_long"
    assert sum(path.stat().st_size for path in scratch.iterdir()) <= 128 + 48 * 160 * 120 * 3


@pytest.mark.parametrize("form", FORMS)
def test_one_that_leaves_a_process_behind_holds_nobody_up(tmp_path: Path, form: Form | None) -> None:
    """Where the decoder's processes are its own, that process ends with it; elsewhere it keeps the pipes open."""
    leave = "import os, time\nif os.fork() == 0:\n    time.sleep(20)\n"
    decoder = fake(tmp_path / "fake", leave, form=form)
    refused = refusal(decoder, tmp_path, PreparationBounds())
    are_its_own = decoder.confinement is not None and decoder.confinement.own_processes
    assert refused.kind == ("no_frames" if are_its_own else "decoder_time")
    left = processes_of(str(tmp_path / "fake" / "program" / "ffmpeg").encode())
    assert bool(left) is not are_its_own
    for pid in left:
        os.kill(pid, signal.SIGKILL)


def test_real_ffmpeg_without_memory_is_a_sentence(tmp_path: Path) -> None:
    decoder = real(tmp_path / "layers")
    tight = PreparationBounds(memory_bytes=230 * 2**20, bytes_per_pixel=0)
    clip = tmp_path / "drawn.mp4"
    draw = ["-v", "error", "-f", "lavfi", "-i", "color=s=3840x2160:r=24:d=0.2", "-pix_fmt", "yuv420p", str(clip)]
    subprocess.run([decoder.program.path, *draw], check=True, timeout=60, env={})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(MediaRefused) as refused:
        prepare_file(clip, "video", MediaRule(), tmp_path / "target", scratch, decoder, bounds=tight)
    assert refused.value.kind == "decoder_memory"


@pytest.mark.skipif(not HOLDS, reason="the kernel gives a child no root of its own")
def test_a_decoder_that_does_not_start_is_no_fault_of_the_file(tmp_path: Path) -> None:
    decoder = fake(tmp_path / "fake", "")
    Path(decoder.program.path).unlink()
    source, scratch = tmp_path / "clip.mp4", tmp_path / "scratch"
    source.write_bytes(VIDEO)
    scratch.mkdir()
    with pytest.raises(DecoderUnusable):
        prepare_file(source, "video", MediaRule(), tmp_path / "target", scratch, decoder)


CALLER = """
import sys
from pathlib import Path
import msgspec
from contract.media import MediaRule
from runtime.media.confined_program import MediaDecoder
from runtime.media.preparation import prepare_file
decoder = msgspec.json.decode(sys.argv[2], type=MediaDecoder)
folder = Path(sys.argv[1])
prepare_file(folder / "clip.mp4", "video", MediaRule(), folder / "target", folder / "scratch", decoder)
"""


@pytest.mark.parametrize("form", FORMS)
def test_a_process_group_that_is_killed_leaves_no_decoder(tmp_path: Path, form: Form | None) -> None:
    decoder = fake(tmp_path / "fake", "import time\ntime.sleep(600)\n", form=form)
    (tmp_path / "clip.mp4").write_bytes(VIDEO)
    (tmp_path / "scratch").mkdir()
    said = msgspec.json.encode(decoder).decode()
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(tmp_path), said], process_group=0, cwd=Path(__file__).parents[3]
    )
    program = decoder.program.path.encode()
    until(lambda: processes_of(program), "the decoder runs")
    os.killpg(caller.pid, signal.SIGKILL)
    caller.wait(20)
    until(lambda: not processes_of(program), "no decoder is left")


def processes_of(program: bytes) -> list[int]:
    """Ids of processes that have become this program."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if program in words and b"-c" not in words:
            found.append(int(place.parent.name))
    return found
