"""Mutants: what the views keep, and for how long."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "the views forget that a pool is signed",
        "views/pool_fold.py",
        "        if event.signed_from >= 0:",
        "        if True:",
        "tests/integration/views/test_projection.py::test_from_where_on_a_pool_is_signed_is_kept",
    ),
    Mutant(
        "a job whose erasure is under way is pruned",
        "views/retention.py",
        "            AND erasure <> 'ordered'",
        "            AND true",
        "tests/integration/views/test_retention.py::test_what_ended_long_ago_goes_with_all_that_belongs_to_it",
    ),
    Mutant(
        "jobs are pruned by their submission alone",
        "views/retention.py",
        "ended_ms < :before_ms\n",
        "ended_ms IS NOT NULL\n",
        "tests/integration/views/test_retention.py::test_a_pool_that_stands_still_loses_nothing",
    ),
    Mutant(
        "counts have jobs that were pruned",
        "views/retention.py",
        "SET jobs = c.jobs - fewer.jobs",
        "SET jobs = c.jobs",
        "tests/integration/views/test_retention.py::test_what_ended_long_ago_goes_with_all_that_belongs_to_it",
    ),
    Mutant(
        "receipts of jobs that were pruned stay",
        "views/retention.py",
        "DELETE FROM views.receipts USING gone WHERE request = right(gone.job, 32)",
        "SELECT",
        "tests/integration/views/test_retention.py::test_what_ended_long_ago_goes_with_all_that_belongs_to_it",
    ),
    Mutant(
        "the feed has events of jobs that left it",
        "views/job_fold.py",
        "if draft.row is not None else []  # nobody",
        "if True else []  # nobody",
        "tests/integration/views/test_retention.py::test_pruned_views_are_those_that_are_built_anew_and_pruned",
    ),
    Mutant(
        "jobs are pruned while their id is remembered",
        "operations/retention.py",
        "        if kept_ms < least_ms:",
        "        if False:",
        "tests/integration/views/test_retention.py::test_a_time_in_which_an_id_or_a_copy_may_still_be_known_is_refused",
    ),
    Mutant(
        "copies are forgotten that the broker has",
        "views/retention.py",
        'AND "offset" < :first',
        "AND :first >= 0",
        "tests/integration/views/test_retention.py::test_copies_go_when_the_broker_has_them_no_more",
    ),
    Mutant(
        "an erasure does not look into the store for a job that left the views",
        "operations/erasure.py",
        " and not self._has_objects():",
        ":",
        "tests/integration/audit/test_erasure.py::test_a_job_that_left_the_views_is_erased_by_its_id",
    ),
)
