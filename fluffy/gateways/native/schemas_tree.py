"""What the routes of the file tree, of uploads in parts, of searching and of the change feed take and answer."""

from __future__ import annotations

from fluffy.gateways.native.schemas import (
    COUNT,
    FLAG,
    NUMBER,
    OBJECT,
    TEXT,
    TEXTS,
    TIME,
    Schema,
    body,
    either,
    listed,
    one_of,
    or_null,
    thing,
    with_more,
    with_optional,
)

PATH: Schema = {"type": "string", "maxLength": 1024, "examples": ["/admin/notes.txt"]}
KIND = one_of("file", "folder", "bucket")
HELD_LOCK = thing(path=TEXT, mode=one_of("exclusive", "shared"), holder=TEXT, note=TEXT, acquired=TIME, expires=TIME,
                  fence=NUMBER)

# Null where a repeated request asks about a generation that was purged meanwhile; `blake3` also when it is not known.
STORED = thing(path=TEXT, generation=NUMBER, size=or_null(COUNT), etag=or_null(TEXT), blake3=or_null(TEXT),
               chunks=or_null(COUNT), modified=or_null(TIME))
CHANGED = with_optional(STORED, offset=COUNT)
DELETED_FILE = thing(path=TEXT, generation=NUMBER, purged=FLAG)
REMOVED_FOLDER = thing(path=TEXT, removed=FLAG, files=COUNT, bytes=COUNT, purged=FLAG)
DELETED = either(DELETED_FILE, REMOVED_FOLDER)

# Of a folder `size` is 0; owner, generation, etag and content type come with `long`, the rest with `labels`.
ENTRY = with_optional(
    thing(name=TEXT, path=TEXT, kind=one_of("file", "folder"), size=COUNT, modified=TIME),
    owner=TEXT, generation=NUMBER, etag=TEXT, content_type=TEXT, blake3=or_null(TEXT), meta=TEXTS, headers=TEXTS,
    tags=TEXTS)
LISTING = with_optional(thing(path=TEXT, entries=listed(ENTRY), after=or_null(TEXT)), version=or_null(TEXT))
OWNED = thing(owner=TEXT, entries=listed(ENTRY), after=or_null(TEXT))

_LOCKS = {"lock": or_null(HELD_LOCK), "locks": listed(HELD_LOCK)}
FILE_INFO = thing(
    path=TEXT, kind=one_of("file"), owner=TEXT, size=COUNT, generation=NUMBER, etag=TEXT, blake3=or_null(TEXT),
    content_type=TEXT, modified=TIME, meta=TEXTS, tags=TEXTS, meta_version=NUMBER, inline=FLAG, versions=COUNT,
    headers=TEXTS, checksum=or_null(thing(algorithm=TEXT, value=TEXT, type=TEXT)),
    chunks=listed(thing(id=TEXT, length=COUNT, replicas=listed(TEXT), zones=listed(TEXT))), **_LOCKS)
FOLDER_INFO = thing(path=TEXT, kind=one_of("folder", "bucket"), owner=TEXT, created=TIME, entries=COUNT, files=COUNT,
                    bytes=COUNT, **_LOCKS)
INFO = either(FILE_INFO, FOLDER_INFO)
MADE_FOLDER = thing(path=TEXT, created=FLAG)

MOVE = body({"src": PATH, "dst": PATH}, overwrite=FLAG, parents=FLAG, if_match=TEXT, if_dst_match=TEXT)
MOVED = with_optional(thing(path=TEXT, src=TEXT, kind=one_of("file", "folder"), files=COUNT, bytes=COUNT,
                            replaced=FLAG), generation=NUMBER)
COPY = body({"src": PATH, "dst": PATH}, overwrite=FLAG, parents=FLAG, generation=COUNT, meta=TEXTS, tags=TEXTS,
            content_type=TEXT, if_match=TEXT, if_dst_match=TEXT)
COPIED = either(with_more(STORED, src=TEXT, kind=one_of("file")),
                thing(path=TEXT, src=TEXT, kind=one_of("folder"), files=COUNT, bytes=COUNT, created=FLAG))
# The texts themselves, or under the name `tags` or `meta`.
TAGS = either(TEXTS, body({"tags": TEXTS}))
META = either(TEXTS, body({"meta": TEXTS}, content_type=TEXT))
TAGGED = thing(path=TEXT, generation=NUMBER, meta_version=NUMBER, tags=TEXTS)
DESCRIBED = with_optional(thing(path=TEXT, generation=NUMBER, meta_version=NUMBER, meta=TEXTS), content_type=TEXT)

VERSION = thing(generation=NUMBER, size=COUNT, etag=TEXT, blake3=or_null(TEXT), content_type=TEXT, modified=TIME,
                owner=TEXT, current=FLAG, replaced=or_null(TIME), expires=or_null(TIME), meta_version=NUMBER)
VERSIONS = thing(path=TEXT, deleted=FLAG, versions=listed(VERSION))
RESTORE = body({"path": PATH}, generation=COUNT, expect=COUNT, at=TEXT, exact=FLAG, after=TEXT)
RESTORED = either(with_more(STORED, restored=FLAG, of=NUMBER), thing(
    path=TEXT, restored=COUNT, deleted=COUNT, same=COUNT, conflicts=listed(TEXT), conflict_count=COUNT, more=FLAG,
    after=TEXT))
TRASH = thing(items=listed(thing(item=NUMBER, path=TEXT, kind=KIND, generation=NUMBER, size=COUNT, files=COUNT,
                                 owner=TEXT, deleted=TIME, expires=TIME)), after=or_null(TEXT))
EMPTIED = thing(path=TEXT, purged=COUNT, more=FLAG)
UNDELETE = body({"path": PATH}, item=COUNT, target=PATH)
UNDELETED = with_optional(thing(path=TEXT, was=TEXT, kind=KIND, files=COUNT, bytes=COUNT), generation=NUMBER)
DIFF = thing(path=TEXT, after=or_null(TEXT), lines=listed(thing(
    path=TEXT, kind=KIND, change=one_of("added", "removed", "changed"), from_generation=or_null(NUMBER),
    to_generation=or_null(NUMBER), from_size=or_null(NUMBER), to_size=or_null(NUMBER))))

INDEX = thing(state=TEXT, rows=NUMBER, seq=NUMBER, behind=NUMBER, lag_s={"type": "number"})
# `everywhere` gives what the supernode answers (docs/FEDERATION.md): the hits say which cluster, `coverage` speaks.
HITS = either(thing(q=TEXT, via=TEXT, reason=or_null(TEXT), index=INDEX, hits=listed(ENTRY), after=or_null(TEXT)),
              with_optional(thing(hits=listed(OBJECT), coverage=listed(OBJECT))))
CHANGES = thing(next=COUNT, more=FLAG, epoch=TEXT, at_seq=COUNT, changes=listed(with_optional(thing(
    seq=NUMBER, at=TIME, kind=TEXT, path=TEXT, generation=NUMBER, size=NUMBER, owner=TEXT), source=TEXT)))

BEGIN_UPLOAD = body({"path": PATH}, size=COUNT, part_size=COUNT, content_type=TEXT, meta=TEXTS, headers=TEXTS,
                    tags=TEXTS, if_match=TEXT, create_only=FLAG)
BEGUN_UPLOAD = thing(id=TEXT, path=TEXT, part_size=COUNT, expires=TIME)
_UPLOAD = thing(id=TEXT, path=TEXT, state=one_of("open"), owner=TEXT, size=or_null(COUNT), part_size=or_null(COUNT),
                content_type=TEXT, stored_parts=COUNT, stored_bytes=COUNT, begun=TIME, expires=TIME)
UPLOADS = thing(uploads=listed(_UPLOAD), after=or_null(TEXT))
UPLOAD = either(
    with_more(_UPLOAD, parts=listed(thing(n=NUMBER, size=COUNT, blake3=TEXT, etag=TEXT, stored=TIME))),
    thing(id=TEXT, path=TEXT, state=one_of("complete"), finished=TIME, file=STORED))
STORED_PART = thing(n=NUMBER, size=COUNT, blake3=TEXT, etag=TEXT, expires=TIME)
_PART_NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": 10_000}
COMPLETE = body(None, parts=listed(either(_PART_NUMBER, body({"n": _PART_NUMBER}, blake3=TEXT, etag=TEXT))),
                size=COUNT, blake3=TEXT)
ABORTED = thing(id=TEXT, path=TEXT, freed=COUNT)
