"""Buckets: list, make, look at, remove; and the small documents that every bucket has."""

from __future__ import annotations

import ipaddress
import re

from fluffy.base.errors import AccessDenied, AlreadyExists, NameIllegal
from fluffy.base.paths import check_segment
from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import MakeFolder, RemoveFolder
from fluffy.core.metadata.commands_s3 import SetBucketDocument
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.s3.answers import empty_answer, iso_ms, owner_nodes, xml_answer
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import PUBLIC_ACLS, S3Door
from fluffy.gateways.s3.naming import acl_of
from fluffy.wire.s3_cursor import decode_cursor, encode_cursor
from fluffy.wire.s3_documents import parse_create_bucket
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import Node

CREATE_BYTES_MAX = 64 * 1024
BUCKETS_PAGE_MAX = 10_000
# S3's rules for new names; buckets that people made may have others, and are served all the same.
_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z", re.ASCII)
# S3 keeps these for names that mean something else.
_KEPT_STARTS, _KEPT_ENDS = ("xn--", "sthree-"), ("-s3alias", "--ols-s3", ".mrap", "--x-s3", "--table-s3")


async def list_buckets(door: S3Door, call: S3Call) -> Answer:
    """Those that the user may read; of one page when `max-buckets` says so."""
    if call.is_anonymous:
        raise AccessDenied("Access Denied")
    prefix, after = call.query.get("prefix", ""), call.query.get("continuation-token")
    limit = number(call, "max-buckets", BUCKETS_PAGE_MAX, least=1)
    names, seen = await door.desk.reader.read_in_thread(lambda db: (
        queries.buckets(db), queries.readable_buckets(db, call.user)), call.deadline)
    start = "" if after is None else decode_cursor(after)
    found = [bucket for bucket in names if (seen is None or bucket.path in seen)
             and bucket.path.startswith(prefix) and bucket.path > start]
    page = found[:limit]
    children: list[Node] = [
        ("Owner", owner_nodes(call.user.user_no, call.user.name)),
        ("Buckets", [("Bucket", [("Name", bucket.path), ("CreationDate", iso_ms(bucket.created_ms)),
                                 ("BucketRegion", door.region)]) for bucket in page])]
    if "prefix" in call.query:
        children.append(("Prefix", prefix))
    if len(found) > limit:
        children.append(("ContinuationToken", encode_cursor(page[-1].path)))
    return xml_answer("ListAllMyBucketsResult", children)


async def create_bucket(door: S3Door, call: S3Call) -> Answer:
    if call.is_anonymous:
        raise AccessDenied("Access Denied")
    check_bucket_name(call.bucket)
    parse_create_bucket(await door.read_body(call, CREATE_BYTES_MAX))
    if call.headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true":
        raise S3Error("NotImplemented", 501, "Object Lock is not supported by this server")
    is_public = bool(acl_of(call.headers))
    try:
        await door.desk.propose(MakeFolder(door.desk.header(call), call.bucket))
    except AlreadyExists as error:
        raise _taken(door, call) from error
    except AccessDenied as error:
        if door.desk.standing(call.user, call.bucket) is None:
            raise
        raise _taken(door, call) from error
    if is_public:
        await door.desk.propose(SetBucketDocument(door.desk.header(call, "acl"), call.bucket, "acl", b"public-read"))
    return empty_answer(200, [("Location", f"/{call.bucket}")])


def _taken(door: S3Door, call: S3Call) -> S3Error:
    standing = door.desk.standing(call.user, call.bucket)
    if standing is not None and standing.owner == call.user.name:
        return S3Error("BucketAlreadyOwnedByYou", 409, "Your previous request to create the named bucket succeeded and"
                                                       " you already own it.", BucketName=call.bucket)
    return S3Error("BucketAlreadyExists", 409, "The requested bucket name is not available. The bucket namespace is"
                                               " shared by all users of the system. Please select a different name and"
                                               " try again.", BucketName=call.bucket)


def check_bucket_name(name: str) -> None:
    """Raise S3Error for what S3 takes for no name of a new bucket."""
    is_legal = _NAME.match(name) is not None and not name.startswith(_KEPT_STARTS) and not name.endswith(_KEPT_ENDS)
    if is_legal:
        try:
            check_segment(name)
            ipaddress.IPv4Address(name)
            is_legal = False
        except NameIllegal:
            is_legal = False
        except ValueError:
            return
    if not is_legal:
        raise S3Error("InvalidBucketName", 400, "The specified bucket is not valid.", BucketName=name[:100])


async def head_bucket(door: S3Door, call: S3Call) -> Answer:
    door.allow_public(call)
    return Answer(200, [("x-amz-bucket-region", door.region), ("x-amz-access-point-alias", "false"),
                        ("Content-Type", "application/xml")])


async def delete_bucket(door: S3Door, call: S3Call) -> Answer:
    door.allow(call, Act.ADMINISTER)
    await door.desk.propose(RemoveFolder(door.desk.header(call), call.bucket))
    return empty_answer(204)


async def get_location(door: S3Door, call: S3Call) -> Answer:
    door.allow_public(call)
    # The region that has no name of its own here is the one that every client knows.
    return xml_answer("LocationConstraint", [])


async def get_policy_status(door: S3Door, call: S3Call) -> Answer:
    facts = door.allow_public(call)
    return xml_answer("PolicyStatus", [("IsPublic", facts.acl in PUBLIC_ACLS)])


async def get_request_payment(door: S3Door, call: S3Call) -> Answer:
    door.allow_public(call)
    return xml_answer("RequestPaymentConfiguration", [("Payer", "BucketOwner")])


def number(call: S3Call, name: str, largest: int, *, least: int = 0) -> int:
    """A number of the query; absent: the largest; above that it is cut. Raises S3Error."""
    text = call.query.get(name)
    if text is None or text == "":
        return largest
    if not (text.isascii() and text.isdigit() and len(text) <= 18) or not least <= int(text) <= 2**31 - 1:
        raise S3Error("InvalidArgument", 400, f"Provided {name} not an integer or within integer range",
                      ArgumentName=name, ArgumentValue=text[:100])
    return min(int(text), largest)


