"""Are these bytes a safetensors file? Only the header is checked: no tensor is read and nothing is executed.

Format: 8 bytes of little-endian header length, a JSON object {tensor: {dtype, shape, data_offsets}}, then the data. The
offsets must cover the data exactly, so a file that passes contains its tensors and nothing hidden beside them.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import msgspec

from registry.errors import RegistryError

HEADER_BYTES_MAX = 100_000_000
"""The limit in the reader of the safetensors project."""

PICKLE_PROTOCOL_MAX = 5

DIMENSIONS_MAX = 64
"""Of one tensor; torch takes as many. The product of millions of sides would take hours."""

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64,
}  # fmt: skip


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_tensor = msgspec.json.Decoder(_Tensor)
_metadata = msgspec.json.Decoder(dict[str, str])


def check_safetensors(path: Path, name: str) -> None:
    """RegistryError(invalid) when the file is not whole, valid safetensors. The message calls the file `name`."""
    fault = _fault(path)
    if fault:  # the header length of a valid file can look like the first bytes of a pickle, so ask only now
        fault = pickle_inside(path) or fault
        raise RegistryError(
            "invalid", f"{name}: expected a safetensors file, found {fault}; save it with safetensors' save_file"
        )


def pickle_inside(path: Path) -> str:
    """What kind of pickle the file contains, whatever its name; empty: none."""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, path.stat().st_size - 1))
        last = file.read(1)
    if len(head) > 1 and head[0] == 0x80 and head[1] <= PICKLE_PROTOCOL_MAX and last == b".":
        return "a pickle"
    if head[:4] == b"PK\x03\x04" or zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                if any(member.endswith((".pkl", ".pickle")) for member in archive.namelist()):
                    return "a zip archive with a pickle inside (as torch.save writes it)"
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            pass
        return "a zip archive, which may hold a pickle"
    return ""


def _fault(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            return f"{size} bytes, fewer than the 8 of a header length"
        length = int.from_bytes(prefix, "little")
        if length > min(HEADER_BYTES_MAX, size - 8):
            return f"a header length of {length} bytes in a file of {size} bytes"
        header = file.read(length)
    try:
        entries = _decoder.decode(header)
        tensors = {}
        for name, raw in entries.items():
            if name == "__metadata__":
                _metadata.decode(raw)
            else:
                tensors[name] = _tensor.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "a header that is not the JSON of a tensor list"
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].data_offsets, item[0])):
        begin, stop = tensor.data_offsets
        bits = _BITS.get(tensor.dtype)
        if bits is None:
            return f"tensor {name[:80]!r} of unknown dtype {tensor.dtype[:40]!r}"
        if len(tensor.shape) > DIMENSIONS_MAX:
            return f"tensor {name[:80]!r} of more than {DIMENSIONS_MAX} dimensions"
        if any(side < 0 for side in tensor.shape) or math.prod(tensor.shape) * bits != (stop - begin) * 8:
            return f"tensor {name[:80]!r} whose offsets do not match its shape"
        if begin != end:
            return f"tensor {name[:80]!r} at byte {begin} of the data, expected {end}"
        end = stop
    if end != size - 8 - length:
        return f"{size - 8 - length} bytes of data where the tensors end at {end}"
    return ""
