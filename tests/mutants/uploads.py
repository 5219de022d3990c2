"""Mutants: uploads: whose each is, what becomes ready, and what is removed."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_API = "tests/unit/api/test_uploads.py"
_OWASP = "tests/unit/api/test_owasp_2023.py"
_SWEEP = "tests/unit/operations/test_upload_sweep.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "whoever knows its id has an upload",
        "api/uploads.py",
        "row = await resources_of(request).read(uploads.of, key.tenant, request.path_params",
        'row = await resources_of(request).read(uploads.of, "acme", request.path_params',
        f"{_OWASP}::test_api1_broken_object_level_authorization",
    ),
    Mutant(
        "an upload of another length becomes ready",
        "api/upload_bytes.py",
        "    if size != upload.bytes:\n",
        "    if False:\n",
        f"{_API}::TestOnePiece::test_without_a_hash_only_the_length_counts",
    ),
    Mutant(
        "other bytes than those hashed become ready",
        "api/upload_bytes.py",
        "        if found != upload.sha256:\n",
        "        if False:\n",
        f"{_API}::TestOnePiece::test_other_bytes_than_were_said_never_become_ready",
    ),
    Mutant(
        "an upload with other bytes may be completed again",
        "api/uploads.py",
        "await resources.write(uploads.end, key.tenant, row.upload, UploadState.FAILED, str(error))",
        "None",
        f"{_API}::TestOnePiece::test_other_bytes_than_were_said_never_become_ready",
    ),
    Mutant(
        "an upload is ready before the store says so",
        "api/upload_bytes.py",
        "    store.put(upload_prefix(upload.tenant, upload.upload) + UPLOAD_READY, encode(ready))\n",
        "",
        f"{_API}::TestOnePiece::test_it_is_ready_when_its_bytes_were_looked_at",
    ),
    Mutant(
        "a second complete is refused",
        "api/uploads.py",
        "    if row.state == UploadState.READY:\n        return reply",
        "    if False:\n        return reply",
        f"{_API}::TestOnePiece::test_completed_twice_is_ready_once",
    ),
    Mutant(
        "parts are joined though some are missing",
        "api/upload_bytes.py",
        "    if missing:\n",
        "    if False:\n",
        f"{_API}::TestParts::test_they_come_in_any_order_and_again",
    ),
    Mutant(
        "parts are joined over an object that is there",
        "api/upload_bytes.py",
        "    if size is None:\n        if upload.parts:",
        "    if True:\n        if upload.parts:",
        f"{_API}::TestParts::test_an_upload_whose_object_is_there_is_never_joined_again",
    ),
    Mutant(
        "a part of any size has arrived",
        "api/upload_bytes.py",
        "if whole.get(number) == part.bytes)",
        "if number in whole)",
        f"{_API}::TestParts::test_a_part_of_another_size_has_not_arrived",
    ),
    Mutant(
        "whoever loses the race to complete is told of a defect",
        "api/upload_bytes.py",
        "    except Missing:\n        return  # somebody",
        "    except ZeroDivisionError:\n        return  # somebody",
        f"{_API}::TestParts::test_two_that_complete_at_once_are_both_answered",
    ),
    Mutant(
        "bytes that arrived are exchanged through the API",
        "api/uploads.py",
        "resources.store.put, key, block, if_absent=True)",
        "resources.store.put, key, block)",
        f"{_API}::TestOnePiece::test_bytes_that_arrived_are_not_exchanged",
    ),
    Mutant(
        "a large file is exchanged through the API",
        "api/uploads.py",
        "    if await _answered(resources.in_store(resources.store.exists, key)):",
        "    if False:",
        f"{_API}::TestThroughTheApi::test_a_large_piece_goes_to_the_store_in_blocks",
    ),
    Mutant(
        "a file that was cut off leaves its parts",
        "api/uploads.py",
        "        await _abort(resources, key, parts)\n",
        "",
        f"{_API}::TestThroughTheApi::test_of_a_large_piece_that_was_cut_off_nothing_stays",
    ),
    Mutant(
        "a body may be longer than was said",
        "api/streamed_body.py",
        "        if taken > size:\n",
        "        if False:\n",
        f"{_API}::TestThroughTheApi::test_bytes_are_counted_whatever_is_claimed",
    ),
    Mutant(
        "a body may be shorter than was said",
        "api/streamed_body.py",
        "    if taken < size:\n",
        "    if False:\n",
        f"{_API}::TestThroughTheApi::test_bytes_are_counted_whatever_is_claimed",
    ),
    Mutant(
        "a claim of another length is read all the same",
        "api/streamed_body.py",
        "    if claimed and claimed != str(size):\n",
        "    if False:\n",
        "tests/unit/api/test_streamed_body.py::test_a_claim_of_another_length_is_refused_unread",
    ),
    Mutant(
        "a body is kept until it is whole",
        "api/streamed_body.py",
        "        while len(block) >= block_bytes:\n",
        "        while False:\n",
        "tests/unit/api/test_streamed_body.py::test_a_block_is_given_on_before_the_next_is_read",
    ),
    Mutant(
        "a body may come as slowly as it likes",
        "api/streamed_body.py",
        "            async with asyncio.timeout(left_s):\n",
        "            async with asyncio.timeout(None):\n",
        "tests/unit/api/test_streamed_body.py::test_a_body_that_stops_is_ended",
    ),
    Mutant(
        "our own work on a block makes a client slow",
        "api/streamed_body.py",
        "        begun_s = clock()\n",
        "        begun_s = begun_s if taken else clock()\n",
        "tests/unit/api/test_streamed_body.py::test_our_own_work_is_no_fault_of_the_client",
    ),
    Mutant(
        "one tenant sends through the API as much as it likes",
        "api/uploads.py",
        "    if not resources.senders.take(key.tenant):\n",
        "    if False:\n",
        f"{_API}::TestThroughTheApi::test_a_tenant_sends_few_pieces_at_once_and_all_together_no_more_than_fit",
    ),
    Mutant(
        "all together send through the API as much as they like",
        "api/uploads.py",
        '    if not resources.all_senders.take(""):\n',
        "    if False:\n",
        f"{_API}::TestThroughTheApi::test_a_tenant_sends_few_pieces_at_once_and_all_together_no_more_than_fit",
    ),
    Mutant(
        "a turn to send is kept for ever",
        "api/uploads.py",
        "    request.scope[ENDS].append(partial(resources.senders.give_back, key.tenant))\n",
        "",
        f"{_API}::TestThroughTheApi::test_a_tenant_sends_few_pieces_at_once_and_all_together_no_more_than_fit",
    ),
    Mutant(
        "a private store gives links",
        "api/uploads.py",
        "    links = resources.settings.upload_links\n",
        "    links = True\n",
        f"{_API}::TestOnePiece::test_a_private_store_gives_no_links",
    ),
    Mutant(
        "an upload may be larger than a file of media",
        "api/uploads.py",
        "    if not 1 <= asked.bytes <= BYTES_MAX:\n",
        "    if not 1 <= asked.bytes:\n",
        f"{_API}::TestQuotas::test_what_no_upload_can_be_is_refused",
    ),
    Mutant(
        "a deleted upload stays in the store",
        "api/uploads.py",
        "    if ended is not None and await _empty(resources, ended):\n"
        "        await resources.write(uploads.note_emptied, row.upload)\n    return",
        "    return",
        f"{_API}::TestEnds::test_a_ready_one_that_is_deleted_leaves_nothing",
    ),
    Mutant(
        "an upload that was deleted while it was completed leaves its objects",
        "api/uploads.py",
        "            await _empty(resources, row)\n",
        "",
        f"{_API}::TestEnds::test_one_that_is_deleted_while_it_is_completed_is_not_ready",
    ),
    Mutant(
        "an upload that ended takes bytes",
        "api/uploads.py",
        "    row = _pending(await _own(request, key))\n",
        "    row = await _own(request, key)\n",
        f"{_API}::TestEnds::test_a_ready_one_that_is_deleted_leaves_nothing",
    ),
    Mutant(
        "while the store is away nobody is told",
        "api/uploads.py",
        '    except UNAVAILABLE as error:\n        log.warning("object store", found=str(error))\n        raise',
        '    except ArithmeticError as error:\n        log.warning("object store", found=str(error))\n        raise',
        f"{_API}::TestStoreAway::test_every_step_says_so_and_can_be_done_again",
    ),
    Mutant(
        "what was never joined stays in the store",
        "operations/upload_sweep.py",
        "        store.abort_parts(key, parts)\n",
        "        pass\n",
        f"{_SWEEP}::test_parts_that_were_never_joined_go",
    ),
    Mutant(
        "an upload is noted as removed before it is",
        "operations/upload_sweep.py",
        "            empty(store, upload)\n            with engine.begin() as connection:\n"
        "                note(connection, upload.upload)\n",
        "            with engine.begin() as connection:\n                note(connection, upload.upload)\n"
        "            empty(store, upload)\n",
        f"{_SWEEP}::test_while_the_store_is_away_nothing_is_noted_and_the_next_sweep_goes_on",
    ),
    Mutant(
        "a row goes without a last look at the store",
        "operations/upload_sweep.py",
        "            empty(store, upload)\n",
        "            if note is uploads.note_emptied:\n                empty(store, upload)\n",
        f"{_SWEEP}::test_what_a_link_sends_after_the_end_goes_before_the_row",
    ),
    Mutant(
        "a sweep takes a hundred and rests",
        "operations/upload_sweep.py",
        "ROUNDS_MAX = 100",
        "ROUNDS_MAX = 1",
        f"{_SWEEP}::test_many_go_in_one_sweep",
    ),
)
