"""Bodies in signed and checked chunks: the documented examples, any cut of the stream, anything that is not one."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.wire.s3_chunks import SMALL_CHUNKS_MAX, ChunkDecoder
from fluffy.wire.s3_errors import ChunkMalformed, S3Error
from fluffy.wire.s3_signature import EMPTY_SHA256, SigningKey, derive_key

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
STAMP = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"
KEY = derive_key(SECRET, "20130524", "us-east-1")
CRC = "x-amz-checksum-crc32c"


def documented_body() -> bytes:
    first, second = b"a" * 65536, b"a" * 1024
    return (b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + first
            + b"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + second
            + b"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n")


def documented_decoder() -> ChunkDecoder:
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    return ChunkDecoder("signed", SigningKey(KEY, SCOPE, seed, STAMP), 66560)


def decoded(decoder: ChunkDecoder, data: bytes, step: int = 0) -> bytes:
    found = b""
    for at in range(0, len(data), step or len(data) or 1):
        found += b"".join(decoder.feed(data[at:at + (step or len(data))]))
    decoder.finish()
    return found


def test_the_documented_example_decodes_in_any_steps() -> None:
    for step in (0, 1, 7, 88, 1000, 65536):
        decoder = documented_decoder()
        assert decoded(decoder, documented_body(), step) == b"a" * 66560
        assert decoder.is_done


def test_decoding_in_place_gives_the_same() -> None:
    decoder, view = documented_decoder(), memoryview(bytearray(documented_body()))
    assert decoder.strip(view[:70]) == 0
    kept = decoder.strip(view[70:])
    assert bytes(view[70:70 + kept]) == b"a" * 66560
    decoder.finish()


def test_the_documented_example_with_trailers_verifies() -> None:
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    decoder = ChunkDecoder("signed-trailer", SigningKey(KEY, SCOPE, seed, STAMP), 66560, (CRC,))
    body = (b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" + b"a" * 65536
            + b"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
            + b"a" * 1024
            + b"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
            b"x-amz-checksum-crc32c:sOO8/Q==\n\r\n"
            b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n")
    assert len(decoded(decoder, body)) == 66560
    assert decoder.trailers == {CRC: "sOO8/Q=="}


@given(st.integers(0, 400), st.integers(1, 255))
@settings(max_examples=60)
def test_no_byte_of_a_signed_body_may_change(at: int, change: int) -> None:
    body = bytearray(documented_body())
    at = [*range(90), *range(65626, len(body))][at % (90 + len(body) - 65626)]
    body[at] ^= change
    try:
        found = decoded(documented_decoder(), bytes(body))
    except S3Error:
        return
    assert (found == b"a" * 66560 and at < 92) or at > 66000  # only the case of a size's digits


# A client of our own, written down from the documentation.

def framed(pieces: list[bytes], *, signing: SigningKey | None, trailers: dict[str, str] | None = None,
           line_end: bytes = b"\r\n") -> bytes:
    out, previous = b"", "" if signing is None else signing.seed
    for piece in [*pieces, b""]:
        head = b"%x" % len(piece)
        if signing is not None:
            text = (f"AWS4-HMAC-SHA256-PAYLOAD\n{STAMP}\n{SCOPE}\n{previous}\n{EMPTY_SHA256}\n"
                    f"{hashlib.sha256(piece).hexdigest()}")
            previous = hmac.new(signing.key, text.encode(), "sha256").hexdigest()
            head += b";chunk-signature=" + previous.encode()
        out += head + b"\r\n" + (piece + b"\r\n" if piece else b"")
    for name, value in (trailers or {}).items():
        out += f"{name}:{value}".encode() + line_end
    if trailers and signing is not None:
        digest = hashlib.sha256("".join(f"{name}:{value}\n" for name, value in trailers.items()).encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256-TRAILER\n{STAMP}\n{SCOPE}\n{previous}\n{digest}"
        signature = hmac.new(signing.key, text.encode(), "sha256").hexdigest()
        out += f"x-amz-trailer-signature:{signature}\r\n".encode()
    return out + b"\r\n"


SEEDED = SigningKey(KEY, SCOPE, "0" * 64, STAMP)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.booleans(), st.booleans(), st.integers(1, 400))
@settings(max_examples=100)
def test_whatever_a_client_frames_comes_back(pieces: list[bytes], is_signed: bool, has_trailer: bool,
                                              step: int) -> None:
    signing = SEEDED if is_signed else None
    trailers = {CRC: "AAAAAA=="} if has_trailer else {}
    body = framed(pieces, signing=signing, trailers=trailers)
    mode = "unsigned-trailer" if not is_signed else "signed-trailer" if has_trailer else "signed"
    decoder = ChunkDecoder(mode, signing, sum(map(len, pieces)), tuple(trailers))  # type: ignore[arg-type]
    assert decoded(decoder, body, step) == b"".join(pieces)
    assert decoder.trailers == trailers


@given(st.binary(max_size=400), st.integers(1, 40))
def test_what_is_no_framing_is_refused_and_nothing_else_happens(data: bytes, step: int) -> None:
    for decoder in (ChunkDecoder("unsigned-trailer", None, 10, (CRC,)), ChunkDecoder("signed", SEEDED, 10)):
        with pytest.raises(S3Error):
            decoded(decoder, data, step)


@given(st.data())
@settings(max_examples=100)
def test_a_body_that_was_cut_anywhere_is_refused(data: st.DataObject) -> None:
    body = framed([b"x" * 100, b"y" * 50], signing=None, trailers={CRC: "AAAAAA=="})
    cut = data.draw(st.integers(0, len(body) - 3))  # without the last empty line it is whole
    with pytest.raises(S3Error):
        decoded(ChunkDecoder("unsigned-trailer", None, 150, (CRC,)), body[:cut])


def refused(body: bytes, length: int = 3, names: tuple[str, ...] = ()) -> S3Error:
    with pytest.raises(S3Error) as caught:
        decoded(ChunkDecoder("unsigned-trailer", None, length, names), body)
    return caught.value


@pytest.mark.parametrize("body", [
    b"3\r\nabc\r\n0\r\n\r\n extra", b"3\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n",
    b"+3\r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b" 3\r\nabc\r\n0\r\n\r\n", b"3;x=1\r\nabc\r\n0\r\n\r\n",
    b"3;chunk-signature=" + b"0" * 64 + b"\r\nabc\r\n0\r\n\r\n", b"3" * 300, b"\r\n3\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", b"3\r\nabc\r\n0\r\nnonsense\r\n\r\n",
    b"3\r\nabc\r\n0\r\n" + b"x" * 9000])
def test_framing_is_exact(body: bytes) -> None:
    assert isinstance(refused(body), ChunkMalformed)


def test_the_announced_length_and_trailers_hold() -> None:
    good = b"3\r\nabc\r\n0\r\n\r\n"
    assert decoded(ChunkDecoder("unsigned-trailer", None, 3), good) == b"abc"
    assert refused(good, 2).s3_code == refused(good, 4).s3_code == "IncompleteBody"
    assert refused(good, 3, (CRC,)).s3_code == "MalformedTrailerError"
    twice = b"3\r\nabc\r\n0\r\n" + 2 * f"{CRC}:AAAAAA==\r\n".encode() + b"\r\n"
    assert refused(twice, 3, (CRC,)).s3_code == "MalformedTrailerError"


def test_a_giant_size_is_refused_before_its_bytes() -> None:
    decoder = ChunkDecoder("unsigned-trailer", None, 1 << 50)
    with pytest.raises(ChunkMalformed):
        decoder.feed(b"fffffffffff\r\n")


def test_endless_tiny_chunks_are_refused() -> None:
    decoder = ChunkDecoder("unsigned-trailer", None, 1 << 30)
    with pytest.raises(ChunkMalformed):
        decoder.feed(b"1\r\na\r\n" * (SMALL_CHUNKS_MAX + 1))


def test_trailers_of_a_signed_body_need_their_signature() -> None:
    body = framed([b"abc"], signing=SEEDED, trailers={CRC: "AAAAAA=="})
    assert decoded(ChunkDecoder("signed-trailer", SEEDED, 3, (CRC,)), body) == b"abc"
    for bad in (body.replace(b"AAAAAA==", b"BAAAAA=="), body[:body.index(b"x-amz-trailer-signature")] + b"\r\n"):
        with pytest.raises(S3Error) as caught:
            decoded(ChunkDecoder("signed-trailer", SEEDED, 3, (CRC,)), bad)
        assert caught.value.s3_code == "SignatureDoesNotMatch"
