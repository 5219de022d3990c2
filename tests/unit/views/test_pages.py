"""Pages of jobs, while jobs are submitted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec

from views import queries
from views.rows import JobRow


def row(number: int) -> Any:
    return msgspec.structs.astuple(JobRow(f"main-{number}", "main", "acme", "free", "echo", "v", "failed", number))


def test_a_job_is_on_one_page_though_others_came_between_the_queries_of_the_first() -> None:
    answers: list[Any] = [[row(9), row(5), row(4)], SimpleNamespace(one_or_none=lambda: (5, "main-5"))]
    connection: Any = SimpleNamespace(execute=lambda query, values: answers.pop(0))
    page = queries.jobs(connection, "acme", state="failed")
    assert [found.job for found in page.jobs] == ["main-9", "main-5"]
    assert queries._decode_cursor(page.cursor) == (5, "main-5"), "the next page begins behind it, with main-4"


def test_the_database_is_told_how_many_jobs_a_page_with_filters_looks_at() -> None:
    asked: list[tuple[str, Any]] = []

    def execute(query: Any, values: dict[str, Any]) -> list[Any]:
        asked.append((str(query), values["scanned"]))
        return [row(9)]

    queries.jobs(cast("Any", SimpleNamespace(execute=execute)), "acme", state="failed", limit=1)
    ((query, scanned),) = asked
    assert scanned == queries.SCANNED_MAX
    assert query.index("LIMIT :scanned") < query.index("WHERE state = :state")
