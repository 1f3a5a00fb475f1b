"""Users and their tokens: make, change, remove, revoke."""

from __future__ import annotations

from fluffy.base.errors import (
    AccessDenied,
    AlreadyExists,
    LastAdmin,
    NameIllegal,
    RequestError,
    TokenNotFound,
    TooLarge,
    UserNotFound,
    UserOwnsFiles,
)
from fluffy.base.ids import UserNo
from fluffy.base.paths import check_segment
from fluffy.core.metadata import audit, changes, quotas, tree
from fluffy.core.metadata.commands import AddToken
from fluffy.core.metadata.commands_people import EVERYONE, AddUser, ChangeUser, RemoveUser, RevokeToken
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.grant_table import give_bucket
from fluffy.core.metadata.names import is_name
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import find_user, is_operator, refuse_operator, refused
from fluffy.core.metadata.rights import ROLES, SUPERNODE, SUPERNODE_LEVEL
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.metadata.working import Working

# Rows of 200 bytes; a quota, a home bucket and some tokens each.
USERS_MAX = 100_000
# What services/passwords.py makes has about 130 bytes.
PASSWORD_BYTES_MAX = 256
# About 20 microseconds each.
BUCKETS_BY_REMOVAL_MAX = 5_000
TOKEN_HASH_BYTES = 32
TOKEN_ID_BYTES = 8
# Tokens are looked up by hash; the bounds only keep a script gone wild from filling the state.
TOKENS_MAX = 1_000_000
TOKENS_OF_USER_MAX = 1_000


def add_user(work: Working, command: AddUser) -> Outcome:
    """Make a user and its home bucket; a supernode, which keeps nothing, has none. facts: user_no."""
    refusal = refuse_operator(work, command.header.user_no) or _refuse_name(command.name) or _refuse_values(
        work, command.role, command.password)
    if refusal is not None:
        return refusal
    if find_user(work, command.name) is not None:
        return refused(AlreadyExists, f"there is a user {command.name} already", user=command.name)
    root = work.folders.root()
    if tree.folder_in(work, root, command.name) is not None:
        return refused(AlreadyExists, f"bucket {command.name} exists already, so it cannot become the home of a new"
                                      " user; choose another name", path="/" + command.name)
    if tree.tomb_at(work, root, command.name + "/") is not None:
        return refused(AlreadyExists, f"a removed bucket {command.name} still has trash, which the new user would"
                                      " see; empty that trash first", path="/" + command.name)
    (users,) = work.db.execute("SELECT count(*) FROM users").fetchone()
    if users >= USERS_MAX:
        return refused(TooLarge, f"the cluster has {USERS_MAX:,} users already")
    user_no = UserNo(work.next_no())
    work.db.execute("INSERT INTO users (user_no, name, role, created_ms, password) VALUES (?, ?, ?, ?, ?)",
                    (user_no, command.name, command.role, work.clock_ms, command.password or None))
    if command.role == SUPERNODE:
        work.seq += 1
    else:
        tree.make_folder(work, root, command.name, command.name, user_no)
    audit.record(work, command.header.user_no, "add-user", command.name, f"role {command.role}")
    return Accepted(work.seq, {"user_no": user_no})


def _refuse_name(name: str) -> Rejected | None:
    if not is_name(name):
        return refused(NameIllegal, "a user's name has 1 to 256 bytes of UTF-8")
    try:
        check_segment(name)
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    if "/" in name:
        return refused(NameIllegal, "a user's name has no slash: it is also the name of the home bucket")
    if name == EVERYONE:
        return refused(NameIllegal, f"'{EVERYONE}' means all users; choose another name")
    return None


def _refuse_values(work: Working, role: str | None, password: bytes | None) -> Rejected | None:
    if role is not None and (role not in ROLES or (role == SUPERNODE and work.feature_level < SUPERNODE_LEVEL)):
        return refused(RequestError, "a role is admin, user or readonly")
    if password is not None and len(password) > PASSWORD_BYTES_MAX:
        return refused(RequestError, "that is not what a password is stored as")
    return None


def change_user(work: Working, command: ChangeUser) -> Outcome:
    """Change role, password, disabled. facts: changed (names of what was)."""
    refusal = _refuse_changer(work, command) or _refuse_values(work, command.role, command.password)
    if refusal is not None:
        return refusal
    user_no = find_user(work, command.name)
    if user_no is None:
        return refused(UserNotFound, user=command.name if is_name(command.name) else "")
    user = work.user(user_no)
    loses_admin = command.disabled or command.role not in (None, "admin")
    if user is not None and user.role == "admin" and not user.disabled and loses_admin and _admins(work) == 1:
        return refused(LastAdmin)
    changed: list[str] = []
    if command.role is not None:
        work.db.execute("UPDATE users SET role = ? WHERE user_no = ?", (command.role, user_no))
        changed.append(f"role {command.role}")
    if command.password is not None:
        work.db.execute("UPDATE users SET password = ? WHERE user_no = ?", (command.password or None, user_no))
        changed.append("password")
    if command.disabled is not None:
        work.db.execute("UPDATE users SET disabled = ? WHERE user_no = ?", (int(command.disabled), user_no))
        changed.append("disabled" if command.disabled else "enabled")
    if changed:
        work.forget_user(user_no)
        work.seq += 1
        audit.record(work, command.header.user_no, "change-user", command.name, ", ".join(changed))
    return Accepted(work.seq, {"changed": changed})


def _refuse_changer(work: Working, command: ChangeUser) -> Rejected | None:
    """Admins change everything; users their own password, which is all that cannot raise them."""
    asker_no = command.header.user_no
    if command.role is None and command.disabled is None and _is_self(work, asker_no, command.name):
        return None
    return refuse_operator(work, asker_no)


def _is_self(work: Working, asker_no: UserNo, name: str) -> bool:
    asker = work.user(asker_no)
    return asker is not None and asker.name == name and not asker.disabled


def _admins(work: Working) -> int:
    """Admins who can log in."""
    return int(work.db.execute("SELECT count(*) FROM users WHERE role = 'admin' AND NOT disabled").fetchone()[0])


def remove_user(work: Working, command: RemoveUser) -> Outcome:
    """Remove a user and everything that is nobody else's. facts: removed, given (buckets)."""
    refusal = refuse_operator(work, command.header.user_no)
    if refusal is not None:
        return refusal
    user_no = find_user(work, command.name)
    if user_no is None:
        return refused(UserNotFound, user=command.name if is_name(command.name) else "")
    user = work.user(user_no)
    if user is not None and user.role == "admin" and not user.disabled and _admins(work) == 1:
        return refused(LastAdmin)
    heir_no = None if command.give_to is None else find_user(work, command.give_to)
    if command.give_to is not None and heir_no in (None, user_no):
        return refused(UserNotFound, "the buckets must go to another user that exists",
                       user=command.give_to if is_name(command.give_to) else "")
    buckets = _buckets_of(work, user_no)
    if isinstance(buckets, Rejected):
        return buckets
    full = [bucket for bucket in buckets if bucket.entries]
    if full and heir_no is None:
        names = [bucket.key.removesuffix("/") for bucket in full]
        return refused(UserOwnsFiles, buckets=names[:10], count=len(names))
    if heir_no is not None:
        held = work.accounts.user(user_no)
        refusal = quotas.refuse_gift(work, heir_no, files=held.files, size=held.bytes)
        if refusal is not None:
            return refusal
    _remove(work, user_no, buckets, heir_no)
    given = len(full)
    detail = f"{given} buckets given to {command.give_to}" if given else ""
    audit.record(work, command.header.user_no, "remove-user", command.name, detail)
    return Accepted(work.seq, {"removed": len(buckets) - given, "given": given})


def _buckets_of(work: Working, user_no: UserNo) -> list[Folder] | Rejected:
    rows = work.db.execute("SELECT no FROM entries WHERE parent = ? AND version_no = 0 AND owner_no = ?"
                           " ORDER BY key LIMIT ?", (ROOT_NO, user_no, BUCKETS_BY_REMOVAL_MAX + 1)).fetchall()
    if len(rows) > BUCKETS_BY_REMOVAL_MAX:
        return refused(TooLarge, f"the user owns more than {BUCKETS_BY_REMOVAL_MAX:,} buckets; remove or give some"
                                 " first")
    return [work.folders.get(no) for (no,) in rows]


def _remove(work: Working, user_no: UserNo, buckets: list[Folder], heir_no: UserNo | None) -> None:
    """Empty buckets go (their trash stays readable for admins until it expires), full ones to the heir."""
    root = work.folders.root()
    for bucket in buckets:
        if bucket.entries and heir_no is not None:
            give_bucket(work, bucket, heir_no)
        else:
            path = bucket.key.removesuffix("/")
            tree.remove_folder(work, root, bucket)
            changes.record(work, changes.BUCKET_REMOVED, path, generation=0, size=0, owner_no=user_no)
    for row in work.locks.rows_of(user_no):
        work.locks.delete(row)
    work.db.execute("DELETE FROM tokens WHERE user_no = ?", (user_no,))
    work.db.execute("DELETE FROM s3_keys WHERE user_no = ?", (user_no,))
    work.db.execute("DELETE FROM grants WHERE grantee_no = ?", (user_no,))
    work.db.execute("DELETE FROM users WHERE user_no = ?", (user_no,))
    work.accounts.drop_user(user_no)
    work.forget_user(user_no)
    work.seq += 1


def add_token(work: Working, command: AddToken) -> Outcome:
    """Give a user one more API token. The same token again for the same user is success. facts: token_id."""
    if not _is_self(work, command.header.user_no, command.user) and not is_operator(work, command.header.user_no):
        return refused(AccessDenied)
    if len(command.token_hash) != TOKEN_HASH_BYTES or not (command.label == "" or is_name(command.label)):
        return refused(RequestError, "a token needs a hash of 32 bytes and a short label")
    user_no = find_user(work, command.user)
    if user_no is None:
        return refused(UserNotFound, user=command.user if is_name(command.user) else "")
    facts = {"token_id": command.token_hash[:TOKEN_ID_BYTES].hex()}
    held = work.db.execute("SELECT user_no FROM tokens WHERE token_hash = ?", (command.token_hash,)).fetchone()
    if held is not None:
        return Accepted(work.seq, facts) if held[0] == user_no else refused(
            AlreadyExists, "this token belongs to another user")
    (everybodys,) = work.db.execute("SELECT count(*) FROM tokens").fetchone()
    living = work.db.execute("SELECT count(*) FROM tokens WHERE user_no = ? AND (expires_ms = 0 OR expires_ms > ?)",
                             (user_no, work.clock_ms)).fetchone()[0]
    if everybodys >= TOKENS_MAX or living >= TOKENS_OF_USER_MAX:
        return refused(TooLarge, f"a user has at most {TOKENS_OF_USER_MAX:,} tokens, all together {TOKENS_MAX:,};"
                                 " revoke some")
    work.db.execute("DELETE FROM tokens WHERE user_no = ? AND expires_ms != 0 AND expires_ms <= ?",
                    (user_no, work.clock_ms))
    work.db.execute("INSERT INTO tokens (token_hash, user_no, label, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?)",
                    (command.token_hash, user_no, command.label, work.clock_ms, command.expires_ms))
    work.seq += 1
    audit.record(work, command.header.user_no, "add-token", command.user, f"{facts['token_id']} {command.label}")
    return Accepted(work.seq, facts)


def revoke_token(work: Working, command: RevokeToken) -> Outcome:
    """End tokens of a user. facts: revoked (how many)."""
    if not _is_self(work, command.header.user_no, command.user) and not is_operator(work, command.header.user_no):
        return refused(AccessDenied)
    if len(command.token_id) not in (0, TOKEN_ID_BYTES):
        return refused(RequestError, f"a token's id has {TOKEN_ID_BYTES * 2} hex digits; the list of tokens shows it")
    user_no = find_user(work, command.user)
    if user_no is None:
        return refused(UserNotFound, user=command.user if is_name(command.user) else "")
    least, most = command.token_id, command.token_id + b"\xff" * (TOKEN_HASH_BYTES - len(command.token_id))
    revoked = work.db.execute("DELETE FROM tokens WHERE user_no = ? AND token_hash BETWEEN ? AND ?",
                              (user_no, least, most)).rowcount
    if not revoked:
        return Accepted(work.seq, {"revoked": 0}) if not command.token_id else refused(
            TokenNotFound, token_id=command.token_id.hex())
    work.seq += 1
    audit.record(work, command.header.user_no, "revoke-token", command.user,
                 command.token_id.hex() or f"all {revoked}")
    return Accepted(work.seq, {"revoked": revoked})
