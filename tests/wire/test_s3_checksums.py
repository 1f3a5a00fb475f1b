"""The five checksums: known values, any cut of the bytes, wholes made of parts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.wire import s3_checksums as checksums
from fluffy.wire.s3_errors import S3Error

# Of "123456789", from the catalogue of parametrised CRCs and FIPS 180.
KNOWN = {"crc32": "cbf43926", "crc32c": "e3069283", "crc64nvme": "ae8b14860a799888",
         "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
         "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"}


@pytest.mark.parametrize("algorithm", checksums.ALGORITHMS)
def test_known_values(algorithm: str) -> None:
    digest = checksums.digest_of(algorithm, b"123456789")
    assert digest.hex() == KNOWN[algorithm] and len(digest) == checksums.SIZES[algorithm]
    assert checksums.decode(algorithm, checksums.encode(digest)) == digest


@given(st.lists(st.binary(max_size=100), max_size=6), st.sampled_from(checksums.ALGORITHMS))
@settings(max_examples=60)
def test_bytes_may_come_in_any_pieces(pieces: list[bytes], algorithm: str) -> None:
    hasher = checksums.new(algorithm)
    for piece in pieces:
        hasher.update(memoryview(bytearray(piece)))
    assert hasher.digest() == checksums.digest_of(algorithm, b"".join(pieces))


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=6), st.sampled_from(["crc32", "crc32c", "crc64nvme"]))
@settings(max_examples=60)
def test_the_checksum_of_a_whole_is_made_of_its_parts(parts: list[bytes], algorithm: str) -> None:
    pairs = [(checksums.digest_of(algorithm, part), len(part)) for part in parts]
    assert checksums.combined(algorithm, pairs) == checksums.digest_of(algorithm, b"".join(parts))


def test_a_composite_is_the_checksum_of_checksums() -> None:
    parts = [checksums.digest_of("sha256", data) for data in (b"a", b"b")]
    assert checksums.composite("sha256", parts) == (checksums.digest_of("sha256", b"".join(parts)), 2)


def test_which_kinds_there_are_of_wholes() -> None:
    possible = {(algorithm, kind) for algorithm in checksums.ALGORITHMS for kind in ("FULL_OBJECT", "COMPOSITE", "X")
                if checksums.is_possible(algorithm, kind)}
    assert possible == {("crc32", "FULL_OBJECT"), ("crc32", "COMPOSITE"), ("crc32c", "FULL_OBJECT"),
                        ("crc32c", "COMPOSITE"), ("crc64nvme", "FULL_OBJECT"), ("sha1", "COMPOSITE"),
                        ("sha256", "COMPOSITE")}
    for algorithm in checksums.ALGORITHMS:
        assert checksums.is_possible(algorithm, checksums.default_type(algorithm))


@given(st.text(max_size=60), st.sampled_from(checksums.ALGORITHMS))
@settings(max_examples=60)
def test_what_is_no_checksum_is_refused(text: str, algorithm: str) -> None:
    for decode in (checksums.decode, checksums.decode_composite):
        try:
            decode(algorithm, text)
        except S3Error as error:
            assert error.s3_code == "InvalidRequest"


def test_a_composite_says_its_number_of_parts() -> None:
    assert checksums.decode_composite("crc32", "AAAAAA==-12") == (bytes(4), 12)
    assert checksums.decode_composite("crc32", "AAAAAA==") == (bytes(4), None)
    for text in ("AAAAAA==-", "AAAAAA==-x", "AAAAAA==-123456"):
        with pytest.raises(S3Error):
            checksums.decode_composite("crc32", text)


def test_algorithms_have_names_in_any_case() -> None:
    assert checksums.algorithm_of("CRC64NVME") == "crc64nvme"
    with pytest.raises(S3Error):
        checksums.algorithm_of("md5")
