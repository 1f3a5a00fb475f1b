"""`CLUSTER:/path`: a path in another cluster, wherever a command takes a remote path.

A command whose paths all lie in one other cluster runs there, as the user that one knows. Only `cp` takes paths of
several: it copies between clusters, through this machine, verified on both ways.
"""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluffy.base.errors import IsFolder, QuerySyntax
from fluffy.client.shell.acts import is_remote_folder, run_each, say, tree_document
from fluffy.client.shell.session import Session
from fluffy.client.shell.words import split_place, unmask


def is_between(words: tuple[str, ...]) -> bool:
    """Whether they lie in several clusters."""
    return len({split_place(word)[0] for word in words}) > 1


def copy_between(session: Session, words: tuple[str, ...], *, recursive: bool, force: bool) -> None:
    """`cp alpha:/a beta:/b`: the last word is where to."""
    if len(words) < 2:
        raise QuerySyntax("name what to take and where to put it")
    *sources, last = words
    there, place = _opened(session, last)
    into = len(sources) > 1 or unmask(last).endswith("/") or is_remote_folder(there, place)

    def one(word: str) -> Mapping[str, Any]:
        here, path = _opened(session, word)
        target = posixpath.join(place, posixpath.basename(path)) if into else place
        with tempfile.TemporaryDirectory(prefix="fluffy-cp-") as folder:
            local = Path(folder) / "it"
            info = here.client.info(path)
            if info.is_folder:
                if not recursive:
                    raise IsFolder(f"{path} is a folder; say -r to copy it with all in it", path=path)
                here.client.get_tree(path, local)
                return tree_document(there, "copied", target, there.client.put_tree(local, target))
            here.client.download(path, local)
            stored = there.client.put(target, local, create_only=not force, tags=info.tags, meta=info.meta,
                                      headers=info.headers, content_type=info.content_type)
        say(session, "copied", f"{here.cluster}:{path} to {there.cluster}:{stored.path}")
        return stored.document
    run_each(session, sources, one)


def _opened(session: Session, word: str) -> tuple[Session, str]:
    cluster, rest = split_place(word)
    there = session if cluster is None else session.elsewhere(cluster)
    return there, there.place(rest)
