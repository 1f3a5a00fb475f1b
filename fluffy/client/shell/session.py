"""One user's session: the connection, the present folder, and what words on the command line mean there.

A session is made before anything is known, and connects when a command first needs the cluster: `help` works without
one. Relative remote paths are relative to the present folder, which is the user's home `/USERNAME` at the start.
"""

from __future__ import annotations

import copy
import glob
import os
import posixpath
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import click

from fluffy import client as sdk
from fluffy.base.errors import ClusterNotFound, FluffyError, LocalFileFailed, NotFound, QuerySyntax, Unauthenticated
from fluffy.base.paths import parse_path
from fluffy.base.units import format_size
from fluffy.client.credentials import user_state_folder
from fluffy.client.shell.output import Output
from fluffy.client.shell.pipes import Drain, Pipe, paths_of
from fluffy.client.shell.words import is_pattern, local_pattern, pattern_of, unmask

# More remote names than a command line can sensibly mean.
MATCHES_MAX = 10_000
# Somebody waits in front of the screen: unreachable peers are told about soon, a busy cluster gets its time.
REACH_S = 5.0
PATIENCE_S = 30.0
# Hiccups shorter than this are not worth a word.
TELL_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """What the command line said about the connection; None: nothing."""

    peer: str | None = None
    token: str | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class OtherCluster:
    """A cluster that the user is somebody in, besides the present one."""

    peers: tuple[str, ...]
    token: str
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """Where and as whom to connect. `token_places`: where a token was looked for, to say so when there was none.

    `login_user`: whose stored login the token is; None: it is none. `others`: further clusters, by name. `operators`:
    supernodes of this machine, by URL, with their operators' tokens.
    """

    peers: tuple[str, ...]
    token: str | None
    ca_file: Path | None = None
    token_places: tuple[str, ...] = field(default=())
    login_user: str | None = None
    others: Mapping[str, OtherCluster] = field(default_factory=dict)
    operators: Mapping[str, str] = field(default_factory=dict)


ContextFactory = Callable[[ConnectOptions], Connection]
"""Made by the composition root: finds peers and token in settings, files and the environment."""


class Session:
    """State between the commands of one REPL, or of one one-shot command.

    `interactive`: lines are typed or piped in, one after the other. `splits_words`: the words were split here, so what
    was quoted is known; otherwise the user's own shell did it. `feed`: the pipe before the running command, or None.
    `can_ask`: the command may put a question to the person at the terminal. `locks_held`: path and token of each lock
    that `lock` took and `unlock` did not give back; `lock_given`: the token of `--lock`, for the running command.
    """

    def __init__(self, factory: ContextFactory, options: ConnectOptions | None = None, *, interactive: bool = False,
                 output: Output | None = None) -> None:
        self.interactive = interactive
        self.splits_words = interactive
        self.can_ask = True
        self.feed: Pipe | None = None
        self.leaving = False
        self.lock_given: str | None = None
        self.locks_held: dict[str, str] = {}
        self._locks_kept: list[sdk.SyncLock] = []
        self.output = output or Output()
        self.previous = ""
        self._factory = factory
        self._options = options or ConnectOptions()
        self._client: sdk.Fluffy | None = None
        self._cwd: str | None = None
        self._user = ""
        self._cluster = ""
        self._cluster_uuid = ""
        self._places: str | None = None
        self._login_user: str | None = None
        self._teller = _Teller(self.output)
        self._found: Connection | None = None
        self._elsewhere: dict[str, Session] = {}

    def close(self) -> None:
        for other in self._elsewhere.values():
            other.close()
        self._elsewhere.clear()
        client, self._client = self._client, None
        if client is None:
            return
        kept, self._locks_kept[:] = list(self._locks_kept), []
        try:
            for lock in kept:
                lock.release()
        except FluffyError as error:
            self.output.note(f"a lock could not be given back and ends by itself: {error.message}")
        finally:
            client.close()

    def connect_with(self, options: ConnectOptions) -> None:
        """Options that stood after the command. Raises QuerySyntax once connected."""
        if options == ConnectOptions():
            return
        if self.interactive or self._client is not None:
            raise QuerySyntax("--peer, --token and --config are given when the client starts; "
                              "in a session use the command 'peer URL'")
        old = self._options
        self._options = replace(old, peer=options.peer or old.peer, token=options.token or old.token,
                                config=options.config or old.config)

    def stage(self, feed: Pipe | None, drain: Pipe | None) -> Session:
        """This session as one command of a pipeline has it: the same connection and folder, other ends."""
        stage = copy.copy(self)
        stage.feed = feed
        if drain is not None:
            stage.output = Output(cast(TextIO, Drain(drain)), paths_wanted=drain.paths_wanted)
            stage.can_ask = False
        return stage

    @property
    def config(self) -> Path | None:
        """The configuration that the command line named; None: the usual places."""
        return self._options.config

    @property
    def stdin(self) -> BinaryIO:
        """What the command reads: the pipe before it, or standard input."""
        return cast(BinaryIO, self.feed.reader) if self.feed is not None else sys.stdin.buffer

    @property
    def client(self) -> sdk.Fluffy:
        """The connected client. Raises StartRefused for a config nobody can use."""
        if self._client is None:
            found = self._factory(self._options)
            self._client = sdk.Fluffy(found.peers, found.token, patience_s=PATIENCE_S, reach_s=REACH_S,
                                      ca_file=found.ca_file, observer=self._teller,
                                      state_folder=user_state_folder(os.environ),
                                      cluster_tokens={name: other.token for name, other in found.others.items()})
            self._found = found
            self._login_user = found.login_user
            self._places = None if found.token else ", ".join(found.token_places) or "--token and FLUFFY_TOKEN"
        self._teller.begin()
        return self._client

    @property
    def connection(self) -> Connection:
        """What the client was connected with."""
        self.client  # noqa: B018 (connects)
        assert self._found is not None
        return self._found

    def elsewhere(self, cluster: str) -> Session:
        """This session, in another cluster: its client, the user there, its own folders. Raises ClusterNotFound."""
        if cluster == self.cluster:
            return self
        found = self._elsewhere.get(cluster)
        if found is None:
            connection = self.connection_to(cluster)
            found = self._elsewhere[cluster] = Session(lambda options: connection, interactive=self.interactive,
                                                       output=self.output)
        view = copy.copy(found)
        view.output, view.feed = self.output, self.feed
        view.can_ask, view.splits_words = self.can_ask, self.splits_words
        return view

    def connection_to(self, cluster: str) -> Connection:
        """How to reach another cluster, and as whom. Raises ClusterNotFound, Unauthenticated."""
        present = self.connection
        here = OtherCluster(present.peers, present.token or "", present.ca_file)
        others = {**present.others, **({self.cluster: here} if present.token else {})}
        other = others.pop(cluster, None)
        if other is None:
            line = next((one for one in self.client.clusters() if one.get("name") == cluster), None)
            if line is None:
                raise ClusterNotFound(f"no cluster {cluster} is known here; 'clusters' shows those that are")
            if line.get("you_are") is None or not present.token:
                raise Unauthenticated(f"cluster {cluster} does not know you; log in there once: "
                                      f"fluffy --peer {_first(line.get('peers'))} login")
            other = OtherCluster(tuple(map(str, line.get("peers", ()))), present.token, present.ca_file)
        return Connection(other.peers, other.token, other.ca_file, (f"the login for {cluster}",), others=others,
                          operators=present.operators)

    def use(self, cluster: str) -> None:
        """Go on in another cluster from now on."""
        connection = self.connection_to(cluster)
        self.close()
        self._factory = lambda options: connection
        self._options = ConnectOptions()
        self._user = self._cluster = self._cluster_uuid = self.previous = ""
        self._cwd = None
        self.locks_held.clear()

    def explained(self, error: FluffyError) -> FluffyError:
        """The error with what this session knows about its cause: that no token was sent, because none was found."""
        if isinstance(error, Unauthenticated) and self._places is not None:
            return Unauthenticated(f"no token was found (looked at {self._places})", **error.facts)
        if isinstance(error, Unauthenticated) and self._login_user is not None:
            return Unauthenticated(f"the login of {self._login_user} that is stored on this machine does not hold any "
                                   "more: 'login' again, or 'logout' to forget it", **error.facts)
        return error

    @property
    def user(self) -> str:
        """The name behind the token, asked once."""
        if not self._user:
            self._introduce()
        return self._user

    @property
    def cluster(self) -> str:
        if not self._cluster:
            self._introduce()
        return self._cluster

    @property
    def cluster_uuid(self) -> str:
        """What tells this cluster from all others, whatever they are called."""
        if not self._cluster_uuid:
            self._introduce()
        return self._cluster_uuid

    def _introduce(self) -> None:
        status = self.client.status()
        user, cluster = status.get("user"), status.get("cluster")
        self._user = str(user.get("name") if isinstance(user, dict) else user or "admin")
        self._cluster = str(cluster.get("name") if isinstance(cluster, dict) else cluster or "cluster")
        self._cluster_uuid = str(cluster.get("uuid") if isinstance(cluster, dict) else self._cluster)

    # Remote paths

    @property
    def cwd(self) -> str:
        if self._cwd is None:
            self._cwd = f"/{self.user}"
        return self._cwd

    def change_folder(self, path: str) -> None:
        self.previous, self._cwd = self.cwd, path

    def path(self, text: str) -> str:
        """The absolute path of literal `text`, with `.` and `..` resolved. Raises NameIllegal."""
        if text.startswith("/"):
            joined = text
        else:
            joined = posixpath.join(self.cwd, text)
        return str(parse_path(posixpath.normpath(joined)))

    def remote(self, words: Iterable[str]) -> list[str]:
        """The paths that masked words mean, patterns expanded. Raises NotFound for a pattern that nothing fits."""
        found: list[str] = []
        for word in map(self._at_home, words):
            found += self._expand(word) if is_pattern(word) else [self.path(unmask(word))]
        return list(dict.fromkeys(found))

    def place(self, word: str) -> str:
        """The path that a masked word means as it stands, for what need not be there yet. Raises NameIllegal."""
        return self.path(unmask(self._at_home(word)))

    def single(self, word: str) -> str:
        """The one path that a masked word means, a pattern expanded. Raises QuerySyntax when it fits several."""
        found = self.remote([word])
        if len(found) != 1:
            raise QuerySyntax(f"{unmask(word)} fits {len(found)} paths; name one")
        return found[0]

    def paths(self, words: Iterable[str]) -> list[str]:
        """The paths that words mean; without words (or with `-`) those that come through the pipe.

        Raises UsageError when there is neither.
        """
        words = list(words)
        if words not in ([], ["-"]):
            return self.remote(words)
        if self.feed is not None:
            return self.feed.paths()
        if words and not self.interactive:
            return [self.path(line) for line in paths_of(sys.stdin.buffer)]
        raise click.UsageError("name a path, or send paths through a pipe, like: find docs -name '*.tmp' | rm",
                               click.get_current_context())

    def _at_home(self, word: str) -> str:
        """`~` and `~/x` are below the user's home, `~bob/x` below bob's."""
        if not word.startswith("~"):
            return word
        name, slash, rest = word[1:].partition("/")
        if name and not self.splits_words:
            return word  # a user's own shell left it there: a name
        home = f"/{name}" if name else f"/{self.user}"
        return home + slash + rest

    def _expand(self, word: str) -> list[str]:
        absolute = word if word.startswith("/") else f"{self.cwd}/{word}"
        segments = [segment for segment in absolute.split("/") if segment not in ("", ".")]
        bases = ["/"]
        for number, segment in enumerate(segments):
            if segment == "..":
                bases = [posixpath.dirname(base) for base in bases]
            elif not is_pattern(segment):
                bases = [posixpath.join(base, unmask(segment)) for base in bases]
            else:
                is_last = number == len(segments) - 1
                bases = [match for base in bases for match in self._matches(base, segment, folders_only=not is_last)]
            if len(bases) > MATCHES_MAX:
                raise QuerySyntax(f"{unmask(word)} fits more than {MATCHES_MAX} names; narrow it down")
        if not bases:
            raise NotFound(f"nothing fits {unmask(word)}", path=unmask(word))
        return bases

    def _matches(self, folder: str, segment: str, *, folders_only: bool) -> list[str]:
        wanted = pattern_of(segment)
        hidden_too = segment.startswith(".")
        found: list[str] = []
        try:
            for entry in self.client.ls(folder):
                if (wanted.match(entry.name) and (hidden_too or not entry.name.startswith("."))
                        and (entry.is_folder or not folders_only)):
                    found.append(entry.path)
                    if len(found) > MATCHES_MAX:
                        break
        except NotFound:
            return []
        return found

    def lock_for(self, path: str) -> str | None:
        """The token to send with a change of `path`: that of `--lock`, or of this session's lock on it or above it."""
        if self.lock_given is not None:
            return self.lock_given
        above = [held for held in self.locks_held if path == held or path.startswith(held.rstrip("/") + "/")]
        return self.locks_held[max(above, key=len)] if above else None

    def keep_lock(self, lock: sdk.SyncLock) -> None:
        """Renew the lock until `drop_lock` or the end of the session."""
        lock.__enter__()
        self._locks_kept.append(lock)

    def drop_lock(self, token: str) -> None:
        """Forget a lock that this session held, before it is given back."""
        for lock in [kept for kept in self._locks_kept if kept.token == token]:
            self._locks_kept.remove(lock)
            lock.stop_keeping()
        for path in [path for path, held in self.locks_held.items() if held == token]:
            del self.locks_held[path]

    def become(self, user: str) -> None:
        """The client sends another user's token from now on: go to that one's home."""
        self._user, self._cwd, self.previous = user, f"/{user}", ""
        self._places, self._login_user = None, None
        self.locks_held.clear()

    def forget_login(self) -> None:
        """The token in use has ended: connect anew, as whoever is left, when a command next needs it."""
        self.close()
        self._user, self._cwd, self.previous = "", None, ""
        self.locks_held.clear()

    # Local paths

    def local(self, words: Iterable[str]) -> list[Path]:
        """The local files that masked words mean. Raises LocalFileFailed for a pattern that nothing fits."""
        found: list[Path] = []
        for word in words:
            bare = os.path.expanduser(word) if word.startswith("~") else word
            # In a one-shot command the user's own shell has expanded its patterns; what is left is meant as it stands.
            if self.splits_words and is_pattern(bare):
                matches = sorted(glob.glob(local_pattern(bare)))
                if not matches:
                    raise LocalFileFailed(f"no local file fits {unmask(word)}")
                found += [Path(match) for match in matches]
            else:
                found.append(Path(unmask(bare)))
        return found


def _first(value: object) -> str:
    return str(value[0]) if isinstance(value, list) and value else "URL"


class _Teller:
    """Says on standard error what a call that takes long is waiting for; each thing once a command."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told: set[str] = set()
        self._since_s = 0.0

    def begin(self) -> None:
        self._told.clear()
        self._since_s = time.monotonic()

    def retrying(self, error: FluffyError, wait_s: float) -> None:
        if time.monotonic() - self._since_s >= TELL_AFTER_S and error.message not in self._told:
            self._told.add(error.message)
            self._output.note(f"trying again: {error.message}")

    def resumable(self, path: str, done_bytes: int, total_bytes: int) -> None:
        self._output.note(f"{path}: {format_size(done_bytes)} of {format_size(total_bytes)} are stored; the same"
                          " command goes on from there")

    def stale(self, age_s: int) -> None:
        if "stale" not in self._told:
            self._told.add("stale")
            self._output.note(f"no majority of the cluster is alive: this answer may be {age_s} s old, or more")
