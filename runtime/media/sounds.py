"""Sound: decoded, mixed to the channels and brought to the rate that the model asks for."""

from __future__ import annotations

from typing import BinaryIO

from runtime.media.claims import MediaFormat
from runtime.media.confined_program import ConfinedProgram
from runtime.media.decoding import input_arguments, judge
from runtime.media.limits import CLOCK_SLACK
from runtime.media.media_source import MediaSource
from runtime.media.refused import MediaRefused

FLOATS, WORDS = "f32le", "s16le"
"""Forms of a sample: four bytes, two."""
_ERROR = b"[error]"


def decode_sound(source: MediaSource, form: str, file: BinaryIO) -> int:
    """Write the samples of all channels one after another; how many there are of each. MediaRefused, OSError."""
    rule = source.rule
    sample_bytes = rule.channels * (4 if form == FLOATS else 2)
    kept_bytes = int(rule.seconds_max * rule.sample_rate) * sample_bytes
    received, errors = 0, list[bytes]()

    def write(data: bytes) -> None:
        nonlocal received
        file.write(data[: max(0, kept_bytes - received)])
        received += len(data)
        if received > kept_bytes * CLOCK_SLACK:
            sentence = f"the audio is longer than the {rule.seconds_max:g} seconds that are taken"
            raise MediaRefused(sentence, "too_long")

    bounds = source.bounds.of(rule, 0)
    arguments = input_arguments(source.claims, MediaFormat.AUDIO, source.descriptor, rule, upright=True)
    arguments += ["-ar", str(rule.sample_rate), "-ac", str(rule.channels), "-f", form, "pipe:1"]
    program = ConfinedProgram(source.decoder, arguments, source.scratch, bounds, descriptors=(source.descriptor,))
    ended = program.run(write, lambda line: errors.append(line) if _ERROR in line and len(errors) < 64 else None)
    judge(ended, errors, bounds, MediaFormat.AUDIO, 0)
    samples = min(received, kept_bytes) // sample_bytes
    if not samples:
        raise MediaRefused("the audio has no sound that can be decoded", "no_frames")
    return samples
