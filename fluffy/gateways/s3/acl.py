"""Access control lists, as far as they are canned: private, and public to read.

Rights of single users are grants of the bucket (docs/PEOPLE.md); what an ACL can say here is whether strangers may read
a bucket or an object. It is shown as the list of grants that S3 has for that, and taken as a header or as such a list.
"""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.core.metadata.commands_object_versions import MarkObject
from fluffy.core.metadata.own_meta import ACL
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.exchange import Point
from fluffy.gateways.s3.answers import canonical_id, empty_answer, owner_nodes, xml_answer
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import PUBLIC_ACLS, S3Door
from fluffy.gateways.s3.naming import acl_of
from fluffy.gateways.s3.tagging import set_document
from fluffy.gateways.s3.versions import changed_version, found_version, version_headers
from fluffy.wire.s3_documents import SMALL_BYTES_MAX
from fluffy.wire.s3_errors import MalformedXml, S3Error
from fluffy.wire.s3_xml import Element, Node, parse_xml

PUBLIC_READ = "public-read"
EVERYBODY = "http://acs.amazonaws.com/groups/global/AllUsers"
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type='


async def get_bucket_acl(door: S3Door, call: S3Call) -> Answer:
    """GET ?acl on a bucket"""
    facts = door.allow(call, Act.ADMINISTER)
    return xml_answer("AccessControlPolicy", _policy(facts.owner_no, facts.owner, facts.acl in PUBLIC_ACLS))


async def put_bucket_acl(door: S3Door, call: S3Call) -> Answer:
    """PUT ?acl on a bucket"""
    facts = door.allow(call, Act.ADMINISTER)
    is_public = await _wanted(door, call, facts.owner_no)
    return await set_document(door, call, "acl", PUBLIC_READ.encode() if is_public else None, 200)


async def get_object_acl(door: S3Door, call: S3Call) -> Answer:
    """GET ?acl on an object"""
    facts = door.allow(call, Act.READ)
    version = await found_version(door, call, facts)
    return xml_answer("AccessControlPolicy", _policy(facts.owner_no, facts.owner, version.meta.get(ACL) == PUBLIC_READ),
                      headers=version_headers(facts, version))


async def put_object_acl(door: S3Door, call: S3Call) -> Answer:
    """PUT ?acl on an object"""
    facts = door.allow(call, Act.WRITE)
    is_public = await _wanted(door, call, facts.owner_no)
    facts, version = await changed_version(door, call)
    outcome = await door.desk.propose(MarkObject(
        door.desk.header(call), call.path.text, version.version_no, None, {ACL: PUBLIC_READ if is_public else ""}))
    call.point = Point(outcome.seq)
    return empty_answer(200, version_headers(facts, version))


def _policy(owner_no: int, owner: str, is_public: bool) -> list[Node]:
    grants: list[Node] = [("Grant", [(f'Grantee {_XSI}"CanonicalUser"', owner_nodes(owner_no, owner)),
                                     ("Permission", "FULL_CONTROL")])]
    if is_public:
        grants.append(("Grant", [(f'Grantee {_XSI}"Group"', [("URI", EVERYBODY)]), ("Permission", "READ")]))
    return [("Owner", owner_nodes(owner_no, owner)), ("AccessControlList", grants)]


async def _wanted(door: S3Door, call: S3Call, owner_no: int) -> bool:
    """Whether everybody may read, as the header or the body says. Raises S3Error for what cannot be said here."""
    body = await door.read_body(call, SMALL_BYTES_MAX)
    if "x-amz-acl" in call.headers:
        if body:
            raise S3Error("UnexpectedContent", 400, "This request does not support content")
        return acl_of(call.headers) == PUBLIC_READ
    for name in call.headers:
        if name.startswith("x-amz-grant-"):
            raise S3Error("NotImplemented", 501, f"{name} is not supported by this server: grant users rights in the"
                                                 " bucket with fluffy grant", Header=name)
    if not body:
        raise S3Error("MissingSecurityHeader", 400, "Your request was missing a required header")
    return parse_policy(parse_xml(body, "AccessControlPolicy", bytes_max=SMALL_BYTES_MAX), canonical_id(owner_no))


def parse_policy(root: Element, owner_id: str) -> bool:
    """Whether a list of grants opens the thing to everybody's reading. Raises S3Error for any other one."""
    grants = root.one("AccessControlList")
    if grants is None:
        raise MalformedXml
    is_public = False
    for grant in grants.all("Grant"):
        grantee, permission = grant.one("Grantee"), grant.needed("Permission")
        if grantee is None or permission not in ("FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"):
            raise MalformedXml
        if grantee.leaf("URI") == EVERYBODY and permission == "READ":
            is_public = True
        elif grantee.leaf("ID") == owner_id:
            continue  # the owner may do everything as it is
        else:
            raise S3Error("NotImplemented", 501, "only READ for everybody can be granted in an ACL of this server;"
                                                 " grant users rights in the bucket with fluffy grant")
    return is_public
