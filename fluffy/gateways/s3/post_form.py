"""Uploads by a form in a browser: who wrote the page signed what its visitors may upload (a policy)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from fluffy.base.errors import AccessDenied
from fluffy.base.units import KIB
from fluffy.core.access.policy import Act
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.s3.answers import empty_answer, xml_answer
from fluffy.gateways.s3.body import Watch
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.naming import META_PREFIX, content_type_of, meta_of, tags_of
from fluffy.gateways.s3.writing import PUT_BYTES_MAX, store_object
from fluffy.gateways.s3.writing_paths import object_path_of
from fluffy.services.uploads import BodySource, PutOrder
from fluffy.wire import s3_signature_v2
from fluffy.wire.s3_documents import OBJECT_TAGS_MAX, parse_tagging
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_form import REST_BYTES_MAX, FileReader, FormReader, boundary_of, malformed
from fluffy.wire.s3_policy import Policy, parse_policy
from fluffy.wire.s3_signature import ALGORITHM, derive_key, is_same, parse_credential, parse_stamp, sign

READ_BYTES = 16 * KIB
# What a policy comes with, signed by Version 4 or by Version 2.
_FIELDS = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_OLD_FIELDS = ("awsaccesskeyid", "signature")
# Fields that count as the header of the same name.
_HEADERS = frozenset({"content-type", "cache-control", "content-disposition", "content-encoding", "content-language",
                      "expires", "x-amz-storage-class", "x-amz-website-redirect-location", "content-md5",
                      "x-amz-sdk-checksum-algorithm"})
_HEADER_PREFIXES = (META_PREFIX, "x-amz-checksum-", "x-amz-server-side-encryption", "x-amz-object-lock-")


async def post_object(door: S3Door, call: S3Call) -> Answer:
    """POST on a bucket"""
    boundary = boundary_of(call.headers.get("content-type", ""))
    form = await _read_fields(call.body, boundary)
    fields = form.fields
    call.key = fields.get("key", "").replace("${filename}", form.filename)
    if not call.key:
        raise S3Error("InvalidArgument", 400, "Bucket POST must contain a field named 'key'.  If it is specified,"
                                              " please check the order of the fields.", ArgumentName="key")
    policy = await _admit(door, call, fields)
    await door.look_for_bucket(call)
    facts = door.allow(call, Act.WRITE)
    path = object_path_of(call)
    headers = _headers_of(fields)
    call.watch = Watch(headers, None, None)
    call.body = FormFile(call.body, FileReader(boundary), form.rest, policy)
    tags = parse_tagging(fields["tagging"].encode(), tags_max=OBJECT_TAGS_MAX) if "tagging" in fields else tags_of({})
    order = PutOrder(path.text, content_type_of(headers), meta_of(headers), tags, watch=call.watch)
    stored = await store_object(door, call, facts, order)
    return _answer(call, fields, stored)


async def _read_fields(body: BodySource, boundary: bytes) -> FormReader:
    form = FormReader(boundary)
    buffer = memoryview(bytearray(READ_BYTES))
    while not form.is_at_file:
        count = await body.fill(buffer)
        if count == 0:
            raise malformed("it ended before the file")
        form.feed(bytes(buffer[:count]))
    return form


async def _admit(door: S3Door, call: S3Call, fields: Mapping[str, str]) -> Policy:
    """Set the call's user: who signed the policy. Raises S3Error, AccessDenied."""
    text = fields.get("policy")
    if text is None:
        raise AccessDenied("Access Denied")
    is_old = "awsaccesskeyid" in fields or "signature" in fields
    for name in _OLD_FIELDS if is_old else _FIELDS:
        if name not in fields:
            raise S3Error("InvalidArgument", 400, f"Bucket POST must contain a field named '{name}'.  If it is"
                                                  " specified, please check the order of the fields.",
                          ArgumentName=name)
    if is_old:
        access_key, scope = fields["awsaccesskeyid"], None
    else:
        access_key, scope = _scope_of(fields)
    call.claims = access_key
    user, secret = await door.owner_of(access_key, call.deadline)
    if scope is None:
        is_genuine = s3_signature_v2.is_signed(text, secret, fields["signature"])
    else:
        is_genuine = is_same(sign(derive_key(secret, *scope), text), fields["x-amz-signature"])
    if not is_genuine:
        raise S3Error("SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature"
                                                    " you provided. Check your key and signing method.",
                      AWSAccessKeyId=access_key)
    policy = parse_policy(text)
    policy.check({**fields, "bucket": call.bucket, "key": call.key}, door.desk.clock.now_ms())
    call.user, call.access_key = user, access_key
    return policy


def _scope_of(fields: Mapping[str, str]) -> tuple[str, tuple[str, str]]:
    """(access key, (date, region)) of a policy that Version 4 signed. Raises S3Error."""
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise S3Error("InvalidArgument", 400, f"the policy is signed with {ALGORITHM}", ArgumentName="x-amz-algorithm")
    access_key, (date, region, _) = parse_credential(fields["x-amz-credential"])
    if parse_stamp(fields["x-amz-date"]) is None or fields["x-amz-date"][:8] != date:
        raise S3Error("InvalidArgument", 400, "x-amz-date is not that of the credential", ArgumentName="x-amz-date")
    return access_key, (date, region)


def _headers_of(fields: Mapping[str, str]) -> dict[str, str]:
    headers = {name: text for name, text in fields.items()
               if name in _HEADERS or name.startswith(_HEADER_PREFIXES)}
    if "acl" in fields:
        headers["x-amz-acl"] = fields["acl"]
    return headers


class FormFile:
    """The file of a form. Implements `services.uploads.BodySource`; its length shows at its end."""

    length: int | None = None

    def __init__(self, raw: BodySource, reader: FileReader, first: bytes, policy: Policy) -> None:
        self._raw = raw
        self._reader = reader
        self._ready = memoryview(reader.take(first))
        self._policy = policy
        self._size = 0
        self._has_ended = False

    async def fill(self, out: memoryview) -> int:
        filled = 0
        while filled < len(out):
            if self._ready:
                count = min(len(self._ready), len(out) - filled)
                out[filled:filled + count] = self._ready[:count]
                self._ready = self._ready[count:]
                filled += count
                self._size += count
                if self._size > min(self._policy.size_max, PUT_BYTES_MAX):
                    self._policy.check_size(self._size)
                    raise S3Error("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size",
                                  MaxSizeAllowed=PUT_BYTES_MAX)
            elif self._reader.is_done:
                await self._end()
                break
            else:
                # No further than this piece, so that the boundary is looked for in memory that is ours.
                piece = memoryview(bytearray(min(len(out) - filled, 256 * KIB)))
                count = await self._raw.fill(piece)
                if count == 0:
                    raise malformed("it ended within the file")
                self._ready = memoryview(self._reader.take(bytes(piece[:count])))
        return filled

    async def _end(self) -> None:
        """What follows the file is not looked at, but there is not much of it."""
        if self._has_ended:
            return
        self._has_ended = True
        self._policy.check_size(self._size)
        left, buffer = REST_BYTES_MAX, memoryview(bytearray(READ_BYTES))
        while count := await self._raw.fill(buffer):
            left -= count
            if left < 0:
                raise malformed("too much follows the file")


def _answer(call: S3Call, fields: Mapping[str, str], stored: Answer) -> Answer:
    """As the form wants it: 204, 200, 201 with a document, or somewhere else."""
    etag = next(text for name, text in stored.headers if name == "ETag")
    location = f"http://{call.headers.get('host', '')}/{quote(f'{call.bucket}/{call.key}')}"
    target = fields.get("success_action_redirect") or fields.get("redirect")
    if target and target.isprintable() and urlsplit(target).scheme in ("http", "https"):
        more = urlencode({"bucket": call.bucket, "key": call.key, "etag": etag})
        place = target + ("&" if "?" in target else "?") + more
        return empty_answer(303, [*stored.headers, ("Location", quote(place, safe=":/?#[]@!$&'()*+,;=%-._~"))])
    headers = [*stored.headers, ("Location", location)]
    if fields.get("success_action_status") == "201":
        return xml_answer("PostResponse", [("Location", location), ("Bucket", call.bucket), ("Key", call.key),
                                           ("ETag", etag)], 201, headers)
    return empty_answer(200 if fields.get("success_action_status") == "200" else 204, headers)
