"""What generated files say of themselves, in bytes."""

from __future__ import annotations

import zlib
from xml.etree import ElementTree

import pytest

from gpu_worker.io.marks import BEGIN_BYTES, END_BYTES, TRAINED, Mark, patch

MARK = Mark('my "model" <&>', "sha256:ab", "main-1")
PNG = b"\x89PNG\r\n\x1a\n" + b"chunks" + b"\0\0\0\0IEND\xaeB`\x82"
MP4 = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08mdat"
JPEG = b"\xff\xd8\xff\xdb" + b"tables" + b"\xff\xd9"
IPTC, RDF = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}", "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


def marked(name: str, data: bytes) -> bytes:
    found = patch(name, data[:BEGIN_BYTES], data[-END_BYTES:], len(data), MARK)
    return data[: found.at] + found.data + data[found.at :]


def test_the_mark_is_xmp_that_names_source_model_version_and_job() -> None:
    words = MARK.xmp.decode()
    assert words.startswith('<?xpacket begin="\ufeff"')
    (description,) = ElementTree.fromstring(words).iter(f"{RDF}Description")
    assert description.attrib[f"{IPTC}DigitalSourceType"] == TRAINED
    assert description.attrib[f"{IPTC}AISystemUsed"] == 'my "model" <&>'
    assert description.attrib[f"{IPTC}AISystemVersionUsed"] == "sha256:ab"
    assert "main-1" in description.attrib.values()


def test_each_format_has_it_in_its_own_place() -> None:
    video = marked("video.mp4", MP4)
    assert video[: len(MP4)] == MP4
    box = video[len(MP4) :]
    assert (int.from_bytes(box[:4], "big"), box[4:8], box[24:]) == (len(box), b"uuid", MARK.xmp)
    picture = marked("a.png", PNG)
    chunk = picture[len(PNG) - END_BYTES : -END_BYTES]
    assert picture[-END_BYTES:] == PNG[-END_BYTES:]
    assert int.from_bytes(chunk[:4], "big") == len(chunk) - 12
    assert chunk[4:].startswith(b"iTXtXML:com.adobe.xmp\0\0\0\0\0")
    assert int.from_bytes(chunk[-4:], "big") == zlib.crc32(chunk[4:-4])
    photo = marked("a.jpg", JPEG)
    assert photo[:4] == b"\xff\xd8\xff\xe1"
    length = int.from_bytes(photo[4:6], "big")
    assert photo[6 : 4 + length] == b"http://ns.adobe.com/xap/1.0/\0" + MARK.xmp
    assert photo[4 + length :] == JPEG[2:]


@pytest.mark.parametrize(("name", "data"), [("a.mp4", PNG), ("a.png", JPEG), ("a.jpg", MP4), ("a.png", PNG[:-1])])
def test_what_is_no_such_file_is_not_marked(name: str, data: bytes) -> None:
    with pytest.raises(ValueError, match="expected "):
        marked(name, data)
