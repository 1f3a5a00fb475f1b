"""The routes of the file tree: a part of the one list in `routes.py`."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import files, folders, history, patching, schemas_tree, tree
from fluffy.gateways.native.parameters import (
    AFTER,
    AT,
    BODY_HEADERS,
    CONTENT_RANGE,
    GENERATION,
    HASHES,
    KEPT,
    LABELS,
    LIMIT,
    LOCK,
    LONG,
    READ_HEADERS,
    WRITE_HEADERS,
)
from fluffy.gateways.native.table import Parameter, Route

PURGE = Parameter("purge", "flag", "1: for good, not into the trash")

TREE: tuple[Route, ...] = (
    Route("PUT", "/v1/files/{path}", files.put_file, "Upload: create or update a file. The body is its bytes.",
          Act.WRITE, body="bytes", success=201, answer=schemas_tree.STORED, also=(200,),
          headers=(*BODY_HEADERS, *KEPT)),
    Route("GET", "/v1/files/{path}", files.get_file, "Download a file, whole or by Range. HEAD gives the headers.",
          Act.READ, is_read=True, query=(
              GENERATION, AT, Parameter("download", "flag", "1: browsers save it instead of showing it")),
          gives="*/*", also=(206, 304), headers=READ_HEADERS, refuses=(412, 416)),
    Route("POST", "/v1/files/{path}", patching.append_or_touch, "Append the body to a file; or touch it.", Act.WRITE,
          body="bytes", query=(
              Parameter("append", "flag", "add the body to the end, in one piece; makes the file when there is none"),
              Parameter("touch", "flag", "no body: make an empty file, or give the file a new time")),
          answer=schemas_tree.CHANGED, also=(201,), headers=BODY_HEADERS),
    Route("PATCH", "/v1/files/{path}", patching.patch_file, "Overwrite the bytes that Content-Range names.", Act.WRITE,
          body="bytes", answer=schemas_tree.CHANGED, refuses=(416,), headers=(CONTENT_RANGE, *WRITE_HEADERS, *HASHES)),
    Route("DELETE", "/v1/files/{path}", tree.delete_file, "Delete a file: into the trash, or for good.",
          Act.WRITE, query=(PURGE, Parameter("recursive", "flag", "1: also a folder, with all in it"),
                            Parameter("generation", "number", "with purge: free this old generation only")),
          answer=schemas_tree.DELETED, headers=WRITE_HEADERS),
    Route("GET", "/v1/files", folders.list_owner, "All files of a user.", Act.READ, is_read=True,
          query=(Parameter("owner", "text", "whose files"), LIMIT, AFTER), answer=schemas_tree.OWNED),
    Route("GET", "/v1/info/{path}", files.get_info, "Everything known about a file or folder.", Act.READ,
          is_read=True, query=(GENERATION,), answer=schemas_tree.INFO),
    Route("PUT", "/v1/dirs/{path}", folders.make_folder, "Make a folder, or with one segment a bucket.", Act.WRITE,
          query=(Parameter("parents", "flag", "1: also its parents, and no error when it is there"),), success=201,
          answer=schemas_tree.MADE_FOLDER, also=(200,), headers=(LOCK,)),
    Route("GET", "/v1/dirs/{path}", history.list_then_or_now, "List a folder; /v1/dirs/ lists the buckets.", Act.READ,
          is_read=True, query=(LIMIT, AFTER, LONG, LABELS, AT), answer=schemas_tree.LISTING),
    Route("GET", "/v1/dirs", history.list_then_or_now, "List the buckets.", Act.READ, is_read=True,
          query=(LIMIT, AFTER, LONG, AT), answer=schemas_tree.LISTING),
    Route("DELETE", "/v1/dirs/{path}", tree.remove_folder, "Remove an empty folder or bucket, or one with all in it.",
          Act.WRITE, query=(Parameter("recursive", "flag", "1: with all that it holds, at once"), PURGE),
          answer=schemas_tree.REMOVED_FOLDER, headers=(LOCK,)),
    Route("POST", "/v1/move", tree.move, "Move or rename a file, a folder or a bucket, at once.", Act.WRITE,
          body="json", sent=schemas_tree.MOVE, answer=schemas_tree.MOVED, headers=WRITE_HEADERS),
    Route("POST", "/v1/copy", tree.copy, "Copy a file or a folder, at once; chunks are shared.", Act.WRITE,
          body="json", sent=schemas_tree.COPY, answer=schemas_tree.COPIED, also=(201,), headers=WRITE_HEADERS),
    Route("PUT", "/v1/tags/{path}", tree.set_tags, "Replace the tags of a file; its bytes stay.", Act.WRITE,
          body="json", sent=schemas_tree.TAGS, answer=schemas_tree.TAGGED, headers=WRITE_HEADERS),
    Route("PUT", "/v1/meta/{path}", tree.set_meta, "Replace the metadata of a file; its bytes stay.", Act.WRITE,
          body="json", sent=schemas_tree.META, answer=schemas_tree.DESCRIBED, headers=WRITE_HEADERS),
    Route("GET", "/v1/versions/{path}", history.list_versions, "The kept generations of a file, newest first.",
          Act.READ, is_read=True, query=(LIMIT,), answer=schemas_tree.VERSIONS),
    Route("POST", "/v1/restore", history.restore, "Bring back a generation of a file, or a folder as it was.",
          Act.WRITE, body="json",
          sent=schemas_tree.RESTORE, answer=schemas_tree.RESTORED, also=(201,), headers=WRITE_HEADERS),
    Route("GET", "/v1/trash", history.list_trash, "What was deleted and is still kept.", Act.READ, is_read=True,
          query=(Parameter("path", "text", "at or below this path; absent: everywhere"), LIMIT, AFTER),
          answer=schemas_tree.TRASH),
    Route("DELETE", "/v1/trash", history.empty_trash, "Empty the trash, for good.", Act.WRITE,
          query=(Parameter("path", "text", "only at or below this path"),), answer=schemas_tree.EMPTIED),
    Route("POST", "/v1/undelete", history.undelete, "Take something out of the trash.", Act.WRITE, body="json",
          sent=schemas_tree.UNDELETE, answer=schemas_tree.UNDELETED, headers=(LOCK,)),
    Route("GET", "/v1/diff/{path}", history.diff, "What was added, removed and changed between two moments.",
          Act.READ, is_read=True, query=(
              Parameter("from", "text", "the earlier moment, written as for at="),
              Parameter("to", "text", "the later one; absent: now"), LIMIT, AFTER), answer=schemas_tree.DIFF),
)
