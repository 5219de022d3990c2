"""Mutants: a stack on one machine, its image, its commands, its policy, and the sweep of results."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "properties are written as they are",
        "local/java.py",
        'f"{name}={_escaped(value)}\\n"',
        'f"{name}={value}\\n"',
        "tests/unit/local/test_java.py::test_properties_hold_every_value_in_ascii",
    ),
    Mutant(
        "Java decodes names of files by the locale",
        "local/java.py",
        '    return environment_of_a_server(os.environ) | {"LC_ALL": UTF8_LOCALE}',
        "    return environment_of_a_server(os.environ)",
        "tests/unit/local/test_java.py::test_java_decodes_names_of_files_as_utf_8_whatever_the_locale",
    ),
    Mutant(
        "a socket lies at a path that is too long",
        "local/postgres_server.py",
        "    return fits and not set(str(folder)) & set(_ENDS_A_PATH)",
        "    return True",
        "tests/unit/local/test_postgres_server.py::test_a_path_that_is_too_long_for_a_socket_or_ends_in_a_list_has_its_socket_elsewhere",
    ),
    Mutant(
        "a user without a name cannot prepare Postgres",
        "local/postgres_server.py",
        '    prefix = ["unshare", "--user", f"--map-user={_SOME_NAMED_USER}"]',
        ('    return []\n    prefix = ["unshare", "--user", f"--map-user={_SOME_NAMED_USER}"]'),
        "tests/unit/local/test_postgres_server.py::test_a_user_without_a_name_is_lent_one",
    ),
    Mutant(
        "whoever listens is our server",
        "local/ports.py",
        "known.status == psutil.CONN_LISTEN and known.laddr.port == port for known in connections",
        "True for known in (0,)",
        "tests/unit/local/test_ports.py::test_a_taken_port_is_named_with_what_to_do",
    ),
    Mutant(
        "a sweep removes what an attempt may still store",
        "operations/result_sweep.py",
        "            if named_ms + REST_MS <= now_ms and not self._is_erased(job, dispatch):",
        "            if not self._is_erased(job, dispatch):",
        "tests/unit/operations/test_result_sweep.py::test_what_was_closed_goes_a_lease_later_but_for_error_and_log_and_what_counts_or_is_open_stays",
    ),
    Mutant(
        "a sweep removes what counts",
        "operations/result_sweep.py",
        ("                    self._started.discard(dispatch)\n                    counted.add(dispatch)"),
        "                    self._closed[dispatch] = (event.job, batch.now_ms)",
        "tests/unit/operations/test_result_sweep.py::test_what_was_closed_goes_a_lease_later_but_for_error_and_log_and_what_counts_or_is_open_stays",
    ),
    Mutant(
        "a sweep takes the owner's traceback",
        "operations/result_sweep.py",
        'if key.removeprefix(prefix).partition("/")[0] not in kept]',
        "]",
        "tests/unit/operations/test_result_sweep.py::test_what_was_closed_goes_a_lease_later_but_for_error_and_log_and_what_counts_or_is_open_stays",
    ),
    Mutant(
        "words stored after an erasure stay",
        "operations/result_sweep.py",
        "                    self._erased[job] = ErasedJob(batch.now_ms)",
        "                    pass",
        "tests/unit/operations/test_result_sweep.py::test_words_that_a_node_stores_after_an_erasure_go_all",
    ),
    Mutant(
        "an image without an init",
        "Dockerfile",
        'ENTRYPOINT ["tini", "--", "python", "-m"]',
        'ENTRYPOINT ["python", "-m"]',
        "tests/unit/local/test_compose.py::test_the_image_has_an_init_that_reaps_what_processes_leave",
    ),
    Mutant(
        "a user without a name is an error",
        "cli/caller.py",
        "    except (KeyError, OSError):  # OSError from Python 3.13 on",
        "    except ZeroDivisionError:",
        "tests/unit/cli/test_caller.py::test_a_user_without_a_name_is_known_by_number",
    ),
    Mutant(
        "links break over lines in a pipe",
        "cli/output.py",
        "    out.print(Text(text), soft_wrap=True)",
        "    out.print(Text(text), width=80)",
        "tests/unit/cli/test_jobs.py::test_values_are_printed_and_links_can_be_copied",
    ),
    Mutant(
        "a model steers the terminal",
        "cli/output.py",
        '    shown = "".join(map(_harmless, text)) if out.is_terminal else text',
        "    shown = text",
        "tests/unit/cli/test_jobs.py::test_a_traceback_is_shown_and_cannot_steer_a_terminal",
    ),
    Mutant(
        "merge keys add nothing",
        "contract/policy_document.py",
        "            own = fields | own",
        "            own = own",
        "tests/unit/contract/test_policy_document.py::test_merge_keys_mean_what_yaml_says",
    ),
    Mutant(
        "a duration has one unit",
        "contract/durations.py",
        "    match = _DURATION.fullmatch(text)",
        '    match = _DURATION.fullmatch(text) if re.fullmatch(r"[0-9]+[a-z]+", text) else None',
        "tests/unit/contract/test_policy_document.py::test_a_duration_may_have_several_units",
    ),
    Mutant(
        "status does not ask the object store to do its work",
        "cli/troubles.py",
        '        ask(store, "status")\n',
        "",
        "tests/unit/cli/test_troubles.py::test_an_object_store_that_does_not_do_its_work_is_said_first",
    ),
    Mutant(
        "a server that somebody else started makes ours ready",
        "local/postgres_server.py",
        "        if self.process is None or _postmaster(self._data) != self.process.pid:",
        "        if self.process is None:",
        "tests/unit/local/test_postgres_server.py::test_a_server_that_was_not_started_by_us_does_not_make_ours_ready",
    ),
    Mutant(
        "an erasure takes a later life of the job",
        "operations/result_sweep.py",
        "                yield result_prefix(job), tuple(erased.later)",
        "                yield result_prefix(job), ()",
        "tests/unit/operations/test_result_sweep.py::test_an_erasure_says_nothing_of_a_later_life_of_the_job",
    ),
)
