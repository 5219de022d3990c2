"""Each role's rights in the object store are those that its code uses: nothing is missing, and nothing is to spare.

The table says of every place in the product that asks the store, who gets there and below which prefix. The places are
read from the code, so a new one fails this test until the table has it; then the rights must follow.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from runtime.roles import AUTHOR, OPERATOR, Role
from runtime.store_rights import PREFIXES, RIGHTS, Right
from tests.unit.architecture.product import ROOT, SOURCES

_SEES = {Right.READ, Right.LIST}
"""Without LIST a store does not say that an object is not there."""

NEEDS = {
    "get": _SEES,
    "get_file": _SEES,
    "exists": _SEES,
    "presign": {Right.READ},
    "put": {Right.WRITE},
    "put_file": {Right.WRITE, *_SEES},  # looks whether the object is there
    "put_stream": {Right.WRITE},
    "size_of": _SEES,
    "sha256_of": _SEES,
    "presign_put": {Right.WRITE},
    "presign_part": {Right.WRITE},
    "begin_parts": {Right.WRITE},
    "put_part": {Right.WRITE},
    "arrived_parts": {Right.WRITE},
    "join_parts": {Right.WRITE},
    "abort_parts": {Right.WRITE},
    "begun_parts": {Right.LIST},
    "list": {Right.LIST},
    "delete": {Right.DELETE},
    "delete_prefix": {Right.LIST, Right.DELETE},
    "bucket_exists": {Right.LIST},
    "ensure_bucket": {Right.LIST},
}
NOBODY: tuple[str, ...] = ()
"""Every login is refused there, and whoever asks goes on without."""

USES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "api/attempts.py _text get": ((Role.API,), ("results/",)),
    "api/media_refusals.py refusal_of get": ((Role.API,), ("inputs/",)),
    "api/results.py _assemble get": ((Role.API,), ("results/",)),
    "api/results.py _assemble presign": ((Role.API,), ("results/",)),
    "api/upload_bytes.py arrived_of arrived_parts": ((Role.API,), ("uploads/",)),
    "api/upload_bytes.py arrived_of size_of": ((Role.API,), ("uploads/",)),
    "api/upload_bytes.py joined put": ((Role.API,), ("uploads/",)),
    "api/upload_bytes.py joined sha256_of": ((Role.API,), ("uploads/",)),
    "api/upload_bytes.py _join arrived_parts": ((Role.API,), ("uploads/",)),
    "api/upload_bytes.py _join join_parts": ((Role.API,), ("uploads/",)),
    "api/upload_bytes.py _link presign_part": ((Role.API,), ("uploads/",)),
    "api/upload_bytes.py _link presign_put": ((Role.API,), ("uploads/",)),
    "api/upload_bytes.py _size_of size_of": ((Role.API,), ("uploads/",)),
    "api/uploads.py _abort abort_parts": ((Role.API,), ("uploads/",)),
    "api/uploads.py _joined arrived_parts": ((Role.API,), ("uploads/",)),
    "api/uploads.py _joined join_parts": ((Role.API,), ("uploads/",)),
    "api/uploads.py _put_part put_part": ((Role.API,), ("uploads/",)),
    "api/uploads.py _receive_whole begin_parts": ((Role.API,), ("uploads/",)),
    "api/uploads.py _receive_whole exists": ((Role.API,), ("uploads/",)),
    "api/uploads.py _receive_whole put": ((Role.API,), ("uploads/",)),
    "api/uploads.py create_upload begin_parts": ((Role.API,), ("uploads/",)),
    "audit/verify/results.py _verify get": ((OPERATOR,), ("results/",)),
    "audit/verify/results.py _verify exists": ((OPERATOR,), ("results/",)),
    "cpu_worker/io/media_sources.py _fetch_upload get": ((Role.CPU_WORKER,), ("uploads/",)),
    "cpu_worker/io/media_sources.py fetch get_file": ((Role.CPU_WORKER,), ("uploads/", "results/")),
    "cpu_worker/io/prepared_objects.py put put": ((Role.CPU_WORKER,), ("inputs/",)),
    "cpu_worker/io/prepared_objects.py put put_stream": ((Role.CPU_WORKER,), ("inputs/",)),
    "cpu_worker/io/prepared_objects.py _put put": ((Role.CPU_WORKER,), ("inputs/",)),
    "gpu_worker/io/prepared_inputs.py _manifest get": ((Role.NODE,), ("inputs/",)),
    "gpu_worker/io/prepared_inputs.py _fetch_file get_file": ((Role.NODE,), ("inputs/",)),
    "gpu_worker/io/result_objects.py put put": ((Role.NODE,), ("results/",)),
    "gpu_worker/io/result_objects.py put_text put": ((Role.NODE,), ("results/",)),
    "gpu_worker/io/result_objects.py upload put": ((Role.NODE,), ("results/",)),
    "gpu_worker/io/result_objects.py upload put_stream": ((Role.NODE,), ("results/",)),
    "gpu_worker/io/result_objects.py remove delete_prefix": (NOBODY, ("results/",)),
    "local/install.py install_bucket ensure_bucket": ((Role.INSTALL,), PREFIXES),
    "operations/erasure.py run delete_prefix": ((OPERATOR,), ("inputs/", "results/")),
    "operations/erasure.py _has_objects list": ((OPERATOR,), ("inputs/", "results/")),
    "operations/inputs_sweep.py __init__ list": ((OPERATOR,), ("inputs/",)),
    "operations/inputs_sweep.py remove delete": ((OPERATOR,), ("inputs/",)),
    "operations/result_sweep.py sweep list": ((OPERATOR,), ("results/",)),
    "operations/result_sweep.py sweep delete": ((OPERATOR,), ("results/",)),
    "operations/upload_sweep.py empty abort_parts": ((Role.API,), ("uploads/",)),
    "operations/upload_sweep.py empty begun_parts": ((Role.API,), ("uploads/",)),
    "operations/upload_sweep.py empty delete_prefix": ((Role.API,), ("uploads/",)),
    "registry/blobs.py upload put": ((AUTHOR,), ("blobs/",)),
    "registry/blobs.py upload put_file": ((AUTHOR,), ("blobs/",)),
    "registry/blobs.py upload delete_prefix": (NOBODY, ("blobs/",)),
    "registry/blobs.py read get": ((Role.NODE, Role.CPU_WORKER), ("blobs/",)),
    "registry/blobs.py _download get_file": ((Role.NODE,), ("blobs/",)),
    "registry/publishing.py publish put": ((AUTHOR,), ("blobs/",)),
    "registry/wheels.py vendor exists": ((AUTHOR,), ("environments/",)),
    "registry/wheels.py vendor put": ((AUTHOR,), ("environments/",)),
    "registry/wheels.py vendored get": ((Role.NODE,), ("environments/",)),
    "registry/media_names.py _files_of get": ((Role.API, Role.INTAKE), ("results/",)),
    "runtime/object_store_health.py ask put": ((Role.API, OPERATOR), ("probes/",)),
    "runtime/object_store_health.py ask get": ((Role.API, OPERATOR), ("probes/",)),
    "runtime/object_store_health.py require_conditional_writes put": ((Role.INSTALL, OPERATOR), ("probes/",)),
    "runtime/object_store_health.py what_it_supports bucket_exists": ((OPERATOR,), PREFIXES),
    "runtime/object_store_health.py _batch_deletes put": ((OPERATOR,), ("probes/",)),
    "runtime/object_store_health.py _batch_deletes delete_prefix": ((OPERATOR,), ("probes/",)),
    "runtime/object_store_health.py _remove delete_prefix": ((Role.INSTALL, OPERATOR), ("probes/",)),
    "runtime/snapshots.py names_of list": ((Role.SCHEDULER, Role.API, OPERATOR), ("snapshots/",)),
    "runtime/snapshots.py first_usable get": ((Role.SCHEDULER, Role.API, OPERATOR), ("snapshots/",)),
    "streams/door/intake_positions.py write put": ((Role.INTAKE,), ("positions/",)),
    "streams/door/intake_positions.py _known get": ((Role.INTAKE, OPERATOR), ("positions/",)),
    "streams/door/skips.py order_skip put": ((OPERATOR,), ("skips/",)),
    "streams/door/skips.py ordered list": ((Role.INTAKE,), ("skips/",)),
    "streams/door/skips.py remove delete_prefix": ((Role.INTAKE,), ("skips/",)),
    "streams/ledger/snapshots.py save put": ((Role.SCHEDULER,), ("snapshots/",)),
    "streams/ledger/snapshots.py save delete_prefix": ((Role.SCHEDULER,), ("snapshots/",)),
}
"""Place and what is asked: (who gets there, the prefixes of the keys)."""

TRIES_EVERYTHING = "runtime/store_rights.py"


def _is_store(expression: ast.expr) -> bool:
    return re.search(r"(?:^|[._])store$", ast.unparse(expression)) is not None


def asked_by(code: str) -> Iterator[str]:
    """Function and method of each place that asks the store."""

    def within(node: ast.AST, function: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
            if isinstance(child, ast.Attribute) and child.attr in NEEDS and _is_store(child.value):
                yield f"{inner} {child.attr}"
            yield from within(child, inner)

    return within(ast.parse(code), "")


def test_the_table_has_every_place_that_asks_the_store() -> None:
    codes = {str(path.relative_to(ROOT)): path.read_text() for path in SOURCES}
    asking = {file: code for file, code in codes.items() if re.search(r"store\.\w", code) and file != TRIES_EVERYTHING}
    found = {f"{file} {place}" for file, code in asking.items() for place in asked_by(code)}
    assert found == set(USES)


def test_a_role_may_do_what_its_code_asks_and_nothing_else() -> None:
    needed: dict[str, dict[str, set[Right]]] = defaultdict(lambda: defaultdict(set))
    for place, (roles, prefixes) in USES.items():
        for role in roles:
            for prefix in prefixes:
                needed[role][prefix] |= NEEDS[place.rpartition(" ")[2]]
    for role in {*needed, *RIGHTS}:
        assert dict(needed[role]) == dict(RIGHTS.get(role, {})), role
