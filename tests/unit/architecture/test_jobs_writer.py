"""Every record of `jobs` is signed, because only one module of the product writes any."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.unit.architecture.product import ROOT, SOURCES

WRITES = {"send", "send_and_wait", "asend", "offer", "produce", "_try_send"}
WRITER = "runtime/jobs_writer.py"


def topics_written(path: Path) -> list[str]:
    """What stands for the topic in each call of a producer."""
    text = path.read_text()
    if not any(word in text for word in ("JOBS", '"jobs"', "'jobs'")):
        return []
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    found = []
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr in WRITES:
            named = [keyword.value for keyword in call.keywords if keyword.arg == "topic"]
            found += [ast.unparse(topic) for topic in (*call.args[:1], *named)]
    return found


def is_of_jobs(topic: str) -> bool:
    return topic.rpartition(".")[2] == "JOBS" or topic.strip("'\"") == "jobs"


def test_one_module_alone_writes_to_jobs() -> None:
    writers = {
        str(path.relative_to(ROOT)) for path in SOURCES if any(is_of_jobs(topic) for topic in topics_written(path))
    }
    assert writers == {WRITER}


def test_and_that_module_takes_signed_records_only() -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.parse((ROOT / WRITER).read_text()).body if isinstance(node, kinds)]
    writing = [f for f in functions if any(isinstance(n, ast.Attribute) and n.attr in WRITES for n in ast.walk(f))]
    assert len(writing) == 4
    for function in writing:
        assert "record: SignedRecord" in ast.unparse(function.args), function.name
