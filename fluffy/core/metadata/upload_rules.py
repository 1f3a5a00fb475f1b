"""Who may go on with an upload session, and where its file is to stand: asked by every command about sessions."""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.errors import AccessDenied, UploadFinished, UploadNotFound
from fluffy.base.ids import UserNo
from fluffy.core.metadata import files, objects, tree, upload_table
from fluffy.core.metadata.files import Current
from fluffy.core.metadata.outcomes import Rejected
from fluffy.core.metadata.refusals import is_operator, refuse_writer, refused
from fluffy.core.metadata.schema import CLUSTER_USER_NO
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.working import Working

# From this level on the cluster itself ends sessions, for a bucket's lifecycle.
LIFECYCLE_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Target:
    """Where a session's file shall stand, and what stands there now."""

    place: Place
    current: Current | None


def target_of(work: Working, user_no: UserNo, path: str, *, is_object: bool) -> Target | Rejected:
    """Where a file could be put by this user; refused like a PutFile there, locks and conditions apart."""
    if is_object:
        return _object_target(work, user_no, path)
    place = tree.locate_file(work, path)
    if isinstance(place, Rejected):
        return place
    refusal = files.refuse_target(work, user_no, place, parents=True)
    if refusal is not None:
        return refusal
    current = None if place.missing else files.entry(work, place.folder, place.name)
    return current if isinstance(current, Rejected) else Target(place, current)


def _object_target(work: Working, user_no: UserNo, path: str) -> Target | Rejected:
    place = objects.locate(work, path)
    if isinstance(place, Rejected):
        return place
    refusal = refuse_writer(work, user_no, place.bucket)
    return refusal or Target(place, objects.entry(work, place))


def refuse_stranger(work: Working, user_no: UserNo, path: str, began_no: int) -> Rejected | None:
    """None when the user may go on with (or end) a session for `path` that `began_no` began."""
    if user_no == CLUSTER_USER_NO and work.feature_level >= LIFECYCLE_LEVEL:
        return None
    bucket = tree.folder_in(work, work.folders.root(), path.partition("/")[0])
    refusal = refuse_writer(work, user_no, bucket)
    if refusal is None and bucket is None and user_no != began_no and not is_operator(work, user_no):
        return refused(AccessDenied, "somebody else began that upload")
    return refusal


def refuse_unknown(work: Working, user_no: UserNo, upload_id: bytes) -> Rejected:
    """Why there is no living session of that name."""
    done = upload_table.finished(work, upload_id)
    if done is None:
        return refused(UploadNotFound)
    return refuse_stranger(work, user_no, done.path, done.user_no) or refused(
        UploadFinished, path="/" + done.path, generation=done.facts["generation"])
