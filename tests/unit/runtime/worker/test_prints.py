"""What is kept of a model's prints: their end, in bounded memory."""

from __future__ import annotations

from runtime.worker.prints import KEPT_BYTES, Prints


def test_the_last_of_many_prints_is_kept() -> None:
    prints = Prints()
    for number in range(1000):
        prints.add(b"line %d\n" % number * 100)
        assert len(prints._kept) <= 2 * KEPT_BYTES
    prints.add(b"x" * 10 * KEPT_BYTES + b"end")
    assert len(prints._kept) <= 2 * KEPT_BYTES
    first, _, rest = prints.tail().partition("\n")
    assert rest == "x" * (KEPT_BYTES - 3) + "end"
    lines = sum(len(b"line %d\n" % number * 100) for number in range(1000))
    assert first == f"[{lines + 9 * KEPT_BYTES + 3:,} bytes before these were not kept]"


def test_a_print_that_is_no_text_is_kept_as_well_as_can_be() -> None:
    prints = Prints()
    prints.add(b"caf\xc3\xa9 \xff")
    assert prints.tail() == "café �"
    assert Prints().tail() == ""
