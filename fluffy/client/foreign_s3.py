"""Files to and from buckets of any S3: resumable, verified, with metadata and tags.

What was copied is known by a mark in its metadata (the entity tag that the other side had), so the same command again
copies only what is missing or changed. Bytes are compared with their MD5 where the other side's entity tag is one, and
by the library's checksums on their way. Needs boto3 (`pip install fluffy[s3]`, docs/decisions/020).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fluffy.base.errors import FluffyError, NameIllegal, NotFound, PeerUnreachable, RequestError, TransferCorrupt
from fluffy.base.paths import parse_file_path
from fluffy.base.units import MIB
from fluffy.client.sync import Fluffy

COPIES_AT_ONCE = 8
READ_BYTES = 1 * MIB
# In the metadata of an imported file, and of an exported object.
IMPORTED_MARK = "s3-etag"
EXPORTED_MARK = "fluffy-etag"
_MD5 = re.compile(r"[0-9a-f]{32}\Z")
# What the library calls the headers that both sides keep. `Expires` is apart: the library takes only dates.
_HEADERS = {"CacheControl": "cache-control", "ContentDisposition": "content-disposition",
            "ContentEncoding": "content-encoding", "ContentLanguage": "content-language",
            "WebsiteRedirectLocation": "x-amz-website-redirect-location"}
# Every object that came over S3 has it that has no other; not every server knows it.
_UNASKED = "crc64nvme"
# What is no date in Expires means: it is over.
_LONG_OVER = "Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass(frozen=True, slots=True)
class Place:
    """`s3://BUCKET/PREFIX`."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Place:
        """Raises NameIllegal."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise NameIllegal("a place in S3 is like s3://BUCKET or s3://BUCKET/PREFIX")
        return cls(bucket, prefix if not prefix or prefix.endswith("/") else prefix + "/")


@dataclass(frozen=True, slots=True)
class Item:
    """One file on either side. `etag`: what the side where it comes from calls it."""

    name: str
    size: int
    etag: str


@dataclass(slots=True)
class Differences:
    """What a copy did, or would do, and what it left."""

    copied: list[str] = field(default_factory=list)
    bytes: int = 0
    same: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    only_there: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return {"copied": len(self.copied), "bytes": self.bytes, "same": self.same, "failed": self.failed,
                "skipped": self.skipped, "only_there": sorted(self.only_there)}


def connect(endpoint: str | None) -> Any:
    """A client with the credentials and the region that the environment and ~/.aws have, as every tool takes them."""
    return boto3.session.Session().client("s3", endpoint_url=endpoint, config=Config(
        retries={"max_attempts": 8, "mode": "standard"}, max_pool_connections=COPIES_AT_ONCE + 2))


def import_bucket(fluffy: Fluffy, s3: Any, source: Place, folder: str, *, dry_run: bool,
                  on_file: Callable[[str, int], None]) -> Differences:
    """Bring all objects below `source` into `folder`. What `folder` has besides stays, and is told."""
    done = Differences()
    here = {path: (size, meta.get(IMPORTED_MARK, "")) for path, size, meta in _files(fluffy, folder)}
    wanted: list[Item] = []
    for item in _objects(s3, source):
        if _refused(folder, item, done):
            continue
        if here.pop(item.name, None) == (item.size, item.etag):
            done.same += 1
        else:
            wanted.append(item)
    done.only_there = list(here)
    return _copy(wanted, done, dry_run, on_file, lambda item: _import_one(fluffy, s3, source, folder, item))


def export_folder(fluffy: Fluffy, s3: Any, folder: str, target: Place, *, dry_run: bool,
                  on_file: Callable[[str, int], None]) -> Differences:
    """Bring all files of `folder` below `target`. What the bucket has there besides stays, and is told."""
    done = Differences()
    there = {item.name: item.size for item in _objects(s3, target)}
    wanted: list[Item] = []
    for name, size, _ in _files(fluffy, folder):
        etag = fluffy.head(f"{folder}/{name}").etag.strip('"')
        if there.pop(name, None) == size and _mark_of(s3, target, name) == etag:
            done.same += 1
        else:
            wanted.append(Item(name, size, etag))
    done.only_there = list(there)
    return _copy(wanted, done, dry_run, on_file, lambda item: _export_one(fluffy, s3, folder, target, item))


def _copy(wanted: list[Item], done: Differences, dry_run: bool, on_file: Callable[[str, int], None],
          copy_one: Callable[[Item], None]) -> Differences:
    """Some at once; a file that cannot be copied does not stop the others."""
    if dry_run:
        done.copied = [item.name for item in wanted]
        done.bytes = sum(item.size for item in wanted)
        return done
    with ThreadPoolExecutor(COPIES_AT_ONCE) as threads:
        running: dict[Future[None], Item] = {}
        waiting = iter(wanted)
        try:
            while True:
                while len(running) < COPIES_AT_ONCE and (item := next(waiting, None)) is not None:
                    running[threads.submit(copy_one, item)] = item
                if not running:
                    return done
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    _note(done, running.pop(future), future, on_file)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def _note(done: Differences, item: Item, future: Future[None], on_file: Callable[[str, int], None]) -> None:
    try:
        future.result()
    except FluffyError as error:
        done.failed[item.name] = error.message
    except (BotoCoreError, ClientError, OSError) as error:
        done.failed[item.name] = str(error)
    else:
        done.copied.append(item.name)
        done.bytes += item.size
        on_file(item.name, item.size)


def _refused(folder: str, item: Item, done: Differences) -> bool:
    """Whether an object cannot be a file here; says why."""
    if item.name.endswith("/") or not item.name:
        if item.size:
            done.skipped[item.name] = "an object with bytes whose key ends in a slash"
        return True  # only marks a folder, which is made with its files
    try:
        parse_file_path(f"{folder}/{item.name}")
    except NameIllegal as error:
        done.skipped[item.name] = error.message
        return True
    return False


def _import_one(fluffy: Fluffy, s3: Any, source: Place, folder: str, item: Item) -> None:
    key = source.prefix + item.name
    answer = s3.get_object(Bucket=source.bucket, Key=key, IfMatch=f'"{item.etag}"', ChecksumMode="ENABLED")
    meta = {**answer.get("Metadata", {}), IMPORTED_MARK: item.etag}
    tags: dict[str, str] = {}
    if answer.get("TagCount"):
        tags = {tag["Key"]: tag["Value"]
                for tag in s3.get_object_tagging(Bucket=source.bucket, Key=key)["TagSet"]}
    md5, size = hashlib.md5(usedforsecurity=False), 0
    with fluffy.open(f"{folder}/{item.name}", "wb", content_type=answer.get("ContentType") or None, meta=meta,
                     tags=tags, headers=_headers_of(answer)) as file:
        while data := answer["Body"].read(READ_BYTES):
            file.write(data)
            md5.update(data)
            size += len(data)
        if size != item.size or (_MD5.match(item.etag) and md5.hexdigest() != item.etag):
            raise TransferCorrupt(f"what came of s3://{source.bucket}/{key} is not what it should be; nothing was kept")


def _export_one(fluffy: Fluffy, s3: Any, folder: str, target: Place, item: Item) -> None:
    path = f"{folder}/{item.name}"
    info = fluffy.info(path)
    meta = {name: text for name, text in info.meta.items() if name != IMPORTED_MARK}
    more: dict[str, Any] = {"Metadata": {**meta, EXPORTED_MARK: item.etag}, "ContentType": info.content_type,
                            **{header: info.headers[name] for header, name in _HEADERS.items() if name in info.headers}}
    if "expires" in info.headers:
        more["Expires"] = info.headers["expires"] if _is_date(info.headers["expires"]) else _LONG_OVER
    if info.tags:
        more["Tagging"] = urlencode(info.tags)
    checksum = info.document.get("checksum")
    if checksum is not None and checksum["algorithm"] != _UNASKED:
        more["ChecksumAlgorithm"] = checksum["algorithm"].upper()
    with fluffy.open(path, "rb", generation=info.generation) as file:
        s3.upload_fileobj(file, target.bucket, target.prefix + item.name, ExtraArgs=more)
    head = s3.head_object(Bucket=target.bucket, Key=target.prefix + item.name)
    if head["ContentLength"] != info.size:
        raise TransferCorrupt(f"s3://{target.bucket}/{target.prefix}{item.name} has {head['ContentLength']} bytes, not"
                              f" {info.size}")


def _headers_of(answer: dict[str, Any]) -> dict[str, str]:
    """The headers of an object that are kept with the file."""
    said = {name: answer[header] for header, name in _HEADERS.items() if answer.get(header)}
    expires = answer["ResponseMetadata"]["HTTPHeaders"].get("expires")
    return said | ({"expires": expires} if expires else {})


def _is_date(text: str) -> bool:
    try:
        parsedate_to_datetime(text)
    except ValueError:
        return False
    return True


def _mark_of(s3: Any, target: Place, name: str) -> str:
    head = s3.head_object(Bucket=target.bucket, Key=target.prefix + name)
    return str(head.get("Metadata", {}).get(EXPORTED_MARK, ""))


def _objects(s3: Any, place: Place) -> Iterator[Item]:
    """Raises RequestError, PeerUnreachable."""
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.prefix):
            for found in page.get("Contents", ()):
                yield Item(found["Key"].removeprefix(place.prefix), found["Size"], found["ETag"].strip('"'))
    except ClientError as error:
        raise RequestError(f"s3://{place.bucket} cannot be listed: {error.response['Error'].get('Message', error)}"
                           ) from error
    except BotoCoreError as error:
        raise PeerUnreachable(f"the S3 server cannot be asked: {error}") from error


def _files(fluffy: Fluffy, folder: str) -> Iterator[tuple[str, int, Mapping[str, str]]]:
    """(path below, size, metadata) of all files below a folder; nothing when it is not there."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            for entry in fluffy.ls(f"{folder}/{below}".rstrip("/") or "/", labels=True):
                if entry.is_folder:
                    waiting.append(f"{below}{entry.name}/")
                else:
                    yield below + entry.name, entry.size, entry.meta
        except NotFound:
            if below:
                raise
            return
