"""A day's work of the newest boto3, with the checksums that it sends of its own accord: `boto_day.py URL FOLDER`.

Run by `tests.s3.tools` with the Python of a folder in which that boto3 was installed; nothing else is imported here.
Each call must succeed, if only after the tries that the client makes by itself: writes, reads, listings, streams,
conditional writes, versions and deletions, all compared with the folder.
"""

from __future__ import annotations

import hashlib
import io
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

BUCKET = "boto3-day"
MIB = 1 << 20
SETTINGS = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=4)


class Unseekable(io.RawIOBase):
    """A stream whose length nobody knows."""

    def __init__(self, data: bytes) -> None:
        self._left = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._left.readinto(buffer)


def put_all(s3: Any, files: dict[str, Path]) -> None:
    def put(item: tuple[str, Path]) -> None:
        s3.upload_file(str(item[1]), BUCKET, item[0], Config=SETTINGS, ExtraArgs={"Metadata": {"name": item[1].suffix}})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, files.items()))


def check_all(s3: Any, files: dict[str, Path]) -> None:
    """Every key of the bucket is a file, with its bytes and metadata, and every file a key."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="t/", PaginationConfig={"PageSize": 100})
    sizes = {line["Key"]: line["Size"] for page in pages for line in page.get("Contents", [])}
    assert sizes == {key: path.stat().st_size for key, path in files.items()}, "the listing is another one"

    def check(item: tuple[str, Path]) -> None:
        got = s3.get_object(Bucket=BUCKET, Key=item[0])
        assert got["Body"].read() == item[1].read_bytes() and got["Metadata"] == {"name": item[1].suffix}, item[0]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, files.items()))


def stream(s3: Any) -> None:
    """A body of unknown length goes in by parts and comes back the same, whole and by part."""
    data = hashlib.shake_128(b"stream").digest(20 * MIB + 17)
    s3.upload_fileobj(Unseekable(data), BUCKET, "stream", Config=SETTINGS)
    back = io.BytesIO()
    s3.download_fileobj(BUCKET, "stream", back, Config=SETTINGS)
    assert back.getvalue() == data
    assert s3.get_object(Bucket=BUCKET, Key="stream", PartNumber=2)["Body"].read() == data[8 * MIB:16 * MIB]
    s3.copy({"Bucket": BUCKET, "Key": "stream"}, BUCKET, "copy of it", Config=SETTINGS)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "copy of it"})
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.read() == data


def versions(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    ids = [s3.put_object(Bucket=BUCKET, Key="v", Body=b"%d" % number)["VersionId"] for number in range(3)]
    s3.delete_object(Bucket=BUCKET, Key="v")
    assert [s3.get_object(Bucket=BUCKET, Key="v", VersionId=one)["Body"].read() for one in ids] == [b"0", b"1", b"2"]
    try:
        s3.put_object(Bucket=BUCKET, Key="stream", Body=b"", IfNoneMatch="*")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "PreconditionFailed"
    else:
        raise AssertionError("a conditional write replaced an object")


def remove_all(s3: Any) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        lines = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if lines:
            done = s3.delete_objects(Bucket=BUCKET, Delete={"Quiet": True, "Objects": [
                {"Key": line["Key"], "VersionId": line["VersionId"]} for line in lines]})
            assert "Errors" not in done, done["Errors"][:3]
    s3.delete_bucket(Bucket=BUCKET)


def main() -> None:
    url, folder = sys.argv[1], Path(sys.argv[2])
    s3 = boto3.client("s3", endpoint_url=url, config=Config(
        retries={"mode": "standard", "max_attempts": 10}, signature_version="s3v4"))
    s3.create_bucket(Bucket=BUCKET)
    files = {f"t/{path.relative_to(folder)}": path for path in sorted(folder.rglob("*")) if path.is_file()}
    put_all(s3, files)
    check_all(s3, files)
    stream(s3)
    versions(s3)
    remove_all(s3)
    print(f"boto3 {boto3.__version__}: {len(files)} files")


if __name__ == "__main__":
    main()
