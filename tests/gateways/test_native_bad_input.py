"""Bad input, each with the right status and nothing left behind."""

from __future__ import annotations

import base64

import pytest

from fluffy.base.errors import AllCopiesBad, DiskFull, NotEnoughCopies, QuorumLost
from fluffy.core.metadata import queries
from tests.support.local_log import ADMIN_TOKEN
from tests.support.native_door import CHUNK_SIZE, Door
from tests.support.raw_http import RawAnswer, RawClient, head_of


async def ask(door: Door, raw: bytes, *, has_body: bool = True) -> RawAnswer:
    async with await RawClient.connect(door.host, door.port) as client:
        await client.send(raw)
        return await client.answer(has_body=has_body)


def put(target: str, body: bytes = b"x", **headers: str) -> bytes:
    return head_of("PUT", target, ADMIN_TOKEN, Content_Length=str(len(body)), **headers) + body


def get(target: str, **headers: str) -> bytes:
    return head_of("GET", target, ADMIN_TOKEN, **headers)


BIG = b"x" * (3 * CHUNK_SIZE)
WRONG_MD5 = base64.b64encode(bytes(16)).decode()

CASES = [
    ("no token", head_of("PUT", "/v1/files/admin/f", None, Content_Length="1") + b"x", 401, "Unauthenticated"),
    ("unknown token", head_of("PUT", "/v1/files/admin/f", "nonsense", Content_Length="1") + b"x", 401,
     "Unauthenticated"),
    ("other scheme", head_of("GET", "/v1/files/admin/f", None, Authorization="Basic YTpi"), 401, "Unauthenticated"),
    ("dot dot", put("/v1/files/admin/../f"), 400, "NameIllegal"),
    ("dot dot encoded", put("/v1/files/admin/%2e%2e/f"), 400, "NameIllegal"),
    ("dot", put("/v1/files/admin/./f"), 400, "NameIllegal"),
    ("NUL", put("/v1/files/admin/a%00b"), 400, "NameIllegal"),
    ("newline", put("/v1/files/admin/a%0ab"), 400, "NameIllegal"),
    ("slash in a name", put("/v1/files/admin/a%2Fb"), 400, "NameIllegal"),
    ("broken escape", put("/v1/files/admin/a%zz"), 400, "NameIllegal"),
    ("half an escape", put("/v1/files/admin/a%4"), 400, "NameIllegal"),
    ("not UTF-8", put("/v1/files/admin/%ff"), 400, "NameIllegal"),
    ("surrogate", put("/v1/files/admin/%ed%a0%80"), 400, "NameIllegal"),
    ("empty segment", put("/v1/files/admin//f"), 400, "NameIllegal"),
    ("no name", put("/v1/files/admin"), 400, "NameIllegal"),
    ("nothing", put("/v1/files/"), 400, "NameIllegal"),
    ("folder name", put("/v1/files/admin/f/"), 400, "NameIllegal"),
    ("5,000 bytes", put("/v1/files/admin/" + "a/" * 2500 + "f"), 400, "NameIllegal"),
    ("9,000 bytes", put("/v1/files/admin/" + "a" * 9000), 431, "HeadersTooLarge"),
    ("1 MiB header", put("/v1/files/admin/f", A="b" * (1 << 20)), 431, "HeadersTooLarge"),
    ("10,000 headers", put("/v1/files/admin/f", **{f"A{n}": "b" for n in range(10_000)}), 431, "HeadersTooLarge"),
    ("wrong MD5", put("/v1/files/admin/f", Content_MD5=WRONG_MD5), 400, "DigestMismatch"),
    ("wrong MD5 of chunks", put("/v1/files/admin/f", BIG, Content_MD5=WRONG_MD5), 400, "DigestMismatch"),
    ("wrong BLAKE3", put("/v1/files/admin/f", Fluffy_Blake3="00" * 32), 400, "DigestMismatch"),
    ("unreadable MD5", put("/v1/files/admin/f", Content_MD5="?"), 400, "DigestMismatch"),
    ("too large", head_of("PUT", "/v1/files/admin/f", ADMIN_TOKEN, Content_Length=str(10**15)), 413, "TooLarge"),
    ("length that is none", head_of("PUT", "/v1/files/admin/f", ADMIN_TOKEN, Content_Length="abc"), 400,
     "RequestMalformed"),
    ("no length", head_of("PUT", "/v1/files/admin/f", ADMIN_TOKEN), 411, "LengthRequired"),
    ("no length of what is appended", head_of("POST", "/v1/files/admin/f?append", ADMIN_TOKEN), 411, "LengthRequired"),
    ("broken chunk", head_of("PUT", "/v1/files/admin/f", ADMIN_TOKEN, Transfer_Encoding="chunked") + b"3\r\nabcde\r\n",
     400, "RequestMalformed"),
    ("bad tags", put("/v1/files/admin/f", Fluffy_Tags="a=1&a=2"), 400, "QuerySyntax"),
    ("tags that are none", put("/v1/files/admin/f", Fluffy_Tags="a&&b"), 400, "QuerySyntax"),
    ("long tag", put("/v1/files/admin/f", Fluffy_Tags="a=" + "b" * 300), 400, "QuerySyntax"),
    ("much metadata", put("/v1/files/admin/f", Fluffy_Meta_A="b" * 9000), 413, "TooLarge"),
    ("many metadata", put("/v1/files/admin/f", **{f"Fluffy_Meta_{n}": "b" for n in range(70)}), 413, "TooLarge"),
    ("bad content type", put("/v1/files/admin/f", Content_Type="nonsense"), 400, "QuerySyntax"),
    ("bad request id", put("/v1/files/admin/f", Fluffy_Request_Id="a" * 200), 400, "QuerySyntax"),
    ("bad if-match", put("/v1/files/admin/f", If_Match='"a'), 400, "QuerySyntax"),
    ("several if-match", put("/v1/files/admin/f", If_Match='"a", "b"'), 400, "QuerySyntax"),
    ("odd if-none-match", put("/v1/files/admin/f", If_None_Match='"a"'), 501, "NotSupported"),
    ("unknown parameter", put("/v1/files/admin/f?purg=1"), 400, "QuerySyntax"),
    ("parameter twice", get("/v1/dirs/admin?limit=1&limit=2"), 400, "QuerySyntax"),
    ("limit that is no number", get("/v1/dirs/admin?limit=x"), 400, "QuerySyntax"),
    ("limit of nothing", get("/v1/dirs/admin?limit=0"), 400, "QuerySyntax"),
    ("generation below one", get("/v1/files/admin/none?generation=0"), 400, "QuerySyntax"),
    ("huge generation", get("/v1/files/admin/none?generation=999999999999999999"), 404, "FileNotFound"),
    ("flag that is none", get("/v1/files/admin/none?download=perhaps"), 404, "FileNotFound"),
    ("bad consistency", get("/v1/files/admin/none", Fluffy_Consistency="eventual"), 400, "QuerySyntax"),
    ("bad min seq", get("/v1/files/admin/none", Fluffy_Min_Seq="-1"), 400, "QuerySyntax"),
    ("no such file", get("/v1/files/admin/none"), 404, "FileNotFound"),
    ("no such bucket", get("/v1/files/nobody/none"), 404, "FileNotFound"),
    ("no such folder", get("/v1/dirs/admin/none"), 404, "FolderNotFound"),
    ("no such address", get("/v2/files/admin/f"), 404, "NotFound"),
    ("no such method", head_of("POST", "/v1/dirs/admin", ADMIN_TOKEN), 405, "MethodNotAllowed"),
    ("search for nothing", get("/v1/search"), 400, "QuerySyntax"),
    ("files of nobody", get("/v1/files"), 400, "QuerySyntax"),
    ("garbage", b"\x16\x03\x01\x02\x00\x01", 400, "RequestMalformed"),
    ("no host", b"GET /healthz HTTP/1.1\r\n\r\n", 400, "RequestMalformed"),
]


@pytest.mark.parametrize(("raw", "status", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_bad_input_is_refused_with_the_right_status(door: Door, raw: bytes, status: int, code: str) -> None:
    answer = await ask(door, raw)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.error["message"] and answer.error["request_id"]
    assert answer.error["retry"] in ("never", "later", "same-id")
    assert answer.headers["content-type"].startswith("application/json")
    assert door.files() == 0
    assert [bucket.entries for bucket in door.cluster.reader.read(queries.buckets)] == [0]
    assert (await door.put("/admin/f", b"fine")).status == 201, "the door goes on"


async def test_a_put_to_a_folder_is_a_conflict(door: Door) -> None:
    await door.put("/admin/dir/f", b"1")
    for body in (b"x", BIG):
        answer = await ask(door, put("/v1/files/admin/dir", body))
        assert (answer.status, answer.error["code"]) == (409, "IsFolder")
    answer = await ask(door, put("/v1/files/admin/dir/f/g"))
    assert (answer.status, answer.error["code"]) == (409, "IsFile")
    answer = await ask(door, get("/v1/files/admin/dir"))
    assert (answer.status, answer.error["code"]) == (409, "IsFolder")
    assert not door.chunks.stored, "the large body was not even read"


async def test_a_method_that_is_not_allowed_says_which_are(door: Door) -> None:
    answer = await ask(door, head_of("POST", "/v1/dirs/admin", ADMIN_TOKEN))
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PUT"


@pytest.mark.parametrize(("failure", "status"), [(DiskFull(), 507), (NotEnoughCopies(), 503)])
async def test_an_upload_that_cannot_be_stored_leaves_nothing(door: Door, failure: DiskFull, status: int) -> None:
    door.chunks.fail_write = failure
    answer = await door.put("/admin/f", BIG)
    assert answer.status == status
    assert door.files() == 0
    door.chunks.fail_write = None
    assert (await door.put("/admin/f", BIG)).status == 201


async def test_a_file_without_a_good_copy_is_an_honest_503(door: Door) -> None:
    await door.put("/admin/f", BIG)
    door.chunks.fail_open = AllCopiesBad()
    answer = await ask(door, get("/v1/files/admin/f"))
    assert (answer.status, answer.error["code"], answer.error["retry"]) == (503, "AllCopiesBad", "later")


async def test_a_write_without_a_majority_is_refused_at_once_and_says_why(door: Door) -> None:
    await door.put("/admin/f", b"kept")
    door.cluster.log.refuse_with = QuorumLost()
    await door.desk.pulse.ask()
    for raw in (put("/v1/files/admin/f"), put("/v1/files/admin/g", BIG, Expect="100-continue"),
                head_of("DELETE", "/v1/files/admin/f", ADMIN_TOKEN), head_of("PUT", "/v1/dirs/admin/d", ADMIN_TOKEN)):
        answer = await ask(door, raw)
        assert (answer.status, answer.error["code"]) == (503, "QuorumLost")
        assert "only 1 of 3 nodes is alive" in answer.error["message"]
        assert int(answer.headers["retry-after"]) > 0
    assert not door.chunks.stored
    answer = await ask(door, get("/v1/files/admin/f"))
    assert (answer.status, answer.body, answer.headers["fluffy-stale"]) == (200, b"kept", "true")
    assert int(answer.headers["age"]) >= 0
    door.cluster.log.refuse_with = None
    await door.desk.pulse.ask()
    assert (await door.put("/admin/f", b"new")).status == 200
