"""Where every request to the S3 door is received: addressed, matched, signed for, given its point, answered, counted.

The desk of the native API does what both doors have in common: places, the point of a read, proposals, rights. The
order is the native one: a stranger learns nothing but what buckets say to everybody.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from fluffy.base.checks import InvariantBroken
from fluffy.base.deadline import Deadline
from fluffy.base.errors import AccessDenied, BucketNotFound, FluffyError, NameIllegal, Unauthenticated
from fluffy.base.paths import RemotePath
from fluffy.base.tracing import new_request_text
from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries_objects
from fluffy.core.metadata.model import User
from fluffy.core.metadata.queries_objects import BucketFacts
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import LOOK_AGAIN_EVERY_S, REQUEST_TIMEOUT_S, Desk
from fluffy.gateways.native.exchange import NOBODY, Point, split_target
from fluffy.gateways.native.serving import serve
from fluffy.gateways.s3.addressing import LOCAL_DOMAINS, bucket_of_host, parse_address, parse_query
from fluffy.gateways.s3.answers import REGION, canonical_id
from fluffy.gateways.s3.body import Watch, unframed
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.credentials import Credentials, check_signature, claimed, hoisted, unknown_key
from fluffy.gateways.s3.errors import answer_of, answer_of_bug
from fluffy.gateways.s3.operation import Level, MoreHeaders, Operations, not_implemented
from fluffy.services.s3_keys import S3Keys
from fluffy.services.uploads import BodySource
from fluffy.wire.s3_checksums import HEADER_PREFIX
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_signature import PayloadKind, Signed, SigningKey
from fluffy.wire.s3_signature_v2 import SignedV2

log = logging.getLogger("fluffy.gateway")

# What a bucket's acl must be for strangers to read in it.
PUBLIC_ACLS = frozenset({"public-read", "public-read-write"})


@dataclass(slots=True)
class S3Door:
    """The S3 API of one gateway process.

    `threads`: for decoding bodies. `domains`: a host below one of them names a bucket. `more_headers`: of every answer
    (cors.answer_headers).
    """

    desk: Desk
    operations: Operations
    threads: Executor
    domains: tuple[str, ...] = LOCAL_DOMAINS
    region: str = REGION
    more_headers: tuple[MoreHeaders, ...] = ()
    credentials: Credentials = field(init=False)
    look_again_at_s: float = 0.0

    def __post_init__(self) -> None:
        self.credentials = Credentials(self.desk.reader)

    def receive(self, method: str, target: str, headers: Mapping[str, str], body: BodySource, remote: str,
                sends_files: bool) -> S3Call:
        return S3Call(method, target, headers, body, remote, sends_files)

    def drain(self) -> None:
        """Nothing here goes on for ever."""

    def refuse(self, error: FluffyError) -> Answer:
        """The answer to bytes that never became a request."""
        return answer_of(error, _new_id(), "/")

    async def answer(self, call: S3Call) -> Answer:
        """The answer to a request; failures are answers too. Raises only CancelledError and InvariantBroken."""
        call.request_id = _new_id()
        call.deadline = Deadline.after(REQUEST_TIMEOUT_S)
        answer = await serve(call, call.request_id, self._answer_or_error(call))
        for headers_for in self.more_headers:
            answer.headers.extend(headers_for(self, call))
        answer.stamp = f"x-amz-request-id: {call.request_id}\r\nx-amz-id-2: {call.request_id}\r\n"
        return answer

    async def _answer_or_error(self, call: S3Call) -> Answer:
        try:
            return await self._answer(call)
        except FluffyError as error:
            self._tell_refusal(call, error)
            bucket = "" if "x-amz-copy-source" in call.headers else call.bucket  # there are two, then
            return answer_of(error, call.request_id, call.raw_path, bucket)
        except InvariantBroken:
            raise
        except Exception:
            log.exception("request.bug", extra={"request_id": call.request_id, "method": call.method})
            return answer_of_bug(call.request_id, call.raw_path)

    async def _answer(self, call: S3Call) -> Answer:
        call.raw_path, call.raw_query = split_target(call.target)
        host = call.headers.get("host", "")
        call.bucket, call.key = parse_address(call.raw_path, host, self.domains)
        call.has_host_bucket = bucket_of_host(host, self.domains) is not None
        call.query = parse_query(call.raw_query)
        with self.desk.requests:
            signed = claimed(call)
            miss: FluffyError | None = None
            more = hoisted(call, signed)
            try:
                call.operation = self.operations.find(
                    call.method, _level_of(call), call.query, {**call.headers, **more} if more else call.headers)
            except FluffyError as error:
                miss = error
            signing = None
            if miss is not None or call.operation.is_signed:
                signing = await self._admit(call, signed)
                call.headers = {**call.headers, **more} if more else call.headers
            if miss is not None:
                raise miss
            call.pattern = call.operation.name
            if call.operation.handler is None:
                raise not_implemented(call.operation)
            self._take_body(call, signed, signing)
            await self._set_point(call)
            self._admit_still(call)
            if call.bucket:
                self.expect_owner(call, call.bucket, "x-amz-expected-bucket-owner")
            return await call.operation.handler(self, call)

    async def _admit(self, call: S3Call, signed: Signed | SignedV2 | None) -> SigningKey | None:
        """Set the call's user. Raises SignatureError."""
        if signed is None:
            call.user = NOBODY
            return None
        user, secret = await self.owner_of(signed.access_key, call.deadline)
        # Only a name that is known: what strangers make up must not fill the audit log.
        call.claims = user.name
        key = check_signature(call, signed, secret, self.desk.clock.now_ms())
        call.user, call.access_key = user, signed.access_key
        return key

    def _admit_still(self, call: S3Call) -> None:
        """In the state of the call's point the key pair may be gone, or its user another one than before."""
        if not call.is_anonymous:
            found = self.credentials.user_of(self.keys(), call.access_key)
            if found is None:
                raise unknown_key(call.access_key)
            call.user = found[0]

    async def owner_of(self, access_key: str, deadline: Deadline) -> tuple[User, str]:
        """The user and the secret of an access key. Raises SignatureError: nobody has it."""
        keys = self.keys()
        found = self.credentials.user_of(keys, access_key)
        if found is None:
            # Perhaps it was made a moment ago at another node; but a stranger's costs no barrier each.
            now_s = self.desk.clock.monotonic_s()
            if now_s >= self.look_again_at_s:
                self.look_again_at_s = now_s + LOOK_AGAIN_EVERY_S
                await self.desk.gate.point("strong", None, deadline)
                found = self.credentials.user_of(keys, access_key)
        if found is None:
            raise unknown_key(access_key)
        return found

    def keys(self) -> S3Keys:
        return self.desk.data_path().people.s3_keys

    def _take_body(self, call: S3Call, signed: Signed | SignedV2 | None, signing: SigningKey | None) -> None:
        """Take the framing off the body, and know what was said of it."""
        kind, payload = PayloadKind.UNSIGNED, None
        if signed is not None and call.operation.is_signed:  # else nobody has checked what it claims
            kind = signed.payload_kind
            payload = signed.payload if kind is PayloadKind.HASHED else None
        elif call.headers.get("x-amz-content-sha256") == PayloadKind.UNSIGNED_CHUNKS_TRAILER.value:
            kind = PayloadKind.UNSIGNED_CHUNKS_TRAILER
        call.body, decoder = unframed(call.body, kind, call.headers, signing, self.threads)
        said = call.headers
        if call.operation.sums_are_of_object:
            said = {name: text for name, text in said.items() if not name.startswith(HEADER_PREFIX)}
        call.watch = Watch(said, payload, decoder)

    async def _set_point(self, call: S3Call) -> None:
        gate = self.desk.gate
        if call.operation.is_read:
            call.point = await gate.point(self.desk.consistency, None, call.deadline)
            return
        await self.look_for_bucket(call)
        call.point = Point(gate.seq)

    # What handlers ask

    async def look_for_bucket(self, call: S3Call) -> None:
        """See to it that this node knows the call's bucket, if there is one. Not for strangers: it costs a barrier."""
        if call.bucket and not call.is_anonymous and self.desk.reader.read(
                lambda db: queries_objects.bucket_facts(db, call.bucket)) is None:
            # Made a moment ago at another node, perhaps: only the newest state may say that it is not there.
            await self.desk.gate.point("strong", None, call.deadline)

    def bucket_facts(self, bucket: str) -> BucketFacts:
        """Raises BucketNotFound."""
        facts = self.desk.reader.read(lambda db: queries_objects.bucket_facts(db, bucket))
        if facts is None:
            raise BucketNotFound
        return facts

    def allow(self, call: S3Call, act: Act, bucket: str | None = None) -> BucketFacts:
        """The bucket of the call (or `bucket`), if the user may do `act` there. Raises BucketNotFound, AccessDenied."""
        name = call.bucket if bucket is None else bucket
        facts = self.bucket_facts(name)
        if call.is_anonymous:
            raise AccessDenied("Access Denied")
        self.desk.allow(call, act, RemotePath((name,)))
        return facts

    def allow_public(self, call: S3Call) -> BucketFacts:
        """As `allow` to read; the objects of a public bucket, as they are now, everybody may read and list."""
        facts = self.bucket_facts(call.bucket)
        if facts.acl in PUBLIC_ACLS and "versionId" not in call.query:
            return facts
        return self.allow(call, Act.READ)

    def expect_owner(self, call: S3Call, bucket: str, header: str) -> None:
        """Raise AccessDenied when a bucket is not of whom the client says in `header` that it is, by canonical id."""
        expected = call.headers.get(header)
        if expected is not None and expected != canonical_id(self.bucket_facts(bucket).owner_no):
            raise AccessDenied("Access Denied")

    async def read_body(self, call: S3Call, bytes_max: int) -> bytes:
        """The whole of a small body, checked. Raises S3Error."""
        length = call.body.length
        if length is not None and length > bytes_max:
            raise S3Error("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size",
                          MaxSizeAllowed=bytes_max)
        buffer = memoryview(bytearray((bytes_max if length is None else length) + (length is None)))
        count = await call.body.fill(buffer)
        if count > bytes_max:
            raise S3Error("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size",
                          MaxSizeAllowed=bytes_max)
        call.watch.update(buffer[:count])
        call.watch.check()
        return bytes(buffer[:count])

    def finished(self, call: S3Call, status: int, *, seconds: float, sent_bytes: int, received_bytes: int) -> None:
        """Count a request whose answer has been sent (or cut)."""
        self.desk.finished(call, status, seconds=seconds, sent_bytes=sent_bytes, received_bytes=received_bytes)

    def _tell_refusal(self, call: S3Call, error: FluffyError) -> None:
        """Note a refused right or credential for the audit log. Of strangers not the addresses that they try."""
        status = error.status if isinstance(error, S3Error) else error.http_status
        is_refusal = isinstance(error, Unauthenticated | AccessDenied) or status == 403
        if self.desk.data is None or not is_refusal or isinstance(error, NameIllegal):
            return
        user = call.user.name or call.claims
        act = "authenticate" if call.pattern == "-" else call.pattern
        target = call.raw_path if call.user.name else call.remote
        self.desk.data.people.refusals.note(user=user, act=f"s3 {act}", target=target, reason=error.message)


def _level_of(call: S3Call) -> Level:
    if call.key:
        return "object"
    return "bucket" if call.bucket else "service"


def _new_id() -> str:
    return new_request_text().upper()
