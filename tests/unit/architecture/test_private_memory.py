"""Every program of ours keeps its memory from other processes of its user."""

from __future__ import annotations

from tests.unit.architecture.product import ROOT, SOURCES

BEGINNINGS = ("run_process(", "exit_with(", "keep_memory_private()", "start(")
"""`start` of streams.hosting.faust_app ends in `exit_with`."""
OF_NO_SECRETS = {
    *("local/jars/relock.py", "local/supply/vulnerabilities.py", "local/supply/bill.py"),
    "registry/import_compiler.py",
}
"""Run by whoever changes this repository, without any setting of an installation; or in an empty environment."""
IN_A_CHILD = ("gpu_worker/child/", "runtime/worker/layers/")
"""What runs as a model does, or as a decoder does."""


def test_every_program_begins_with_it() -> None:
    programs = {
        str(path.relative_to(ROOT)): text for path in SOURCES if '__name__ == "__main__"' in (text := path.read_text())
    }
    bare = {name for name, text in programs.items() if not any(words in text for words in BEGINNINGS)}
    assert {name for name in bare - OF_NO_SECRETS if not name.startswith(IN_A_CHILD)} == set()
