"""A tree with a bit of everything, made through the SDK; and looking whether it is all there again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from fluffy.base.errors import FluffyError
from fluffy.client.sync import Fluffy
from tests.support.cluster import Cluster

USERS = ("alice", "bob")
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Known:
    """What a file must be like."""

    data: bytes
    generation: int
    owner: str
    tags: Mapping[str, str]


@dataclass(slots=True)
class Tree:
    files: dict[str, Known] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)

    @property
    def bytes(self) -> int:
        return sum(len(known.data) for known in self.files.values())


def client_of(cluster: Cluster, token: str | None = None) -> Fluffy:
    return Fluffy(cluster.urls(cluster.running), token or cluster.token, patience_s=60.0)


def plant(cluster: Cluster, seed: int, files: int) -> Tree:
    """Files of two users in three buckets: inline and chunked, updated, tagged, moved with their folders, deleted."""
    chance = random.Random(seed)
    tree = Tree()
    with client_of(cluster) as admin:
        for name in USERS:
            admin.add_user(name, password=PASSWORD)
        tokens = {name: admin.add_token(name, user=name).token for name in USERS}
        clients = {name: client_of(cluster, token) for name, token in tokens.items()}
        try:
            for number in range(files):
                _plant_one(clients[USERS[number % 2]], USERS[number % 2], number, chance, tree)
            _shuffle(clients["alice"], tree)
        finally:
            for client in clients.values():
                client.close()
        admin.grant("alice", "bob", "write")
        admin.set_bucket("alice", versions_max=7)
        admin.set_quota("user", "bob", bytes_max=1 << 40)
    return tree


def _plant_one(client: Fluffy, owner: str, number: int, chance: random.Random, tree: Tree) -> None:
    folder = f"/{owner}/d{number % 7}/{'deep/' * (number % 3)}"
    path = f"{folder}file {number} ü.bin"
    updates = 1 + (number % 10 == 0) + (number % 25 == 0)
    data, generation = b"", 0
    for _ in range(updates):
        size = chance.choice((0, 10, 3_000, 15_000, 20_000, 90_000, 200_000))
        data = chance.randbytes(size)
        generation = client.put(path, data, tags={"number": str(number)} if number % 4 == 0 else None).generation
    if number % 17 == 5:
        client.delete(path)
        tree.deleted.add(path)
        return
    tree.files[path] = Known(data, generation, owner, {"number": str(number)} if number % 4 == 0 else {})


def _shuffle(alice: Fluffy, tree: Tree) -> None:
    """Move a folder, delete another with all in it, and make one of its names anew."""
    alice.move("/alice/d0", "/alice/moved")
    for path in [path for path in tree.files if path.startswith("/alice/d0/")]:
        tree.files["/alice/moved" + path.removeprefix("/alice/d0")] = tree.files.pop(path)
        tree.deleted.add(path)
    gone = [path for path in tree.files if path.startswith("/alice/d2/")]
    if gone:
        alice.delete("/alice/d2", recursive=True)
        for path in gone:
            del tree.files[path]
            tree.deleted.add(path)
        # Generations outlive their files: this one goes on above those that were deleted.
        generation = alice.put("/alice/d2/new", b"new").generation
        tree.files["/alice/d2/new"] = Known(b"new", generation, "alice", {})


def differences(cluster: Cluster, tree: Tree, *, token: str | None = None, without: frozenset[str] = frozenset(),
                generations: bool = True) -> list[str]:
    """What is not as it was; `without`: files that need not be there."""
    wrong: list[str] = []
    with client_of(cluster, token) as client:
        for path, known in tree.files.items():
            if path in without:
                continue
            try:
                info = client.info(path)
                data = client.get(path)
            except FluffyError as error:
                wrong.append(f"{path}: {error.message}")
                continue
            is_same = data == known.data and info.owner == known.owner and dict(info.tags) == dict(known.tags)
            if not is_same or (generations and info.generation != known.generation):
                wrong.append(f"{path}: generation {info.generation} for {known.generation}, {len(data)} bytes")
        for path in tree.deleted:
            if path in tree.files:
                continue
            try:
                client.info(path)
            except FluffyError:
                continue
            wrong.append(f"{path}: was deleted and is back")
    return wrong
