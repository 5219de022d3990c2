"""Every file of the corpus that reaches a decoder is prepared as its row says, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.media import FORMS, KINDS, MediaRule, prepared_bytes_max
from contract.prepared import CHANGES, MediaFacts
from runtime.media.confined_program import MediaDecoder
from runtime.media.preparation import prepare_file
from runtime.media.refused import REFUSED_KINDS, MediaRefused
from tests.media.corpus.clips import Ffmpeg
from tests.media.corpus.table import TRICKS
from tests.media.corpus.trick import Outcome, Stage, Trick
from tests.media.preparing.decoders import real
from tests.media.preparing.measured import measured
from tests.media.preparing.reading import Sound, frames_of_mp4, read_npy, read_png, read_wav

DECODED = [trick for trick in TRICKS if trick.stage is Stage.DECODER]
GOOD = [trick for trick in DECODED if trick.outcome is Outcome.PREPARED and not trick.slow]
FRAMES, FILE = FORMS


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> MediaDecoder:
    return real(tmp_path_factory.mktemp("decoder") / "layers")


@pytest.fixture(scope="module")
def ffmpeg(decoder: MediaDecoder, tmp_path_factory: pytest.TempPathFactory) -> Ffmpeg:
    return Ffmpeg(Path(decoder.program.path), tmp_path_factory.mktemp("clips"))


def prepare(
    trick: Trick, ffmpeg: Ffmpeg, decoder: MediaDecoder, folder: Path, rule: MediaRule
) -> tuple[MediaFacts, Path]:
    source, scratch = folder / trick.name, folder / "scratch"
    source.write_bytes(trick.make(ffmpeg))
    scratch.mkdir()
    target = folder / "prepared"
    try:
        facts = prepare_file(source, trick.kind, rule, target, scratch, decoder)
    except MediaRefused:
        assert not target.exists()
        raise
    assert list(scratch.iterdir()) == []
    assert target.stat().st_size <= prepared_bytes_max(trick.kind, rule) + 65_536
    return facts, target


@pytest.mark.parametrize("trick", GOOD, ids=lambda trick: trick.name)
def test_a_good_file_becomes_frames(trick: Trick, ffmpeg: Ffmpeg, decoder: MediaDecoder, tmp_path: Path) -> None:
    facts, target = prepare(trick, ffmpeg, decoder, tmp_path, MediaRule(form=FRAMES))

    said = {name: getattr(facts, name) for name in trick.facts}
    assert said == dict(trick.facts)
    assert set(facts.changes) <= set(CHANGES)
    array = read_npy(target)
    if trick.kind == KINDS[0]:
        assert (array.values, array.shape) == ("|u1", (facts.frames, facts.height, facts.width, 3))
    elif trick.kind == KINDS[1]:
        assert (array.values, array.shape) == ("|u1", (facts.height, facts.width, 3))
    else:
        assert (array.values, array.shape) == ("<f4", (facts.samples, facts.channels))
    assert array.is_whole


@pytest.mark.parametrize("trick", GOOD, ids=lambda trick: trick.name)
def test_a_good_file_becomes_a_file(trick: Trick, ffmpeg: Ffmpeg, decoder: MediaDecoder, tmp_path: Path) -> None:
    facts, target = prepare(trick, ffmpeg, decoder, tmp_path, MediaRule(form=FILE))

    if trick.kind == KINDS[0]:
        assert frames_of_mp4(target, ffmpeg) == (facts.frames, facts.width, facts.height, facts.fps)
    elif trick.kind == KINDS[1]:
        assert read_png(target) == (facts.width, facts.height)
    else:
        assert read_wav(target) == Sound(facts.sample_rate, facts.channels, facts.samples)


@pytest.mark.long
@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.name)
def test_a_file_costs_no_more_than_it_may(trick: Trick, ffmpeg: Ffmpeg, decoder: MediaDecoder, tmp_path: Path) -> None:
    """Refused within 2 s of one core and 200 MB, prepared within twice its length of one core (and the starts of three
    processes) and 1 GB. The group's whole memory."""
    source = tmp_path / trick.name
    source.write_bytes(trick.make(ffmpeg))

    cost = measured(source, trick.kind, MediaRule(form=FILE), tmp_path / "one", decoder)

    if trick.outcome is Outcome.REFUSED:
        assert cost.done.sentence
        assert cost.done.cpu_s < 2
        assert cost.memory_bytes < 200e6
    else:
        assert cost.done.facts is not None
        assert cost.done.cpu_s < 2 * cost.done.facts.source_ms / 1000 + 1
        assert cost.memory_bytes < 1e9


@pytest.mark.parametrize(
    "trick", [trick for trick in DECODED if trick.outcome is Outcome.REFUSED], ids=lambda trick: trick.name
)
def test_a_bad_file_is_refused(trick: Trick, ffmpeg: Ffmpeg, decoder: MediaDecoder, tmp_path: Path) -> None:
    with pytest.raises(MediaRefused) as refused:
        prepare(trick, ffmpeg, decoder, tmp_path, MediaRule())

    sentence = str(refused.value)
    assert any(gist in sentence for gist in trick.says.split("|")), sentence
    assert sentence.isprintable()
    assert len(sentence) < 200
    assert refused.value.kind in REFUSED_KINDS
