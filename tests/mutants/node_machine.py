"""Mutants: what a node does with processes, folders, orders and reports."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "an output is any kind of file",
        "runtime/worker/folders.py",
        ("    if not stat.S_ISREG(os.fstat(fd).st_mode):\n        os.close(fd)\n        raise NotAFile\n"),
        "",
        "tests/unit/gpu_worker/test_outputs.py::test_what_is_no_regular_file_is_refused[make_folder-OutputNotAFile]",
    ),
    Mutant(
        "a link leads out of an attempt's folder",
        "runtime/worker/folders.py",
        "_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW",
        "_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY",
        "tests/unit/gpu_worker/test_outputs.py::test_a_folder_that_is_a_link_is_refused",
    ),
    Mutant(
        "a child has the agent's environment",
        "runtime/worker/launch.py",
        "if n in KEPT_VARIABLES or n.startswith(NCCL_PREFIX)}",
        "}",
        "tests/unit/runtime/worker/test_launch.py::test_a_child_gets_none_of_the_agents_environment_but_what_it_needs",
    ),
    Mutant(
        "whatever the agent starts is a stray",
        "runtime/worker/strays.py",
        ("                if os.getsid(pid) != own_session:\n                    found.append(pid)"),
        "                found.append(pid)",
        "tests/unit/runtime/worker/test_strays.py::test_what_the_agent_started_is_left_alone",
    ),
    Mutant(
        "a look for strays has no bound",
        "runtime/worker/strays.py",
        ("            if len(found) == LOOK_MAX:\n                break\n"),
        "",
        "tests/unit/runtime/worker/test_strays.py::test_one_look_ends_a_bounded_number",
    ),
    Mutant(
        "a stray that does not die is waited for",
        "runtime/worker/strays.py",
        "if now_s - self._killed_s.setdefault(pid, now_s) < UNDYING_S:",
        "if self._killed_s.setdefault(pid, now_s) or True:",
        "tests/unit/runtime/worker/test_strays.py::test_a_stray_that_does_not_die_is_told_of_once_and_waited_for_no_more",
    ),
    Mutant(
        "what a killed agent left runs on",
        "runtime/worker/scratch.py",
        '        ended = sum(end_those_in(f"{self._path}/{name}") for name in (SLOTS, ATTEMPTS))\n',
        "        ended = 0\n",
        "tests/process/gpu_worker/test_strays.py::test_what_an_agent_that_was_killed_left_is_ended_by_the_next",
    ),
    Mutant(
        "cgroups of killed agents stay",
        "runtime/worker/cgroups.py",
        ("                _kill(group)\n                self.ended.append(group)"),
        "                pass",
        "tests/unit/runtime/worker/test_cgroups.py::test_what_an_agent_that_was_killed_left_is_ended_and_nothing_else",
    ),
    Mutant(
        "deleting happens on the loop that heartbeats",
        "runtime/worker/deletion.py",
        (
            "        with self._state:\n"
            "            self._wanted = True\n"
            "            self._state.notify_all()\n"
            "\n"
            "    def have"
        ),
        ("        while self._sweep():\n            pass\n\n    def have"),
        "tests/unit/runtime/worker/test_scratch.py::test_who_has_something_deleted_does_not_wait_for_it",
    ),
    Mutant(
        "a deep tree is deleted by recursion",
        "runtime/worker/deletion.py",
        (
            "        if within != folder:\n"
            "            os.rename(name, _new_name(), src_dir_fd=within, dst_dir_fd=folder)\n"
            "            return True\n"
        ),
        "",
        "tests/unit/runtime/worker/test_scratch.py::test_a_tree_deeper_than_files_may_be_open_is_deleted",
    ),
    Mutant(
        "two agents share a scratch",
        "runtime/worker/scratch.py",
        "        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        pass\n",
        "tests/unit/runtime/worker/test_scratch.py::test_one_agent_to_a_scratch",
    ),
    Mutant(
        "a model hides its temporary files by their date",
        "runtime/worker/scratch.py",
        "is_same = self._untouched.get(slot) == (status.st_ino, status.st_ctime_ns)",
        "is_same = True",
        "tests/unit/runtime/worker/test_scratch.py::test_temporary_files_go_even_when_their_writer_hides_them",
    ),
    Mutant(
        "two agents work with one identity",
        "runtime/worker/identity.py",
        "        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        pass\n",
        "tests/unit/runtime/worker/test_identity.py::test_one_agent_works_with_an_identity",
    ),
    Mutant(
        "a node has a new identity at each start",
        "runtime/worker/identity.py",
        ("    if found:\n        return found\n"),
        "",
        "tests/unit/runtime/worker/test_identity.py::test_it_is_made_at_the_first_start_and_kept",
    ),
    Mutant(
        "an order may name any path",
        "runtime/worker/order_door.py",
        'return _fault_of_dispatch(dispatch) if JOB.fullmatch(job) else "a job id"',
        "return _fault_of_dispatch(dispatch)",
        "tests/unit/runtime/worker/test_order_door.py::test_what_names_no_attempt_of_this_node_is_refused_with_a_sentence",
    ),
    Mutant(
        "one bad order of a record costs all of them",
        "runtime/worker/order_door.py",
        '            refused(f"expected an order with {fault}, found another text or number")\n',
        (
            '            refused(f"expected an order with {fault}, found another text or number")\n'
            "            return []\n"
        ),
        "tests/unit/runtime/worker/test_order_door.py::test_several_orders_in_a_record_are_taken_each_as_if_it_had_come_alone",
    ),
    Mutant(
        "a reader of orders that fails is kept for ever",
        "runtime/worker/order_reader.py",
        (
            "                if failures >= FAILURES_MAX:\n"
            "                    reader, failures = self._renewed(reader), 0\n"
        ),
        "",
        "tests/unit/runtime/worker/test_order_reader.py::test_a_reader_that_fails_again_and_again_is_made_anew_where_it_was",
    ),
    Mutant(
        "a deaf reader of orders is kept",
        "runtime/worker/order_reader.py",
        ("                if self._stands_still(reader):\n                    reader = self._renewed(reader)\n"),
        "",
        "tests/unit/runtime/worker/test_order_reader.py::test_a_reader_that_stands_still_without_an_error_is_made_anew",
    ),
    Mutant(
        "a node joins before it hears",
        "runtime/worker/order_reader.py",
        (
            "        reader = self._opened()\n"
            "        if reader is None:\n"
            "            return\n"
            "        self._listener.positioned(self._session)"
        ),
        (
            "        self._listener.positioned(self._session)\n"
            "        reader = self._opened()\n"
            "        if reader is None:\n"
            "            return"
        ),
        "tests/unit/runtime/worker/test_order_reader.py::test_a_topic_that_does_not_exist_yet_is_waited_for",
    ),
    Mutant(
        "a topic that grew is read at its new end only",
        "runtime/worker/order_reader.py",
        '(self._topic, partition): "beginning"',
        '(self._topic, partition): "end"',
        "tests/unit/runtime/worker/test_order_reader.py::test_when_the_topic_grows_the_former_partition_is_read_as_well",
    ),
    Mutant(
        "heartbeats pile up through an outage",
        "runtime/worker/report_queue.py",
        "        return not self._heartbeat_waits\n",
        "        return True\n",
        "tests/process/gpu_worker/test_agent.py::test_heartbeats_do_not_pile_up_while_the_broker_is_away",
    ),
    Mutant(
        "two records are under way at once",
        "runtime/worker/report_queue.py",
        "if self._under_way is not None or not self._waiting:",
        "if not self._waiting:",
        "tests/unit/runtime/worker/test_report_queue.py::test_what_gathers_while_a_record_is_under_way_goes_into_the_next",
    ),
    Mutant(
        "reports of one record have no bound in bytes",
        "runtime/worker/report_queue.py",
        ("            if reports and room < 0:\n                break\n"),
        "",
        "tests/unit/runtime/worker/test_report_queue.py::test_a_record_is_cut_by_its_bytes",
    ),
    Mutant(
        "reports refused for their size come again as they were",
        "runtime/worker/report_queue.py",
        "                self._reports_bytes_max = len(encode(record)) // 2\n",
        "",
        "tests/unit/runtime/worker/test_report_queue.py::test_reports_refused_for_their_size_are_said_in_smaller_records",
    ),
    Mutant(
        "a heartbeat refused for its size comes again with its lists",
        "runtime/worker/report_queue.py",
        ("        if self._brief:\n            self._brief -= 1"),
        ("        if False:\n            self._brief -= 1"),
        "tests/unit/runtime/worker/test_report_queue.py::test_a_join_and_a_heartbeat_refused_for_their_size_come_without_versions_for_a_while",
    ),
    Mutant(
        "every heartbeat lists every version",
        "runtime/worker/report_queue.py",
        "record.cached_digest and record.cached_digest == self._told:",
        "False:",
        "tests/unit/runtime/worker/test_report_queue.py::test_cached_versions_are_listed_with_the_join_and_again_only_when_they_change",
    ),
    Mutant(
        "a loop that stands still is left alone",
        "runtime/worker/watchdog.py",
        ("        self._end()\n\n"),
        ("        return\n\n"),
        "tests/process/runtime/worker/test_watchdog.py::test_a_loop_that_stands_still_ends_the_process_and_says_where_it_stood",
    ),
)
