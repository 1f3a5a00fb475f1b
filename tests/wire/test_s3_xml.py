"""XML: what clients send, what they must not, and what we write."""

import gc
import time
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.wire import s3_documents as documents
from fluffy.wire import s3_lifecycle
from fluffy.wire.s3_cursor import decode_cursor, encode_cursor
from fluffy.wire.s3_errors import MalformedXml, S3Error
from fluffy.wire.s3_xml import NAMESPACE, XML_ELEMENTS_MAX, Element, parse_xml, render

LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">
<!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
<!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]><Delete>&lol3;</Delete>"""


@pytest.mark.parametrize("data", [
    LAUGHS,
    b'<!DOCTYPE x SYSTEM "http://example.com/x.dtd"><x/>',
    b'<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>',
    b'<!DOCTYPE x [<!ENTITY % y SYSTEM "file:///etc/passwd"> %y;]><x/>',
    b"<!DOCTYPE x><x/>", b"<x>&unknown;</x>", b"<x", b"<x></y>", b"<x/><y/>", b"", b"hello", b"<x><!--",
    b"<?php x?><x/>",
    b"<x>" * 13 + b"</x>" * 13, b"<p:x/>", b"<x a='1' a='2'/>", b"<x>\xff</x>", b"<x>\x01</x>",
    b"<x " + b" ".join(b"a%d='1'" % number for number in range(17)) + b"/>",
    b"<x>" + b"<y/>" * XML_ELEMENTS_MAX + b"</x>"])
def test_what_documents_never_have_is_refused(data: bytes) -> None:
    began_s = time.thread_time()
    with pytest.raises(MalformedXml):
        parse_xml(data)
    assert time.thread_time() - began_s < 2


def test_what_documents_have_is_read() -> None:
    root = parse_xml(b'<?xml version="1.0" encoding="iso-8859-1"?>\n<a xmlns="x:y" xmlns:p="z">'
                     b'<b p:k="v">1 &lt;<![CDATA[<2>]]>'
                     + "ü</b><p:b/> <!-- c --><d>&#x41;</d></a>".encode())
    assert root == Element("a", {}, " ", [Element("b", {"k": "v"}, "1 <<2>ü"), Element("b", {}), Element("d", {}, "A")])
    assert root.leaf("d") == "A" and root.leaf("e") is None
    with pytest.raises(MalformedXml):
        root.one("b")
    with pytest.raises(MalformedXml):
        parse_xml(b"<a/>", "b")
    with pytest.raises(MalformedXml):
        parse_xml(b"<a/>", bytes_max=3)


def test_text_in_many_pieces_is_gathered_once() -> None:
    def seconds(pieces: int) -> float:
        data = b"<a>" + (b"x" * 30 + b"<b/>") * pieces + b"</a>"
        began_s = time.process_time()
        assert parse_xml(data).text == "x" * 30 * pieces
        return time.process_time() - began_s
    gc.disable()  # how much it walks depends on what other tests left behind
    try:
        few, many = (min(seconds(pieces) for _ in range(5)) for pieces in (10_000, 90_000))
    finally:
        gc.enable()
    assert many < 30 * few


@given(st.binary(max_size=300) | st.text(alphabet="<>/ab&;![]-?='\" ", max_size=80).map(str.encode))
@settings(max_examples=200)
def test_reading_never_ends_in_another_way(data: bytes) -> None:
    for read in (parse_xml, documents.parse_delete, documents.parse_complete, documents.parse_create_bucket,
                 documents.parse_versioning, lambda raw: documents.parse_tagging(raw, tags_max=10)):
        try:
            read(data)
        except S3Error:
            continue


_NAMES = st.sampled_from(["Rule", "ID", "Status", "Filter", "Prefix", "And", "Tag", "Key", "Value", "Expiration",
                          "Days",
                          "Date", "NoncurrentVersionExpiration", "NoncurrentDays", "AbortIncompleteMultipartUpload",
                          "DaysAfterInitiation", "NewerNoncurrentVersions", "ExpiredObjectDeleteMarker"])
_VALUES = st.sampled_from(["Enabled", "1", "-1", "0", "2024-01-01T00:00:00Z", "9999-12-31", "x", "", "true", "9" * 20])
_ELEMENTS = st.recursive(st.builds("<{0}>{1}</{0}>".format, _NAMES, _VALUES),
                         lambda inner: st.builds(lambda name, parts: f"<{name}>{''.join(parts)}</{name}>", _NAMES,
                                                 st.lists(inner, max_size=4)), max_leaves=12)


@given(st.lists(_ELEMENTS, max_size=4))
@settings(max_examples=100)
def test_a_lifecycle_is_kept_as_it_was_understood_or_refused(parts: list[str]) -> None:
    inner = "<Status>Enabled</Status>" + "".join(parts)
    text = f"<LifecycleConfiguration><Rule>{inner}</Rule></LifecycleConfiguration>"
    try:
        rules = s3_lifecycle.parse_lifecycle(text.encode())
    except S3Error:
        return
    assert s3_lifecycle.parse_lifecycle(s3_lifecycle.rendered(rules)) == rules


_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=30)


@given(_TEXT, _TEXT)
@settings(max_examples=60)
def test_what_is_written_can_be_read(one: str, other: str) -> None:
    data = render("R", [("A", one), ("B", [("C", other), ("D", None), ("E", True), ("F", 7), ("G", "")])])
    root = ElementTree.fromstring(data.decode())
    space = f"{{{NAMESPACE}}}"
    assert (root.findtext(f"{space}A") or "") == one and (root.findtext(f"{space}B/{space}C") or "") == other
    assert root.find(f"{space}B/{space}D") is None and root.findtext(f"{space}B/{space}E") == "true"
    assert parse_xml(data).leaf("A") == one


def test_what_xml_cannot_hold_is_written_as_s3_does() -> None:
    assert render("R", [("K", "a\x01\r\nb\ud800")], namespace="").endswith(
        "<R><K>a&#x1;&#xd;\nb\ufffd</K></R>".encode())


def test_deletions_are_read() -> None:
    found = documents.parse_delete(b'<Delete xmlns="x"><Quiet>true</Quiet><Object><Key>a b</Key></Object><Object><Key>c'
                                   b'</Key><VersionId>3</VersionId><ETag>"e"</ETag></Object></Delete>')
    assert found == documents.DeleteRequest(True, (("a b", None, None), ("c", "3", "e")))
    for bad in (b"<Delete/>", b"<Delete><Object/></Delete>", b"<Delete><Object><Key></Key></Object></Delete>",
                b"<Delete><Quiet>x</Quiet><Object><Key>k</Key></Object></Delete>",
                b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>"):
        with pytest.raises(MalformedXml):
            documents.parse_delete(bad)


def test_the_parts_of_an_upload_are_read_in_order() -> None:
    found = documents.parse_complete(b'<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"e"</ETag>'
                                     b'<ChecksumCRC64NVME>x</ChecksumCRC64NVME></Part><Part><ETag>f</ETag><PartNumber>9'
                                     b'</PartNumber></Part></CompleteMultipartUpload>')
    assert found == (documents.CompletedPart(1, "e", {"crc64nvme": "x"}), documents.CompletedPart(9, "f", {}))

    def code_of(*numbers: int) -> str:
        parts = b"".join(b"<Part><PartNumber>%d</PartNumber><ETag>e</ETag></Part>" % number for number in numbers)
        with pytest.raises(S3Error) as caught:
            documents.parse_complete(b"<CompleteMultipartUpload>" + parts + b"</CompleteMultipartUpload>")
        return caught.value.s3_code

    assert code_of(2, 1) == code_of(1, 1) == "InvalidPartOrder"
    assert code_of() == "MalformedXML" and code_of(0) == code_of(10_001) == "InvalidArgument"


def test_ten_thousand_parts_with_every_checksum_fit() -> None:
    part = (b"<Part><PartNumber>%d</PartNumber><ETag>&quot;" + b"0" * 32 + b"&quot;</ETag><ChecksumSHA256>" + b"A" * 43
            + b"=</ChecksumSHA256><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part>")
    parts = b"".join(part % number for number in range(1, 10_001))
    data = b"<CompleteMultipartUpload>" + parts + b"</CompleteMultipartUpload>"
    began_s = time.thread_time()
    assert len(documents.parse_complete(data)) == 10_000
    assert time.thread_time() - began_s < 2


def tagging(*pairs: tuple[str, str]) -> bytes:
    return render("Tagging", [("TagSet", [("Tag", [("Key", key), ("Value", value)]) for key, value in pairs])])


def test_tags_are_read_and_bounded() -> None:
    assert documents.parse_tagging(tagging(("a", "1"), ("b", "")), tags_max=2) == {"a": "1", "b": ""}
    assert documents.parse_tagging(tagging(), tags_max=2) == {}

    def code_of(data: bytes) -> str:
        with pytest.raises(S3Error) as caught:
            documents.parse_tagging(data, tags_max=2)
        return caught.value.s3_code

    assert code_of(tagging(("a", "1"), ("b", ""), ("c", ""))) == "BadRequest"
    assert code_of(tagging(("a", "1"), ("a", "2"))) == code_of(tagging(("", "1"))) == "InvalidTag"
    assert code_of(tagging(("a" * 129, "1"))) == code_of(tagging(("a", "1" * 257))) == "InvalidTag"
    assert code_of(tagging(("aws:x", "1"))) == "InvalidTag"
    assert code_of(b"<Tagging/>") == "MalformedXML"
    assert code_of(b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>") == "MalformedXML"


def test_small_documents_are_read() -> None:
    assert documents.parse_create_bucket(b"") is None
    assert documents.parse_create_bucket(b"<CreateBucketConfiguration><LocationConstraint>eu</LocationConstraint>"
                                         b"</CreateBucketConfiguration>") == "eu"
    assert documents.parse_versioning(b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
                                      ) == "Enabled"
    for bad in (b"<VersioningConfiguration/>",
                b"<VersioningConfiguration><Status>On</Status></VersioningConfiguration>",
                b"<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>"):
        with pytest.raises(S3Error):
            documents.parse_versioning(bad)


@given(st.text(max_size=60))
@settings(max_examples=60)
def test_cursors_come_back_and_others_are_refused(key: str) -> None:
    key = key.encode(errors="ignore").decode()
    assert decode_cursor(encode_cursor(key)) == key
    for text in (key, encode_cursor(key)[:-1], encode_cursor(key) + "A"):
        with pytest.raises(S3Error):
            decode_cursor(text)
