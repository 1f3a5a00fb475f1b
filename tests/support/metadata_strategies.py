"""Hypothesis strategies for commands: mostly sensible, so that they meet each other, partly nonsense."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

from hypothesis import strategies as st

from fluffy.base.ids import ChunkId, ClusterUuid, NodeNo, RequestId, UserNo
from fluffy.base.units import DAY_MS
from fluffy.core.metadata.commands import (
    AddToken,
    Command,
    DeleteFile,
    ExpireVersions,
    ForgetChunks,
    Genesis,
    Header,
    MakeFolder,
    NodeRecord,
    NodeState,
    PublishPlacement,
    PutFile,
    RemoveFolder,
    ReplicasChanged,
    SetFeatureLevel,
)
from fluffy.core.metadata.commands_keeper import AskKeepers, SetRepairMode
from fluffy.core.metadata.commands_members import (
    AdmitNode,
    DrainNode,
    RemoveNode,
    RetireNode,
    SetVoters,
    StripCopies,
    WelcomeDisk,
)
from fluffy.core.metadata.commands_object_uploads import BeginObject, CompleteObject, PutObjectPart
from fluffy.core.metadata.commands_object_versions import DeleteVersions, ExpireObjects, MarkObject
from fluffy.core.metadata.commands_s3 import (
    AddKey,
    CopyObject,
    DeleteObjects,
    PutObject,
    RemoveKey,
    SetBucketDocument,
)
from fluffy.core.metadata.commands_tree import (
    AppendFile,
    Copy,
    DeleteFolder,
    EmptyTrash,
    Move,
    PatchFile,
    PurgeVersion,
    RestoreFolderAt,
    RestoreVersion,
    SetBucketRules,
    SetMeta,
    SetTags,
    TouchFile,
    Undelete,
)
from fluffy.core.metadata.commands_uploads import AbortUpload, BeginUpload, CompleteUpload, ExpireUploads, PutPart
from tests.support.jobs_strategies import job_commands

T = TypeVar("T")
INT_MAX = (1 << 63) - 1


def mostly(good: st.SearchStrategy[T], bad: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """`bad` once in ten. (`one_of` drops repeated branches, so it cannot weigh.)"""
    return st.integers(0, 9).flatmap(lambda draw: bad if draw == 9 else good)


WILD_TEXT = st.text(max_size=12) | st.sampled_from(
    ["\ud800", "a" * 600, "x" * 2000, "a//b", "a/../b", "a/\x00", "/", "ü/日本"])
PATHS = st.sampled_from(["admin/a", "admin/b", "admin/d/a", "admin/d/e/a", "new/a", "new/d/a", "admin/a/x"])
FOLDERS = st.sampled_from(["admin", "admin/d", "admin/d/e", "new", "new/d", "admin/a", "admin/f"])
FILE_PATHS = mostly(PATHS, WILD_TEXT)
FOLDER_PATHS = mostly(FOLDERS, WILD_TEXT)
CHUNK_IDS = st.sampled_from([ChunkId(bytes([i]) * 32) for i in range(6)])
WILD_CHUNK_IDS = mostly(CHUNK_IDS, st.binary(max_size=33).map(ChunkId))
LENGTHS = {bytes([i]) * 32: 100 + i for i in range(6)}
NODES = st.integers(1, 3).map(NodeNo)
WILD_NODES = mostly(NODES, st.sampled_from([0, 4, 1 << 14, INT_MAX]).map(NodeNo))
WILD_INTS = st.sampled_from([0, 1, 2, 3, 1000, INT_MAX]) | st.integers(0, INT_MAX)
TIMES = st.integers(0, 10**6) | st.sampled_from([0, 1, 1000, DAY_MS, 3 * DAY_MS, 10 * DAY_MS, 40 * DAY_MS, INT_MAX])
REQUEST_IDS = mostly(
    st.just(RequestId(b"")) | st.integers(0, 255).map(lambda i: RequestId(bytes([i]) * 16)),
    st.binary(max_size=20).map(RequestId))
USERS = mostly(st.just(1), st.sampled_from([0, 2, INT_MAX])).map(UserNo)
TERMS = mostly(st.just(1), st.sampled_from([0, 2, INT_MAX]))
TEXTS = st.dictionaries(WILD_TEXT, WILD_TEXT, max_size=2) | st.just({str(i): "" for i in range(80)})
OPTIONAL_ETAGS = mostly(st.none(), st.sampled_from(["*", "00ff", "plain", "\ud800"]))


def headers(users: st.SearchStrategy[UserNo] = USERS) -> st.SearchStrategy[Header]:
    return st.builds(Header, request_id=REQUEST_IDS, at_ms=TIMES, proposer=WILD_NODES, user_no=users)


def _inline_put(path: str, header: Header, data: bytes, etag: str, if_match: str | None, none: bool,
                parents: bool) -> PutFile:
    return PutFile(header, path, len(data), bytes([len(data)]) * 32, etag, "text/plain", {}, {}, data, (), (),
                   if_match, none, parents)


def _chunked_put(path: str, header: Header, uses: list[tuple[ChunkId, list[NodeNo]]], etag: str) -> PutFile:
    chunks = tuple((chunk_id, LENGTHS[chunk_id]) for chunk_id, _ in uses)
    size = sum(length for _, length in chunks)
    return PutFile(header, path, size, bytes([size % 256]) * 32, etag, "application/pdf", {}, {}, None, chunks,
                   tuple(tuple(nodes) for _, nodes in uses))


ETAGS = st.sampled_from(["00ff", "plain", ""])
MOSTLY = mostly(st.just(True), st.just(False))
RARELY = mostly(st.just(False), st.just(True))
INLINE_PUTS = st.builds(_inline_put, path=FILE_PATHS, header=headers(), data=st.binary(max_size=3), etag=ETAGS,
                        if_match=OPTIONAL_ETAGS, none=RARELY, parents=MOSTLY)
CHUNKED_PUTS = st.builds(
    _chunked_put, path=FILE_PATHS, header=headers(), etag=ETAGS,
    uses=st.lists(st.tuples(CHUNK_IDS, mostly(st.just([NodeNo(1), NodeNo(2)]), st.lists(NODES, max_size=3))),
                  min_size=1, max_size=4))
WILD_PUTS = st.builds(
    PutFile, header=headers(), path=FILE_PATHS, size=WILD_INTS, blake3=st.binary(max_size=33), etag=WILD_TEXT,
    content_type=WILD_TEXT, meta=TEXTS, tags=TEXTS, inline=st.none() | st.binary(max_size=3),
    chunks=st.lists(st.tuples(WILD_CHUNK_IDS, WILD_INTS), max_size=3).map(tuple),
    replicas=st.lists(st.lists(WILD_NODES, max_size=3).map(tuple), max_size=3).map(tuple))
PAIRS = st.lists(st.tuples(WILD_CHUNK_IDS, WILD_NODES), max_size=4).map(tuple)
GOOD_PAIRS = st.lists(st.tuples(CHUNK_IDS, NODES), max_size=4).map(tuple)
WILD_RECORDS = st.builds(NodeRecord, node_no=WILD_NODES, name=WILD_TEXT, disk_uuid=WILD_TEXT, zone=WILD_TEXT,
                         host=WILD_TEXT, http=WILD_INTS, raft=WILD_INTS, data=WILD_INTS, s3=WILD_INTS)
NODE_STATES = st.builds(NodeState, node_no=WILD_NODES, state=st.sampled_from(["up", "down", "draining", "gone"]),
                        zone=st.sampled_from(["a", "b", ""]), weight=WILD_INTS)
WILD_GENESES = st.builds(
    Genesis, header=headers(), cluster_uuid=WILD_TEXT.map(ClusterUuid), cluster_name=WILD_TEXT,
    nodes=st.lists(WILD_RECORDS, max_size=3).map(tuple), admin_name=WILD_TEXT, admin_token_hash=st.binary(max_size=33),
    replication=WILD_INTS, write_quorum=WILD_INTS, chunk_size=WILD_INTS, inline_max=WILD_INTS, trash_days=WILD_INTS,
    versions_max=WILD_INTS)

PUTS = INLINE_PUTS | CHUNKED_PUTS | WILD_PUTS
NAMES = st.one_of(
    st.builds(DeleteFile, header=headers(), path=FILE_PATHS, purge=st.booleans(), if_match=OPTIONAL_ETAGS),
    st.builds(MakeFolder, header=headers(), path=FOLDER_PATHS, parents=st.booleans()),
    st.builds(RemoveFolder, header=headers(), path=FOLDER_PATHS))
# Level 1 is what this program knows; above it apply must stop the process, which has a test of its own.
OTHERS = st.one_of(
    st.builds(PublishPlacement, header=headers(), term=TERMS, epoch=st.integers(0, 5),
              nodes=st.lists(NODE_STATES, max_size=3).map(tuple)),
    st.builds(ReplicasChanged, header=headers(), added=GOOD_PAIRS, removed=GOOD_PAIRS),
    st.builds(ReplicasChanged, header=headers(), added=PAIRS, removed=PAIRS),
    st.builds(ForgetChunks, header=headers(), term=TERMS, chunk_ids=st.lists(WILD_CHUNK_IDS, max_size=6).map(tuple),
              grace_ms=st.sampled_from([0, 0, 1000, INT_MAX])),
    st.builds(ExpireVersions, header=headers(), term=TERMS, limit=st.sampled_from([0, 1, 2, 100, INT_MAX])),
    st.builds(SetFeatureLevel, header=headers(), level=st.integers(0, 1)),
    st.builds(AddToken, header=headers(), user=st.just("admin") | WILD_TEXT,
              token_hash=st.sampled_from([b"t" * 32, b"u" * 32, b""]), label=WILD_TEXT),
    WILD_GENESES)
ANY_PATHS = mostly(PATHS | FOLDERS | st.sampled_from(["admin/d/", "new/", "admin/m", "admin/m/d", "m"]), WILD_TEXT)
OPTIONAL_TEXTS = mostly(st.none(), TEXTS)
GENERATIONS = mostly(st.integers(0, 4), st.just(INT_MAX))
CURSORS = mostly(st.just(""), st.sampled_from(["7", "d/", "d/a", "zz", "\ud800", "-1"]))
LIMITS = st.sampled_from([1, 2, 100, 0, INT_MAX])
DATA = mostly(st.binary(max_size=1), st.binary(max_size=3))
MOVES = st.builds(Move, header=headers(), src=ANY_PATHS, dst=ANY_PATHS, overwrite=st.booleans(), parents=MOSTLY,
                  if_match=OPTIONAL_ETAGS, if_dst_match=OPTIONAL_ETAGS)
COPIES = st.builds(Copy, header=headers(), src=ANY_PATHS, dst=ANY_PATHS, overwrite=st.booleans(), parents=MOSTLY,
                   generation=mostly(st.just(0), GENERATIONS), if_match=OPTIONAL_ETAGS, if_dst_match=OPTIONAL_ETAGS,
                   meta=OPTIONAL_TEXTS, tags=OPTIONAL_TEXTS, content_type=mostly(st.none(), WILD_TEXT))
CONTENTS = st.one_of(
    st.builds(TouchFile, header=headers(), path=FILE_PATHS, parents=MOSTLY, if_match=OPTIONAL_ETAGS),
    st.builds(AppendFile, header=headers(), path=FILE_PATHS, data=DATA, content_type=mostly(st.just(""), WILD_TEXT),
              parents=MOSTLY, if_match=OPTIONAL_ETAGS),
    st.builds(SetTags, header=headers(), path=FILE_PATHS, tags=TEXTS, if_match=OPTIONAL_ETAGS),
    st.builds(SetMeta, header=headers(), path=FILE_PATHS, meta=TEXTS, if_match=OPTIONAL_ETAGS,
              content_type=mostly(st.none(), WILD_TEXT)))


def _patch(path: str, header: Header, base: int, at: int, drop: int, kept: list[ChunkId],
           uses: list[tuple[ChunkId, list[NodeNo]]]) -> PatchFile:
    """Whether it fits its base is luck: `kept` is a guess of what stays."""
    chunks = tuple((chunk_id, LENGTHS[chunk_id]) for chunk_id, _ in uses)
    size = sum(length for _, length in chunks) + sum(LENGTHS[chunk_id] for chunk_id in kept)
    return PatchFile(header, path, b"i", base, at, drop, size, b"", "e", None, chunks,
                     tuple(tuple(nodes) for _, nodes in uses))


PATCHES = st.builds(
    _patch, path=FILE_PATHS, header=headers(), base=GENERATIONS, at=st.integers(0, 2), drop=st.integers(0, 2),
    kept=st.lists(CHUNK_IDS, max_size=2),
    uses=st.lists(st.tuples(CHUNK_IDS, st.just([NodeNo(1), NodeNo(2)])), max_size=3))
WILD_PATCHES = st.builds(
    PatchFile, header=headers(), path=FILE_PATHS, intent=st.binary(max_size=3), base_generation=GENERATIONS,
    at=WILD_INTS, drop=WILD_INTS, size=st.integers(0, 3), blake3=st.binary(max_size=33), etag=WILD_TEXT,
    inline=st.none() | st.binary(max_size=3), chunks=st.lists(st.tuples(WILD_CHUNK_IDS, WILD_INTS),
                                                              max_size=2).map(tuple),
    replicas=st.lists(st.lists(WILD_NODES, max_size=3).map(tuple), max_size=2).map(tuple))
KEEPING = st.one_of(
    st.builds(DeleteFolder, header=headers(), path=ANY_PATHS, purge=RARELY),
    st.builds(RestoreVersion, header=headers(), path=FILE_PATHS, generation=GENERATIONS,
              expect=mostly(st.none(), GENERATIONS)),
    st.builds(Undelete, header=headers(), path=ANY_PATHS, item=mostly(st.just(0), st.integers(0, 40)),
              target=mostly(st.none(), ANY_PATHS)),
    st.builds(PurgeVersion, header=headers(), path=FILE_PATHS, generation=GENERATIONS),
    st.builds(EmptyTrash, header=headers(), path=mostly(st.sampled_from(["", "admin", "new"]), WILD_TEXT),
              after=CURSORS, limit=LIMITS),
    st.builds(SetBucketRules, header=headers(), bucket=ANY_PATHS, trash_days=st.none() | WILD_INTS,
              versions_max=st.none() | WILD_INTS, replication=st.none() | WILD_INTS),
    st.builds(RestoreFolderAt, header=headers(), path=FOLDER_PATHS, moment_ms=TIMES, exact=st.booleans(),
              after=CURSORS, limit=LIMITS))
TREE = MOVES | COPIES | CONTENTS | PATCHES | WILD_PATCHES | KEEPING
UPLOAD_IDS = mostly(st.sampled_from([b"u" * 16, b"v" * 16]), st.binary(max_size=17))
HASHES = mostly(st.sampled_from([b"r" * 32, b"s" * 32]), st.binary(max_size=33))
NUMBERS = mostly(st.integers(1, 3), st.sampled_from([0, 10_000, 10_001, INT_MAX]))


def _part(header: Header, upload_id: bytes, number: int, root: bytes, etag: str,
          uses: list[tuple[ChunkId, list[NodeNo]]]) -> PutPart:
    chunks = tuple((chunk_id, LENGTHS[chunk_id]) for chunk_id, _ in uses)
    return PutPart(header, upload_id, number, sum(length for _, length in chunks), root, etag, chunks,
                   tuple(tuple(nodes) for _, nodes in uses))


BEGINS = st.builds(
    BeginUpload, header=headers(), upload_id=UPLOAD_IDS, path=FILE_PATHS,
    lease_ms=mostly(st.sampled_from([1_000, DAY_MS]), WILD_INTS), part_size=mostly(st.just(100), WILD_INTS),
    size=mostly(st.none(), WILD_INTS), content_type=mostly(st.just(""), WILD_TEXT), meta=mostly(st.just({}), TEXTS),
    tags=mostly(st.just({"k": "v"}), TEXTS), if_match=OPTIONAL_ETAGS, if_none_match=RARELY)
PARTS = st.builds(
    _part, header=headers(), upload_id=UPLOAD_IDS, number=NUMBERS, root=HASHES, etag=ETAGS,
    uses=st.lists(st.tuples(CHUNK_IDS, mostly(st.just([NodeNo(1), NodeNo(2)]), st.lists(NODES, max_size=3))),
                  max_size=3))
WILD_PARTS = st.builds(
    PutPart, header=headers(), upload_id=UPLOAD_IDS, number=NUMBERS, size=st.integers(0, 3), blake3=HASHES,
    etag=WILD_TEXT, chunks=st.lists(st.tuples(WILD_CHUNK_IDS, WILD_INTS), max_size=2).map(tuple),
    replicas=st.lists(st.lists(WILD_NODES, max_size=3).map(tuple), max_size=2).map(tuple))
COMPLETES = st.builds(
    CompleteUpload, header=headers(), upload_id=UPLOAD_IDS,
    parts=mostly(st.just(()), st.lists(st.tuples(NUMBERS, st.just(b"") | HASHES), max_size=3).map(tuple)),
    size=mostly(st.none(), WILD_INTS), blake3=mostly(st.just(b""), HASHES), etag=mostly(st.just(""), WILD_TEXT),
    if_match=OPTIONAL_ETAGS, if_none_match=RARELY)
UPLOADS = BEGINS | PARTS | PARTS | WILD_PARTS | COMPLETES | st.one_of(
    st.builds(AbortUpload, header=headers(), upload_id=UPLOAD_IDS),
    st.builds(ExpireUploads, header=headers(), term=TERMS, limit=LIMITS))
KEEPER = st.one_of(
    st.builds(SetRepairMode, header=headers(), mode=st.sampled_from(["quiet", "fast", "", "loud", "\ud800"])),
    st.builds(AskKeepers, header=headers(), what=st.sampled_from(["recover", "recover", "rest", "\ud800"]),
              node_no=mostly(st.integers(0, 3), WILD_INTS)))
NODE_NAMES = mostly(st.sampled_from(["one", "two", "three", "four"]), WILD_TEXT)
DISKS = mostly(st.sampled_from(["disk-1", "disk-4", "disk-5"]), WILD_TEXT)
MEMBERS = st.one_of(
    st.builds(AdmitNode, header=headers(), name=NODE_NAMES, disk_uuid=DISKS, zone=st.sampled_from(["a", ""]),
              host=st.just("h"), http=WILD_INTS | st.just(1), raft=st.just(2), data=st.just(3), s3=st.just(0)),
    st.builds(SetVoters, header=headers(), term=TERMS,
              voters=st.lists(st.tuples(NODE_NAMES, DISKS), max_size=3).map(tuple)),
    st.builds(DrainNode, header=headers(), node=NODE_NAMES, on=st.booleans()),
    st.builds(RemoveNode, header=headers(), node=NODE_NAMES, forced=st.booleans()),
    st.builds(RetireNode, header=headers(), term=TERMS, node_no=NODES | WILD_NODES),
    st.builds(StripCopies, header=headers(), term=TERMS, node_no=NODES | WILD_NODES, limit=LIMITS),
    st.builds(WelcomeDisk, header=headers(), node=NODE_NAMES, ttl_ms=TIMES))


def _put_object(put: PutFile) -> PutObject:
    return PutObject(*(getattr(put, field.name) for field in fields(put)))


KEYS = mostly(st.sampled_from(["a", "b", "d/a", "d/", "d/e/a", "d", "a/x", "x/y/z", "x/y/"]), WILD_TEXT)
OBJECT_PATHS = st.builds("{}/{}".format, mostly(st.sampled_from(["admin", "new"]), WILD_TEXT), KEYS)
ACCESS_KEYS = mostly(st.sampled_from(["AK1", "AK2"]), WILD_TEXT)
OBJECT_PUTS = st.builds(replace, st.one_of(INLINE_PUTS, CHUNKED_PUTS, WILD_PUTS).map(_put_object),
                        path=OBJECT_PATHS)
S3 = OBJECT_PUTS | OBJECT_PUTS | st.one_of(
    st.builds(DeleteObjects, header=headers(), bucket=mostly(st.sampled_from(["admin", "new"]), WILD_TEXT),
              keys=st.lists(KEYS, max_size=4).map(tuple), etags=mostly(st.just(()), st.just(("*", "00ff")))),
    st.builds(CopyObject, header=headers(), src=OBJECT_PATHS, generation=GENERATIONS, path=OBJECT_PATHS,
              content_type=mostly(st.none(), WILD_TEXT), meta=OPTIONAL_TEXTS, tags=OPTIONAL_TEXTS,
              if_match=OPTIONAL_ETAGS, if_none_match=RARELY),
    st.builds(AddKey, header=headers(), user=st.just("admin") | WILD_TEXT, access_key=ACCESS_KEYS,
              sealed=mostly(st.just(b"s"), st.binary(max_size=3) | st.just(b"s" * 300)), label=WILD_TEXT),
    st.builds(RemoveKey, header=headers(), user=st.just("admin") | WILD_TEXT, access_key=ACCESS_KEYS),
    st.builds(SetBucketDocument, header=headers(), bucket=mostly(st.sampled_from(["admin", "new"]), WILD_TEXT),
              name=mostly(st.sampled_from(["acl", "cors"]), WILD_TEXT), body=st.none() | st.binary(max_size=3)))
ITEMS = mostly(st.lists(st.tuples(KEYS, st.integers(0, 60)), max_size=3).map(tuple),
               st.lists(st.tuples(WILD_TEXT, WILD_INTS), max_size=2).map(tuple))
BUCKETS = mostly(st.sampled_from(["admin", "new"]), WILD_TEXT)


def _object_part(part: PutPart, sums: dict[str, str]) -> PutObjectPart:
    return PutObjectPart(*(getattr(part, field.name) for field in fields(part)), sums)


def _as_object(command: BeginUpload, path: str) -> BeginObject:
    return replace(BeginObject(*(getattr(command, field.name) for field in fields(command))), path=path)


def _object_complete(command: CompleteUpload, meta: dict[str, str] | None) -> CompleteObject:
    return CompleteObject(*(getattr(command, field.name) for field in fields(command)), meta)


OBJECT_UPLOADS = st.one_of(
    st.builds(_as_object, BEGINS, OBJECT_PATHS), st.builds(_object_part, PARTS | WILD_PARTS, TEXTS),
    st.builds(_object_complete, COMPLETES, OPTIONAL_TEXTS))
OBJECT_VERSIONS = st.one_of(
    st.builds(DeleteVersions, header=headers(), bucket=BUCKETS, items=ITEMS),
    st.builds(MarkObject, header=headers(), path=OBJECT_PATHS, version_no=mostly(st.integers(0, 60), WILD_INTS),
              tags=OPTIONAL_TEXTS, own=mostly(st.just({"@acl": "public-read"}), TEXTS)),
    st.builds(ExpireObjects, header=headers(), term=TERMS, bucket=BUCKETS, items=ITEMS),
    st.builds(SetBucketDocument, header=headers(), bucket=BUCKETS, name=st.just("versioning"),
              body=st.sampled_from([b"Enabled", b"Suspended", None])))
S3 = S3 | OBJECT_UPLOADS | OBJECT_VERSIONS
JOBS = job_commands(headers(), chunk_ids=WILD_CHUNK_IDS, nodes=WILD_NODES, ints=WILD_INTS, texts=WILD_TEXT, terms=TERMS)
COMMANDS: st.SearchStrategy[Command] = PUTS | NAMES | OTHERS | TREE | UPLOADS | KEEPER | MEMBERS | S3 | JOBS


def command_lists(max_size: int = 40, commands: st.SearchStrategy[Command] = COMMANDS,
                  ) -> st.SearchStrategy[list[Command]]:
    return st.lists(commands, max_size=max_size)
