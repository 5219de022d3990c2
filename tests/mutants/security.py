"""Mutants of what keeps others out: settings, modes, what is installed, names from nodes, values of requests."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_SETTINGS = "tests/unit/runtime/test_settings.py"
_ROLES = "tests/unit/runtime/test_roles.py"
_DATA = "tests/unit/local/test_data_directory.py"
_COMPOSE = "tests/unit/local/test_compose.py"
_FAILURES = (
    "tests/process/runtime/test_telemetry.py::test_of_a_failure_whoever_logs_it_a_line_has_the_classes_and_the_places"
)
_PLAIN = "tests/unit/api/test_plain_values.py::test_it_is_refused_before_any_handler"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "every variable of the environment reaches uv",
        "registry/uv.py",
        "    return name in PASSED or (asks_index and for_index)",
        '    return not name.startswith("HEADRACE_")',
        "tests/unit/registry/test_uv.py::test_a_variable_that_is_not_listed_stays_with_us",
    ),
    Mutant(
        "an index's password reaches every call of uv",
        "registry/uv.py",
        "(asks_index and for_index)",
        "for_index",
        "tests/unit/registry/test_uv.py::test_only_a_call_that_asks_an_index_gets_the_index_and_its_password",
    ),
    Mutant(
        "a value of a path has any length and NUL",
        "api/operations.py",
        "    if not all(map(_is_plain, request.path_params.values())):",
        "    if False:",
        _PLAIN,
    ),
    Mutant(
        "a value of a query has any length and NUL",
        "api/operations.py",
        "    if not all(_is_plain(text) for pair in request.query_params.multi_items() for text in pair):",
        "    if False:",
        _PLAIN,
    ),
    Mutant(
        "a manifest names any object",
        "contract/codec.py",
        "    if not all(is_output_name(file.name) for file in manifest.files):",
        "    if False:",
        "tests/unit/contract/test_codec.py::test_a_manifest_names_files_of_its_attempt_alone",
    ),
    Mutant(
        "everybody reads what a process of ours writes",
        "runtime/entry.py",
        "    os.umask(UMASK)",
        "    os.umask(0o022)",
        "tests/unit/runtime/test_entry.py::test_nobody_else_reads_what_a_process_writes",
    ),
    Mutant(
        "a process of the same user reads the memory of ours",
        "runtime/entry.py",
        "    keep_memory_private()\n",
        "",
        "tests/unit/runtime/test_entry.py::test_nobody_else_reads_the_memory_of_a_process",
    ),
    Mutant(
        "a process that answers on the port of ours is taken for ours",
        "local/program.py",
        " and answer.headers.get(PROCESS_HEADER) == str(self._running().pid)",
        "",
        "tests/process/local/test_program.py::test_the_answer_of_another_process_on_its_port_is_not_its_own",
    ),
    Mutant(
        "an environment in which a file was planted is whole",
        "registry/environments.py",
        " and seen == tree_digest(place, COMPLETE).encode()",
        "",
        "tests/unit/registry/test_trees.py::test_what_somebody_touched_is_not[plant]",
    ),
    Mutant(
        "what is compiled is not looked at",
        "registry/trees.py",
        "        if not stat.S_ISDIR(status.st_mode) and name != marker:\n",
        "        if not stat.S_ISDIR(status.st_mode) and name != marker and '__pycache__' not in name:\n",
        "tests/unit/registry/test_trees.py::test_what_somebody_touched_is_not[compile_anew]",
    ),
    Mutant(
        "everybody reads what a server of the stack writes",
        "local/processes.py",
        "                umask=UMASK,\n",
        "",
        "tests/process/local/test_processes.py::test_nobody_else_reads_its_log_or_what_it_writes",
    ),
    Mutant(
        "a stack's data lies in a folder of another user",
        "local/data_directory.py",
        "    if found.st_uid != os.geteuid():",
        "    if False:",
        f"{_DATA}::test_the_folder_of_another_user_is_refused",
    ),
    Mutant(
        "a folder of other things is shut to those who use it",
        "local/data_directory.py",
        "    if not a_stacks and any(layout.data.iterdir()):",
        "    if False:",
        f"{_DATA}::test_a_folder_of_other_things_that_others_may_read_is_refused_and_left_alone",
    ),
    Mutant(
        "links in a data directory lead the change of modes out of it",
        "local/data_directory.py",
        "not stat.S_ISLNK(found.st_mode) and ",
        "",
        f"{_DATA}::test_what_an_older_release_left_is_shut_and_counted",
    ),
    Mutant(
        "Java runs jars that changed since they were fetched",
        "local/jars/cache.py",
        '    require_untouched(server)\n    return f"{_target(server)}/*"',
        '    return f"{_target(server)}/*"',
        "tests/unit/local/test_jars.py::test_jars_that_changed_since_they_were_fetched_are_refused_before_use",
    ),
    Mutant(
        "Java runs a jar that no lock names",
        "local/jars/cache.py",
        "for name in kept if name not in locked",
        "for name in kept if False",
        "tests/unit/local/test_jars.py::test_jars_that_changed_since_they_were_fetched_are_refused_before_use",
    ),
    Mutant(
        "uv is fetched without its hash",
        "local/fetch_uv.sh",
        "--quiet --require-hashes ",
        "--quiet ",
        "tests/process/local/test_machine.py::test_uv_itself_is_fetched_by_the_version_and_the_hashes_of_the_lock",
    ),
    Mutant(
        "what builds us is fetched without a pin",
        "Makefile",
        "--no-deps --no-build-isolation --editable",
        "--no-deps --editable",
        "tests/unit/local/test_lock.py::"
        "test_nothing_is_installed_without_hashes_or_built_in_an_environment_of_its_own[Makefile]",
    ),
    Mutant(
        "a package that nobody could ask about is clean",
        "local/supply/vulnerabilities.py",
        "    if skipped or not packages:",
        "    if not packages:",
        "tests/unit/local/test_supply.py::test_only_what_was_audited_is_clean",
    ),
    Mutant(
        "a node has the DSN",
        "runtime/roles.py",
        "    Role.NODE: _EVERYBODY | ",
        "    Role.NODE: _EVERYBODY | DATABASE | ",
        f"{_ROLES}::test_a_node_where_models_run_knows_no_database_and_no_key_but_its_own",
    ),
    Mutant(
        "a process inherits the credentials of other roles",
        "runtime/roles.py",
        "    return _without(inherited, shut) |",
        "    return dict(inherited) |",
        f"{_ROLES}::test_a_process_reads_its_settings_again_and_finds_no_others",
    ),
    Mutant(
        "a secret that everybody knows is taken",
        "runtime/settings.py",
        "    if secret.lower() in KNOWN_SECRETS:",
        "    if False:",
        f"{_SETTINGS}::test_a_secret_that_everybody_knows_is_refused_and_not_quoted",
    ),
    Mutant(
        "the API speaks plain HTTP to every machine",
        "runtime/settings.py",
        "        if not self.api_plain_http and not _is_this_machine(self.api_host):",
        "        if False:",
        f"{_SETTINGS}::test_plain_http_for_other_machines_is_refused_unless_a_setting_says_so",
    ),
    Mutant(
        "a node reaches Postgres and the API",
        "docker-compose.yml",
        "    networks: [work]\n    pids_limit",
        "    networks: [work, control]\n    pids_limit",
        f"{_COMPOSE}::test_a_node_reaches_neither_postgres_nor_the_api",
    ),
    Mutant(
        "compose has a default secret",
        "docker-compose.yml",
        "      S3PROXY_CREDENTIAL: ${S3_SECRET_KEY:?run `make compose-secrets`, which draws it into .env}",
        "      S3PROXY_CREDENTIAL: ${S3_SECRET_KEY:-own}",
        f"{_COMPOSE}::test_no_secret_has_a_default",
    ),
    Mutant(
        "the secrets of compose are for everybody to read",
        "local/compose_secrets.sh",
        'chmod 600 "$file"\n',
        "",
        "tests/process/local/test_compose_secrets.py::test_the_secrets_are_drawn_once_into_a_file_of_the_owners",
    ),
    Mutant(
        "Postgres goes on as nobody",
        "local/postgres_server.py",
        "        if owner.st_uid != _SOME_NAMED_USER:",
        "        if True:",
        "tests/unit/local/test_postgres_server.py::test_data_keeps_its_owner_unless_that_is_nobody",
    ),
    Mutant(
        "Postgres runs as a user that another program runs as",
        "local/postgres_server.py",
        "        if uid not in taken and _is_mapped(uid):",
        "        if _is_mapped(uid):",
        "tests/unit/local/test_postgres_server.py::test_root_runs_it_as_a_user_that_nobody_else_is",
    ),
    Mutant(
        "a process where models run inherits the agent's environment",
        "runtime/worker/canary_flight.py",
        "            env={},  # any process of this user can read what another one was given\n",
        "",
        "tests/unit/architecture/test_environments.py::test_no_process_inherits_our_environment",
    ),
    Mutant(
        "a library's line has the whole text of a failure",
        "runtime/telemetry.py",
        "    handler.addFilter(WordlessArguments())",
        "",
        _FAILURES,
    ),
    Mutant(
        "the text of a failure is in the log beside its places",
        "runtime/telemetry.py",
        "+ type(error).__name__)",
        "+ repr(error))",
        _FAILURES,
    ),
)
