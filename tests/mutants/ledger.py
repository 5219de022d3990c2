"""Mutants: how the ledger of one pool is written and led."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "lease time runs on while `jobs` is unread",
        "streams/ledger/clock.py",
        "reading = mono_ms if self._asked_mono_ms is None else min(mono_ms, self._asked_mono_ms)",
        "reading = mono_ms",
        "tests/unit/streams/test_clock.py::test_lease_time_stands_still_until_jobs_is_read_as_far_as_was_asked",
    ),
    Mutant(
        "the time since asking counts towards leases",
        "streams/ledger/clock.py",
        ("        self._asked_mono_ms = None\n        self._lease_mono_ms = mono_ms\n"),
        "        self._asked_mono_ms = None\n",
        "tests/unit/streams/test_clock.py::test_the_time_since_asking_never_counts",
    ),
    Mutant(
        "an outage of hours counts towards leases",
        "streams/ledger/clock.py",
        "return min(elapsed_ms, ELAPSED_MAX_MS)",
        "return elapsed_ms",
        "tests/unit/streams/test_clock.py::test_an_outage_of_ours_adds_little",
    ),
    Mutant(
        "lease time stands still when nobody says where `jobs` ends",
        "streams/ledger/clock.py",
        (
            '        """There was no answer: lease time goes on as if nothing had been asked."""\n'
            "        self._asked_mono_ms = None\n"
        ),
        '        """There was no answer: lease time goes on as if nothing had been asked."""\n',
        "tests/unit/streams/test_clock.py::test_without_an_answer_lease_time_goes_on_as_if_nothing_had_been_asked",
    ),
    Mutant(
        "the clock follows an input from the future",
        "streams/ledger/clock.py",
        " if i.at_ms <= credible_ms)])",
        ")])",
        "tests/unit/streams/test_clock.py::test_an_input_moves_time_forward_but_none_from_far_ahead",
    ),
    Mutant(
        "a writer goes on after an exception",
        "streams/ledger/phases.py",
        ("            writer.phase = WriterPhase.STOPPED\n            raise"),
        "            raise",
        "tests/unit/streams/test_exceptions.py::test_whatever_raises_in_a_writer_stops_it[read]",
    ),
    Mutant(
        "a batch out of its place is appended",
        "streams/ledger/phases.py",
        "if isinstance(output, Append) and (output.batch.seq - 1, output.batch.prev_hash) != last:",
        "if False:",
        "tests/unit/streams/test_exceptions.py::test_a_batch_out_of_its_place_is_never_handed_out",
    ),
    Mutant(
        "orders go out before the ledger has them",
        "streams/ledger/writer.py",
        "        return [*ahead, appended]",
        "        return [*ahead, out.SendOrders(orders), appended]",
        "tests/unit/streams/test_takeover.py::test_orders_go_out_only_after_the_ack",
    ),
    Mutant(
        "a newcomer sends no standing orders",
        "streams/ledger/writer.py",
        ("        if standing:\n            outputs.append"),
        ("        if False:\n            outputs.append"),
        "tests/unit/streams/test_takeover.py::test_a_newcomer_goes_on_where_the_ledger_says_and_sends_what_is_owed",
    ),
    Mutant(
        "a pool is decided before Opened is read back",
        "streams/ledger/writer.py",
        ("    def _opened_needs_read_back(self) -> bool:\n        return True"),
        ("    def _opened_needs_read_back(self) -> bool:\n        return False"),
        "tests/unit/streams/test_takeover.py::test_nothing_is_decided_before_opened_is_read_back",
    ),
    Mutant(
        "`jobs` that was cut is read on",
        "streams/ledger/writer.py",
        "if end is not None and end < self._pace.asked_position:",
        "if False:",
        "tests/unit/streams/test_batches.py::test_jobs_that_ends_before_what_was_read_stops_the_writer",
    ),
    Mutant(
        "the snapshot's own record is not checked",
        "streams/ledger/takeover.py",
        ('        if found == expected:\n            return ""'),
        '        return ""',
        "tests/unit/streams/test_takeover.py::TestSnapshots::test_a_ledger_that_was_edited_at_the_snapshot_is_found",
    ),
    Mutant(
        "a ledger whose tail was cut is led",
        "streams/ledger/takeover.py",
        (
            "        if not self._snapshot_head:\n"
            '            return ""\n'
            "        return (\n"
            '            f"the ledger of pool'
        ),
        ('        return ""\n        return (\n            f"the ledger of pool'),
        "tests/unit/streams/test_takeover.py::TestSnapshots::test_a_ledger_whose_tail_was_cut_is_found",
    ),
    Mutant(
        "a scheduler without keys opens a signed pool",
        "streams/ledger/takeover.py",
        ('        if signed_from >= 0 or self._state.signed_from < 0:\n            return ""'),
        '        return ""',
        "tests/unit/streams/test_signatures.py::test_a_scheduler_without_keys_does_not_open_a_pool_that_asks_for_signatures",
    ),
    Mutant(
        "a pool that goes on losing the race never gives up",
        "streams/ledger/writer.py",
        "if self._takeover.tries >= OPEN_TRIES_MAX:",
        "if False:",
        "tests/unit/streams/test_takeover.py::test_a_newcomer_that_always_comes_too_late_gives_up",
    ),
    Mutant(
        "a fold that waits for no record waits in silence",
        "streams/ledger/fold_watch.py",
        ("        if offset == before:\n            self._guard.spawn(self._require(offset))"),
        "        pass",
        "tests/unit/streams/test_programs.py::test_a_ledger_that_ends_in_no_record_is_said_and_keeps_only_its_own_pool_down",
    ),
    Mutant(
        "an exception in a callback leaves its host going",
        "streams/ledger/host_guard.py",
        "            self._end(failure)\n\n    def of(",
        "            pass\n\n    def of(",
        "tests/unit/streams/test_host_guard.py::test_each_way_ends_the_host_once_and_none_leads_in_after_that",
    ),
    Mutant(
        "what timers hold of a host that has ended stays in memory",
        "streams/ledger/host_guard.py",
        "        self._works.clear()\n",
        "",
        "tests/unit/streams/test_pool_keeper.py::test_a_host_that_has_ended_lets_go_of_its_state",
    ),
    Mutant(
        "tasks run on after the host has ended",
        "streams/ledger/host_guard.py",
        ("        for task in self._tasks:\n            task.cancel()\n"),
        "",
        "tests/unit/streams/test_host_guard.py::test_each_way_ends_the_host_once_and_none_leads_in_after_that",
    ),
    Mutant(
        "a pool that ended is not opened anew",
        "streams/ledger/pool_keeper.py",
        ("        self._timer = self._loop.call_later(rest_s, self._open_anew)  # before anything that could raise\n"),
        "",
        "tests/unit/streams/test_pool_keeper.py::test_whatever_raises_in_a_host_the_pool_is_opened_anew",
    ),
    Mutant(
        "a pool that another leads is opened anew at once",
        "streams/ledger/pool_keeper.py",
        "rest_s = brief_s if ended.rest is PoolRest.BRIEF else self._rest_max_s",
        "rest_s = brief_s",
        "tests/unit/streams/test_pool_keeper.py::test_of_two_schedulers_one_leaves_the_pool_alone_until_it_is_assigned_anew",
    ),
    Mutant(
        "assigned_again is off",
        "streams/ledger/pool_keeper.py",
        "        elif self._rest is PoolRest.UNTIL_ASSIGNED and self._timer is not None:",
        "        elif False:",
        "tests/unit/streams/test_pool_keeper.py::test_of_two_schedulers_one_leaves_the_pool_alone_until_it_is_assigned_anew",
    ),
    Mutant(
        "a pool is not rechecked after a rebalance",
        "streams/ledger/pool_keeper.py",
        ("        if self._host is not None:\n            self._host.recheck()\n        elif"),
        ("        if self._host is not None:\n            pass\n        elif"),
        "tests/unit/streams/test_pool_host.py::test_after_a_rebalance_jobs_is_read_from_its_own_place_at_once",
    ),
    Mutant(
        "after a rebalance `jobs` is not sought",
        "streams/ledger/pool_host.py",
        "        self._jobs.seek()\n",
        "",
        "tests/unit/streams/test_pool_host.py::test_after_a_rebalance_jobs_is_read_from_its_own_place_at_once",
    ),
    Mutant(
        "a pool with much undecided takes on",
        "streams/ledger/jobs_reader.py",
        "            self._room.clear()",
        "            self._room.set()",
        "tests/unit/streams/test_pool_host.py::test_a_full_pool_waits_for_nobody_and_nobody_for_it",
    ),
    Mutant(
        "undecided inputs are bounded in number only",
        "streams/ledger/jobs_reader.py",
        "if len(self._undecided) < UNDECIDED_MAX and self._undecided_bytes < UNDECIDED_BYTES_MAX:",
        "if len(self._undecided) < UNDECIDED_MAX:",
        "tests/unit/streams/test_pool_host.py::test_what_is_undecided_is_bounded_in_bytes_too",
    ),
    Mutant(
        "what was missed is not sought",
        "streams/ledger/jobs_reader.py",
        ("                await self._following.follower.seek()\n            record"),
        ("                pass\n            record"),
        "tests/unit/streams/test_pool_host.py::test_what_has_no_room_is_held_back_and_read_again_and_none_is_lost",
    ),
    Mutant(
        "a tombstone is not read past",
        "streams/ledger/leading.py",
        (
            "                await self._set_aside(record, refusal)\n"
            "            self._skip_to(record.offset + 1)\n"
            "            return"
        ),
        ("                await self._set_aside(record, refusal)\n            return"),
        "tests/unit/streams/test_pool_host.py::test_a_tombstone_is_read_past_at_once",
    ),
    Mutant(
        "snapshots pile up while the store hangs",
        "streams/ledger/leading.py",
        "if self._has_news() and not self._is_saving:",
        "if self._has_news():",
        "tests/unit/streams/test_pool_host.py::test_a_store_that_hangs_never_has_two_snapshots_of_a_pool_in_hand",
    ),
    Mutant(
        "gauges of a pool that left stay",
        "streams/ledger/leading.py",
        "        self._metrics.close()\n",
        "",
        "tests/unit/streams/test_pool_host.py::test_the_gauges_of_a_pool_that_was_taken_away_are_gone",
    ),
    Mutant(
        "what `judge` refuses is in the ledger before it is in quarantine",
        "streams/ledger/leading.py",
        "            self._guard.spawn(self._append_after(judged, output))",
        "            self._produce(output)",
        "tests/unit/streams/test_pool_keeper.py::test_what_a_pool_refuses_is_in_quarantine_before_the_ledger_says_so",
    ),
    Mutant(
        "a record that cannot be quarantined is passed over",
        "streams/ledger/leading.py",
        (
            '            raise PoolEnds("a record could not be quarantined", offset=record.offset, '
            "found=str(error)) from error"
        ),
        "            return",
        "tests/unit/streams/test_pool_keeper.py::test_without_quarantine_the_pool_waits_and_nothing_says_that_it_is_there",
    ),
    Mutant(
        "an unclear append is taken for an ack",
        "streams/ledger/leading.py",
        ("            self._carry_out(self._writer.unclear(str(outcome)))\n            return"),
        "            return",
        "tests/unit/streams/test_pool_keeper.py::test_after_an_unclear_delivery_the_ledger_says_what_happened",
    ),
    Mutant(
        "payloads are never let go",
        "streams/ledger/payloads.py",
        '                self._drop(self._jobs.pop(getattr(event, "job", ""), -1))',
        "                pass",
        "tests/unit/streams/test_payloads.py::test_what_started_or_ended_goes_and_a_copy_of_it_too",
    ),
    Mutant(
        "the payload cache has no bound",
        "streams/ledger/payloads.py",
        "if self._bytes + size <= self._bytes_max:",
        "if True:",
        "tests/unit/streams/test_payloads.py::test_it_is_bounded_and_keeps_those_that_go_next",
    ),
    Mutant(
        "a store that is away keeps a pool shut",
        "streams/ledger/snapshots.py",
        "        async with asyncio.timeout(patience_s):",
        "        async with asyncio.timeout(None):",
        "tests/unit/streams/test_pool_host.py::test_a_store_that_is_away_costs_a_longer_fold",
    ),
    Mutant(
        "the disk's snapshot is not looked at",
        "streams/ledger/snapshots.py",
        "        on_disk = await ask_disk(pool)\n",
        "        pass\n",
        "tests/unit/streams/test_pool_host.py::test_a_store_that_is_away_costs_no_fold_where_this_machine_has_a_snapshot",
    ),
    Mutant(
        "a disk that takes no snapshot ends the pool",
        "streams/ledger/snapshots.py",
        ('    except OSError as error:\n        log.warning("a snapshot was not kept'),
        ('    except ZeroDivisionError as error:\n        log.warning("a snapshot was not kept'),
        "tests/unit/streams/test_snapshots.py::test_a_snapshot_that_cannot_be_written_is_counted_and_stops_nothing",
    ),
    Mutant(
        "a snapshot of another pool is taken",
        "streams/ledger/snapshots.py",
        "if state.pool != pool or not fits(state):",
        "if not fits(state):",
        "tests/unit/streams/test_snapshots.py::test_a_snapshot_that_lies_under_another_pools_name_is_passed_over",
    ),
    Mutant(
        "a snapshot of another ledger is taken from the disk",
        "streams/ledger/snapshots.py",
        "if state.pool != pool or not fits(state):",
        "if state.pool != pool:",
        "tests/unit/streams/test_pool_io.py::test_a_snapshot_of_this_disk_is_taken_only_where_the_ledger_has_the_record_that_it_follows",
    ),
    Mutant(
        "the disk keeps every snapshot",
        "streams/ledger/disk_snapshots.py",
        "                (self._root / other).unlink(missing_ok=True)",
        "                pass",
        "tests/unit/streams/test_snapshots.py::test_the_disk_keeps_the_newest_two_whole",
    ),
    Mutant(
        "CHUNK_BYTES does not bound a chunk of a fold",
        "streams/ledger/tail.py",
        "reader.read(READ_TIMEOUT_S, CHUNK_RECORDS, CHUNK_BYTES)",
        "reader.read(READ_TIMEOUT_S, CHUNK_RECORDS)",
        "tests/unit/streams/test_tail.py::test_what_a_fold_reads_ahead_is_bounded_in_bytes",
    ),
    Mutant(
        "a fold reads ahead without end",
        "streams/ledger/tail.py",
        "                        self._room.acquire()\n",
        "",
        "tests/unit/streams/test_tail.py::test_what_is_read_ahead_is_bounded",
    ),
    Mutant(
        "a fold gives nobody a turn",
        "streams/ledger/tail.py",
        "        while chunk and len(records) < SLICE_RECORDS:",
        "        while chunk:",
        "tests/unit/streams/test_tail.py::test_records_come_in_order_and_others_have_their_turn",
    ),
    Mutant(
        "a fold of large records gives nobody a turn",
        "streams/ledger/tail.py",
        ("            if size >= SLICE_BYTES:\n                break\n"),
        "",
        "tests/unit/streams/test_tail.py::test_large_records_are_few_at_a_time_between_the_turns_of_others",
    ),
    Mutant(
        "a batch of inputs has no bound in bytes",
        "streams/ledger/pending_inputs.py",
        ("            if inputs and size_bytes + size > INPUT_BYTES_MAX:\n                break\n"),
        "",
        "tests/unit/streams/test_pending_inputs.py::test_a_batch_takes_no_more_than_it_may_have",
    ),
    Mutant(
        "an order without room ends its pool",
        "streams/ledger/dispatching.py",
        ("                except DeliveryUnclear as error:\n                    self._settled(error)"),
        ("                except ZeroDivisionError as error:\n                    self._settled(error)"),
        "tests/unit/streams/test_pool_host.py::test_an_order_for_which_there_is_no_room_is_lost_and_the_pool_goes_on",
    ),
    Mutant(
        "a forged policy names a pool",
        "streams/ledger/opening.py",
        (
            "            except SignatureRefused:\n"
            "                return  # read again, and set aside, once the pool is led\n"
        ),
        ('            except SignatureRefused:\n                signer = ""\n'),
        "tests/unit/streams/test_signatures.py::test_a_forged_policy_names_no_pool",
    ),
)
