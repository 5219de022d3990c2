"""Mutants: rights and logins in Postgres, owners of models, who may see a model."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_MIGRATION = "migrations/versions/0010_authors.py"
_LOGINS = "tests/integration/registry/test_logins.py::"
_RELAY = "tests/integration/registry/test_relay.py::"
_SERVICES = "tests/integration/local/test_services.py::"
_API = "tests/integration/api/test_audiences.py::"
_WORDS = "tests/unit/registry/test_audiences.py::"
_SAID = "tests/integration/registry/test_audiences.py::"
_INTAKE = "tests/unit/streams/test_admission.py::"
_HIDDEN = _API + "test_it_is_answered_as_one_that_is_not_there"
_AGAIN = _API + "test_what_was_let_in_before_it_was_shut_is_found_again"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "an author reads the API's keys",
        "runtime/database_rights.py",
        '    "views.publishing_rules": _READ,\n',
        '    "views.publishing_rules": _READ,\n    "registry.keys": _READ,\n',
        _LOGINS + "test_what_a_login_must_not_do_is_denied[author]",
    ),
    Mutant(
        "rights that a role had once stay",
        "runtime/database_rights.py",
        '        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(schemas, group),\n',
        "",
        _LOGINS + "test_a_right_that_is_no_longer_in_the_table_is_taken_away",
    ),
    Mutant(
        "every login makes temporary tables",
        "runtime/database_rights.py",
        "REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC",
        "GRANT TEMPORARY ON DATABASE {} TO PUBLIC",
        _LOGINS + "test_what_a_login_must_not_do_is_denied[author]",
    ),
    Mutant(
        "an author holds up the relay",
        "runtime/database_rights.py",
        '        sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(sql.SQL(", ".join(LOCKS))),\n',
        "",
        _LOGINS + "test_what_a_login_must_not_do_is_denied[author]",
    ),
    Mutant(
        "an author keeps others from publishing",
        _MIGRATION,
        "    PERFORM registry.require_owner(model); -- else an author could keep others from publishing\n",
        "",
        _LOGINS + "test_an_author_who_holds_a_model_of_another_is_refused_before_he_waits",
    ),
    Mutant(
        "a login keeps the role that it had",
        "runtime/database_logins.py",
        'connection.execute(sql.SQL("REVOKE {} FROM {}").format(group, name))',
        "pass",
        _LOGINS + "test_a_login_has_one_role_at_a_time",
    ),
    Mutant(
        "whoever may call a function writes as the owner of the tables",
        _MIGRATION,
        '        op.execute(f"REVOKE EXECUTE ON FUNCTION registry.{function}() FROM PUBLIC")\n',
        "        pass\n",
        _LOGINS + "test_no_author_hangs_what_writes_as_the_owner_on_a_table_of_his_own[point_alias]",
    ),
    Mutant(
        "an author publishes every model",
        _MIGRATION,
        "    IF owner <> session_user THEN\n",
        "    IF false THEN\n",
        _LOGINS + "test_an_author_who_goes_round_the_command_is_refused_by_the_database",
    ),
    Mutant(
        "the refusal comes after the upload",
        "registry/publishing.py",
        "        owners.require(connection, manifest.name)\n        pool = _pool_for",
        "        pool = _pool_for",
        _LOGINS + "test_another_authors_model_is_refused_in_a_sentence_before_anything_is_uploaded",
    ),
    Mutant(
        "a client says who published",
        _MIGRATION,
        "        NEW.published_by := session_user;\n",
        "",
        _LOGINS + "test_an_author_publishes_as_the_login_and_not_as_the_client_says",
    ),
    Mutant(
        "a client says who moved an alias",
        _MIGRATION,
        "        NEW.moved_by := session_user;\n",
        "",
        _LOGINS + "test_an_author_publishes_as_the_login_and_not_as_the_client_says",
    ),
    Mutant(
        "a model belongs to nobody",
        _MIGRATION,
        "        VALUES (NEW.name, 1, session_user, session_user, 'registered it');\n",
        "        VALUES (NEW.name, 1, '', session_user, 'registered it');\n",
        _LOGINS + "test_an_author_publishes_as_the_login_and_not_as_the_client_says",
    ),
    Mutant(
        "an author sees everybody's versions",
        _MIGRATION,
        "OR registry.owner_of(model) = session_user);",
        "OR true);",
        _LOGINS + "test_an_author_sees_no_version_and_no_alias_of_another",
    ),
    Mutant(
        "an author numbers moves as he likes",
        _MIGRATION,
        "    PERFORM registry.is_numbered(NEW.move, last.move, format('alias %s@%s', NEW.model, NEW.alias));\n",
        "",
        _LOGINS + "test_moves_of_an_author_are_numbered_without_gaps",
    ),
    Mutant(
        "an author names models as he likes",
        _MIGRATION,
        "    IF NEW.name !~ ",
        "    IF false AND NEW.name !~ ",
        _LOGINS + "test_names_that_are_none_are_refused",
    ),
    Mutant(
        "an author hands models over",
        "registry/owners.py",
        '        if not connection.execute(text("SELECT registry.is_operator()")).scalar_one():',
        "        if False:",
        _LOGINS + "test_what_was_there_and_what_operators_register_is_theirs_until_they_hand_it_over",
    ),
    Mutant(
        "what owned a model is rewritten",
        _MIGRATION,
        'INSERT_ONLY = ("owners", "audience_changes")',
        'INSERT_ONLY = ("audience_changes",)',
        _LOGINS + "test_who_owned_a_model_is_not_rewritten",
    ),
    Mutant(
        "a scheduler is told of another model's manifest",
        "registry/relay.py",
        "    if manifest.name != row.model:",
        "    if False:",
        _RELAY + "test_a_manifest_that_is_none_or_anothers_is_told_to_nobody_and_holds_up_nothing",
    ),
    Mutant(
        "a manifest that is none stops the relay",
        "registry/relay.py",
        "        except RegistryError as error:\n            failures",
        "        except ZeroDivisionError as error:\n            failures",
        _RELAY + "test_a_manifest_that_is_none_or_anothers_is_told_to_nobody_and_holds_up_nothing",
    ),
    Mutant(
        "whoever reaches the socket is a superuser",
        "local/postgres_passwords.py",
        '_SHUT, _OPEN = "local all all scram-sha-256\\n"',
        '_SHUT, _OPEN = "local all all trust\\n"',
        _SERVICES + "test_data_that_let_in_everybody_lets_in_nobody_without_a_password_any_more",
    ),
    Mutant(
        "data of older releases stays open",
        "local/postgres_server.py",
        "                    shut(connection, self._data, self.passwords.of(OWNER), self._owner)\n",
        "                    pass\n",
        _SERVICES + "test_data_that_let_in_everybody_lets_in_nobody_without_a_password_any_more",
    ),
    Mutant(
        "a process of the stack has the owner's login",
        "local/composition.py",
        "            settings = self._as(settings, role)\n",
        "            settings = self._as(settings, OWNER)\n",
        "tests/unit/local/test_composition.py::test_each_process_has_a_login_of_the_database_of_its_own",
    ),
    Mutant(
        "a submission asks not whether its tenant may see the model",
        "api/catalog.py",
        "        if not await self._is_seen(version.model, viewer) and not",
        "        if False and not",
        _HIDDEN,
    ),
    Mutant(
        "what is wrong with an alias tells that there is a model",
        "api/catalog.py",
        "            if not await self._is_seen(name, viewer):",
        "            if False:",
        _HIDDEN,
    ),
    Mutant(
        "a refusal lists models that the caller may not see",
        "api/catalog.py",
        "seen = await self._in_thread(audiences.seen_of, self._engine, viewer, known)",
        "seen = known",
        _HIDDEN,
    ),
    Mutant(
        "the list shows every model",
        "api/models.py",
        "[known[name] for name in audiences.seen_of(engine, viewer, known)]",
        "list(known.values())",
        _HIDDEN,
    ),
    Mutant(
        "a model's page is shown to everybody",
        "api/models.py",
        "    if not audiences.of(engine, name).sees(viewer):",
        "    if False:",
        _HIDDEN,
    ),
    Mutant(
        "a key of a job is refused once the model is shut",
        "api/submissions.py",
        "        return bool(given_key) and await resources.read(_is_repeated, job, asked)",
        "        return False",
        _AGAIN,
    ),
    Mutant(
        "whoever knows a key of his own sees every model",
        "views/receipts.py",
        "    return found is not None and fingerprint(found.salt, request) == found.fingerprint",
        "    return found is not None",
        _AGAIN,
    ),
    Mutant(
        "any tier of the key counts for a job",
        "api/callers.py",
        "    tiers = (tier,) if tier is not None and tier in key.tiers else key.tiers",
        "    tiers = key.tiers",
        _API + "test_a_tier_that_may_runs_it_and_the_others_of_the_same_key_do_not",
    ),
    Mutant(
        "an operator sees what his tenant sees",
        "api/callers.py",
        'sees_all=key.scope == "operator"',
        "sees_all=False",
        _API + "test_a_tenant_who_may_sees_it_and_runs_it_and_an_operator_sees_all",
    ),
    Mutant(
        "intake asks not whether the tenant may see the model",
        "streams/door/admission.py",
        "            if not self._is_seen(model, request) and not",
        "            if False and not",
        _INTAKE + "test_a_model_that_the_tenant_may_not_see_is_one_that_is_not_there",
    ),
    Mutant(
        "intake refuses copies of what it let in",
        "streams/door/admission.py",
        " and not self._is_known(job):",
        ":",
        _INTAKE + "test_a_copy_of_what_was_let_in_before_the_model_was_shut_goes_the_way_of_every_copy",
    ),
    Mutant(
        "a failure to ask who may see a model refuses the record",
        "streams/door/admission.py",
        "_answered(partial(self._audiences.of, model))",
        "self._audiences.of(model)",
        _INTAKE + "test_who_may_see_a_model_is_no_question_of_the_record[of]",
    ),
    Mutant(
        "a tier counts before its tenant",
        "registry/audiences.py",
        "        if of_tenant is not None:\n            return of_tenant\n",
        "",
        _WORDS + "test_the_most_particular_word_counts",
    ),
    Mutant(
        "the oldest word of a tenant counts",
        "registry/audiences.py",
        "ORDER BY model, kind, name, change DESC",
        "ORDER BY model, kind, name, change",
        _SAID + "test_the_newest_word_of_a_tenant_counts_and_all_are_kept",
    ),
    Mutant(
        "a model may have any number of rules",
        "registry/audiences.py",
        "        if len(rules) >= RULES_MAX and",
        "        if False and",
        _SAID + "test_what_names_nothing_is_refused",
    ),
    Mutant(
        "a door never hears of a change",
        "registry/audiences.py",
        "Answers(kept_rules_max, ttl_s, size_of=_size_of)",
        "Answers(kept_rules_max, size_of=_size_of)",
        _SAID + "test_a_door_hears_of_a_change_when_its_answer_is_old",
    ),
)
