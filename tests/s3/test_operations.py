"""Buckets, copies, deletions of many, tags, multipart, versions, ACLs, CORS, lifecycles, and what is not there."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.s3.world import World, code_of, raw

MIB = 1 << 20


@pytest.mark.parametrize("name,status", [
    ("abc", 200), ("a.b-c", 200), ("1bucket", 200), ("x" * 63, 200), ("ab", 400), ("x" * 64, 400), ("Abc", 400),
    ("a_b", 400), ("a..b", 400), ("-ab", 400), ("ab-", 400), ("192.168.0.1", 400)])
def test_names_of_buckets(world: World, name: str, status: int) -> None:
    answer = code_of(lambda: world.s3.create_bucket(Bucket=name)) if status == 200 else (
        raw(world.v4.generate_presigned_url("create_bucket", Params={"Bucket": name}), "PUT").status, "")
    assert answer[0] == status
    if status == 200:
        assert code_of(lambda: world.s3.create_bucket(Bucket=name)) == (409, "BucketAlreadyOwnedByYou")
        world.s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("verb,more,expected", [
    ("head_bucket", {}, 404), ("delete_bucket", {}, 404), ("list_objects_v2", {}, 404), ("list_objects", {}, 404),
    ("list_object_versions", {}, 404), ("list_multipart_uploads", {}, 404), ("get_bucket_location", {}, 404),
    ("get_bucket_acl", {}, 404), ("get_bucket_versioning", {}, 404), ("get_bucket_tagging", {}, 404),
    ("get_bucket_cors", {}, 404), ("get_bucket_lifecycle_configuration", {}, 404),
    ("put_object", {"Key": "k", "Body": b""}, 404), ("delete_object", {"Key": "k"}, 404),
    ("create_multipart_upload", {"Key": "k"}, 404), ("delete_objects", {"Delete": {"Objects": [{"Key": "k"}]}}, 404)])
def test_buckets_that_are_not_there(s3: Any, verb: str, more: dict[str, Any], expected: int) -> None:
    status, code = code_of(lambda: getattr(s3, verb)(Bucket="no-such-bucket-at-all", **more))
    assert status == expected and code in ("NoSuchBucket", "404")


def test_a_bucket_with_objects_stays(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"")
    assert code_of(lambda: s3.delete_bucket(Bucket=bucket)) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=bucket, Key="a/b")
    s3.delete_bucket(Bucket=bucket)
    assert code_of(lambda: s3.head_bucket(Bucket=bucket))[0] == 404


@pytest.mark.parametrize("more,meta,kind,tags", [
    ({}, {"m": "1"}, "a/b", 1), ({"MetadataDirective": "COPY", "Metadata": {"x": "2"}}, {"m": "1"}, "a/b", 1),
    ({"MetadataDirective": "REPLACE", "Metadata": {"x": "2"}, "ContentType": "c/d"}, {"x": "2"}, "c/d", 1),
    ({"MetadataDirective": "REPLACE"}, {}, "binary/octet-stream", 1),
    ({"TaggingDirective": "REPLACE", "Tagging": "a=1&b=2"}, {"m": "1"}, "a/b", 2),
    ({"TaggingDirective": "REPLACE"}, {"m": "1"}, "a/b", None)], ids=str)
def test_copies(s3: Any, shared: str, more: dict[str, Any], meta: dict[str, str], kind: str, tags: int | None) -> None:
    s3.put_object(Bucket=shared, Key="from", Body=b"abc", Metadata={"m": "1"}, ContentType="a/b", Tagging="t=1")
    s3.copy_object(Bucket=shared, Key="to", CopySource=f"{shared}/from", **more)
    got = s3.get_object(Bucket=shared, Key="to")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"], got.get("TagCount")) == (b"abc", meta, kind, tags)


ETAG = f'"{hashlib.md5(b"abc").hexdigest()}"'


@pytest.mark.parametrize("source,more,expected", [
    ("{b}/from", {"CopySourceIfMatch": ETAG}, (200, "")), ("/{b}/from", {}, (200, "")),
    ("{b}/from", {"CopySourceIfMatch": '"x"'}, (412, "PreconditionFailed")),
    ("{b}/from", {"CopySourceIfNoneMatch": ETAG}, (412, "PreconditionFailed")),
    ("{b}/from", {"CopySourceIfNoneMatch": '"x"'}, (200, "")), ("{b}/missing", {}, (404, "NoSuchKey")),
    ("no-such-bucket-at-all/k", {}, (404, "NoSuchBucket")), ("{b}", {}, (400, "InvalidArgument")),
    ("{b}/from", {"Key": "from"}, (400, "InvalidRequest")),
    ("{b}/from", {"Key": "from", "MetadataDirective": "REPLACE", "Metadata": {"y": "1"}}, (200, "")),
    ("{b}/from", {"IfNoneMatch": "*", "Key": "from2"}, (200, "")),
    ("{b}/from?versionId=99999999", {}, (404, "NoSuchVersion"))], ids=str)
def test_what_may_be_copied(s3: Any, shared: str, source: str, more: dict[str, Any], expected: tuple[int, str]) -> None:
    s3.put_object(Bucket=shared, Key="from", Body=b"abc")
    assert code_of(lambda: s3.copy_object(**{"Bucket": shared, "Key": "to", **more},
                                          CopySource=source.format(b=shared))) == expected


@pytest.mark.parametrize("count", [1, 10, 1_000])
@pytest.mark.parametrize("quiet", [False, True])
def test_many_are_deleted(s3: Any, bucket: str, count: int, quiet: bool) -> None:
    for number in range(min(count, 20)):
        s3.put_object(Bucket=bucket, Key=f"d/{number}", Body=b"")
    done = s3.delete_objects(Bucket=bucket, Delete={
        "Objects": [{"Key": f"d/{number}"} for number in range(count)], "Quiet": quiet})
    assert len(done.get("Deleted", [])) == (0 if quiet else count) and "Errors" not in done
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("count,expected", [(0, "MalformedXML"), (1_001, "MalformedXML")])
def test_too_many_are_not_deleted(s3: Any, bucket: str, count: int, expected: str) -> None:
    assert code_of(lambda: s3.delete_objects(Bucket=bucket, Delete={
        "Objects": [{"Key": f"{number}"} for number in range(count)]})) == (400, expected)


def upload(s3: Any, bucket: str, sizes: list[int], **more: Any) -> tuple[str, list[dict[str, Any]], bytes]:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="m", **more)["UploadId"]
    parts, body = [], b""
    for number, size in enumerate(sizes, start=1):
        data = bytes([number]) * size
        body += data
        parts.append({"PartNumber": number, "ETag": s3.upload_part(
            Bucket=bucket, Key="m", UploadId=upload_id, PartNumber=number, Body=data)["ETag"]})
    return upload_id, parts, body


@pytest.mark.parametrize("sizes", [[0], [1], [5 * MIB], [5 * MIB, 1], [5 * MIB, 6 * MIB, 0], [5 * MIB + 1] * 3])
def test_parts_become_objects(s3: Any, bucket: str, sizes: list[int]) -> None:
    upload_id, parts, body = upload(s3, bucket, sizes)
    done = s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload_id, MultipartUpload={"Parts": parts})
    md5 = hashlib.md5(b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)).hexdigest()
    assert done["ETag"] == f'"{md5}-{len(parts)}"'
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == body
    for number, size in enumerate(sizes, start=1):
        assert s3.head_object(Bucket=bucket, Key="m", PartNumber=number)["ContentLength"] == size
    assert code_of(lambda: s3.head_object(Bucket=bucket, Key="m", PartNumber=len(sizes) + 1))[0] == 416
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("sizes,change,expected", [
    ([1, 1], lambda parts: parts, (400, "EntityTooSmall")), ([5 * MIB, 1], lambda parts: parts[::-1], (400,
                                                                                                       "InvalidPartOrder")),
    ([1], lambda parts: parts * 2, (400, "InvalidPartOrder")), ([1], lambda parts: [], (400, "MalformedXML")),
    ([1], lambda parts: [{**parts[0], "PartNumber": 2}], (400, "InvalidPart")),
    ([1], lambda parts: [{**parts[0], "ETag": '"x"'}], (400, "InvalidPart"))])
def test_parts_that_do_not_fit(s3: Any, bucket: str, sizes: list[int], change: Any, expected: tuple[int, str]) -> None:
    upload_id, parts, _ = upload(s3, bucket, sizes)
    assert code_of(lambda: s3.complete_multipart_upload(
        Bucket=bucket, Key="m", UploadId=upload_id, MultipartUpload={"Parts": change(parts)})) == expected
    s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload_id)
    assert code_of(lambda: s3.list_parts(Bucket=bucket, Key="m", UploadId=upload_id)) == (404, "NoSuchUpload")


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_of_parts(s3: Any, bucket: str, limit: int) -> None:
    upload_id, parts, _ = upload(s3, bucket, [1] * 5)
    seen: list[int] = []
    marker = 0
    while True:
        page = s3.list_parts(Bucket=bucket, Key="m", UploadId=upload_id, MaxParts=limit, PartNumberMarker=marker)
        seen += [part["PartNumber"] for part in page.get("Parts", [])]
        if not page["IsTruncated"]:
            break
        marker = page["NextPartNumberMarker"]
    assert seen == [part["PartNumber"] for part in parts]


@pytest.mark.parametrize("steps,versions,latest", [
    ("p", "v", "v"), ("pp", "vv", "v"), ("pd", "vm", "m"), ("dp", "mv", "v"), ("d", "m", "m"), ("pdd", "vmm", "m"),
    ("pdx", "v", "v"), ("ppx", "v", "v"), ("pdxx", "", ""), ("ppdxx", "v", "v"), ("pdpx", "vm", "m")])
def test_histories(s3: Any, bucket: str, steps: str, versions: str, latest: str) -> None:
    """p: put, d: delete, x: delete the newest version for good."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    ids: list[tuple[str, str]] = []
    for step in steps:
        if step == "x":
            s3.delete_object(Bucket=bucket, Key="k", VersionId=ids.pop()[1])
        elif step == "p":
            ids.append(("v", s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % len(ids))["VersionId"]))
        else:
            ids.append(("m", s3.delete_object(Bucket=bucket, Key="k")["VersionId"]))
    page = s3.list_object_versions(Bucket=bucket)
    found = {line["VersionId"]: "v" for line in page.get("Versions", [])}
    found |= {line["VersionId"]: "m" for line in page.get("DeleteMarkers", [])}
    assert found == {version_id: kind for kind, version_id in ids} and "".join(kind for kind, _ in ids) == versions
    newest = [line["VersionId"] for name in ("Versions", "DeleteMarkers") for line in page.get(name,
                                                                                               []) if line["IsLatest"]]
    assert newest == ([ids[-1][1]] if ids else [])
    assert code_of(lambda: s3.get_object(Bucket=bucket, Key="k"))[0] == (200 if latest == "v" else 404)


RULE = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "a/"}}


@pytest.mark.parametrize("rules,expected", [
    ([{**RULE, "Expiration": {"Days": 3}}], (200, "")), ([{**RULE,
                                                           "NoncurrentVersionExpiration": {"NoncurrentDays": 2}}],
                                                           (200, "")),
    ([{**RULE, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}], (200, "")),
    ([{**RULE, "Filter": {"And": {"Prefix": "a", "Tags": [{"Key": "k", "Value": "v"}]}}, "Expiration": {"Days": 1}}],
     (200, "")),
    ([{**RULE, "Expiration": {"Days": 0}}], (400, "InvalidArgument")), ([RULE], (400, "InvalidRequest")),
    ([{**RULE, "Expiration": {"Days": 3}}] * 2, (400, "InvalidArgument")),
    ([{**RULE, "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}], (501, "NotImplemented"))])
def test_lifecycles(s3: Any, bucket: str, rules: list[dict[str, Any]], expected: tuple[int, str]) -> None:
    assert code_of(lambda: s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": rules})) == expected
    if expected[0] == 200:
        assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == rules
        s3.delete_bucket_lifecycle(Bucket=bucket)
    assert code_of(lambda: s3.get_bucket_lifecycle_configuration(Bucket=bucket)) == (404,
                                                                                     "NoSuchLifecycleConfiguration")


@pytest.mark.parametrize("verb,more", [
    ("get_bucket_website", {}), ("get_bucket_policy", {}), ("get_bucket_encryption", {}), ("get_bucket_logging", {}),
    ("get_bucket_replication", {}), ("get_object_lock_configuration", {}), ("get_bucket_notification_configuration",
                                                                            {}),
    ("get_public_access_block", {}), ("get_bucket_ownership_controls", {}),
    ("get_object_retention", {"Key": "k"}), ("get_object_legal_hold", {"Key": "k"}), ("get_object_torrent",
                                                                                      {"Key": "k"}),
    ("restore_object", {"Key": "k", "RestoreRequest": {"Days": 1}})])
def test_what_is_missing_says_so(s3: Any, bucket: str, verb: str, more: dict[str, Any]) -> None:
    assert code_of(lambda: getattr(s3, verb)(Bucket=bucket, **more)) == (501, "NotImplemented")


@pytest.mark.parametrize("verb", ["get_object", "head_object"])
@pytest.mark.parametrize("acl,status", [("private", 403), ("public-read", 200)])
def test_strangers_read_what_is_public(world: World, bucket: str, verb: str, acl: str, status: int) -> None:
    world.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL=acl)
    assert code_of(lambda: getattr(world.stranger, verb)(Bucket=bucket, Key="k"))[0] == status
    assert code_of(lambda: world.stranger.put_object(Bucket=bucket, Key="k", Body=b"y"))[0] == 403
    assert code_of(lambda: world.stranger.delete_object(Bucket=bucket, Key="k"))[0] == 403
    assert code_of(lambda: world.stranger.list_objects_v2(Bucket=bucket))[0] == 403
