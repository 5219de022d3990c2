"""A library that says the same thing ten times a second fills no log."""

from __future__ import annotations

import logging

from runtime.telemetry import SAID_AGAIN_AFTER_S, SENTENCES_MAX, Seldom


def record(name: str, sentence: str, *words: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, sentence, words, None)


def test_a_sentence_passes_once_in_a_while_with_how_many_were_left_out() -> None:
    now = [0.0]
    seldom = Seldom(lambda: now[0])
    passed = []
    for tick in range(1_000):
        now[0] = tick / 10
        said = record("aiokafka.conn", "no node %s", tick)
        if seldom.filter(said):
            passed.append(getattr(said, "left_out", 0))
    assert len(passed) == 100 / SAID_AGAIN_AFTER_S
    assert sum(passed) + len(passed) > 1_000 - 10 * SAID_AGAIN_AFTER_S


def test_other_sentences_and_what_is_ours_pass_at_once() -> None:
    seldom = Seldom(lambda: 0.0)
    assert seldom.filter(record("aiokafka", "one"))
    assert seldom.filter(record("aiokafka", "two"))
    assert not seldom.filter(record("aiokafka", "one"))
    assert all(seldom.filter(record("streams.scheduler", "ours")) for _ in range(3))


def test_it_remembers_a_bounded_number_of_sentences() -> None:
    seldom = Seldom(lambda: 0.0)
    for number in range(3 * SENTENCES_MAX):
        seldom.filter(record("aiokafka", f"sentence {number}"))
    assert len(seldom._said) == SENTENCES_MAX
