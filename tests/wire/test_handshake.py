"""Two nodes with one secret find each other; anybody else gets nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import FrameCorrupt
from fluffy.wire.handshake import MAGIC, Handshake, PeerIdentity, derive_key

ONE = PeerIdentity("one", "disk-1", "cluster")
TWO = PeerIdentity("two", "disk-2", "cluster")


def pair(dial_secret: bytes = b"s" * 32, purpose: str = "raft") -> tuple[Handshake, Handshake]:
    return (Handshake("dial", derive_key(dial_secret, purpose), ONE),
            Handshake("accept", derive_key(b"s" * 32, "raft"), TWO))


def run(dialer: Handshake, acceptor: Handshake, step: int = 1 << 20) -> None:
    to_dialer, to_acceptor = acceptor.start(), dialer.start()
    for _ in range(1000):
        if not to_dialer and not to_acceptor:
            return
        part, to_dialer = to_dialer[:step], to_dialer[step:]
        to_acceptor += dialer.receive(part) if part else b""
        part, to_acceptor = to_acceptor[:step], to_acceptor[step:]
        to_dialer += acceptor.receive(part) if part else b""


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_both_sides_learn_who_the_other_is_whatever_the_cuts(step: int) -> None:
    dialer, acceptor = pair()
    run(dialer, acceptor, step)
    assert dialer.done and acceptor.done
    assert (dialer.peer, acceptor.peer) == (TWO, ONE)
    assert dialer.send_key == acceptor.receive_key != dialer.receive_key == acceptor.send_key


def test_another_secret_is_refused() -> None:
    dialer, acceptor = pair(dial_secret=b"x" * 32)
    with pytest.raises(FrameCorrupt, match="secret"):
        run(dialer, acceptor)
    assert not acceptor.done and acceptor.peer is None


def test_a_key_for_another_purpose_is_refused() -> None:
    dialer, acceptor = pair(purpose="data")
    with pytest.raises(FrameCorrupt):
        run(dialer, acceptor)


def test_a_recorded_proof_is_worthless_on_a_new_connection() -> None:
    dialer, acceptor = pair()
    proof = dialer.receive(acceptor.start())
    _, fresh = pair()
    fresh.start()
    with pytest.raises(FrameCorrupt):
        fresh.receive(proof)


@given(st.integers(0, 300), st.integers(1, 255))
def test_a_flipped_bit_anywhere_in_the_proof_is_refused(at: int, flip: int) -> None:
    dialer, acceptor = pair()
    proof = bytearray(dialer.receive(acceptor.start()))
    at %= len(proof)
    proof[at] ^= flip
    try:
        acceptor.receive(bytes(proof))
    except FrameCorrupt:
        pass
    assert not acceptor.done


@given(st.binary(max_size=2000))
def test_garbage_never_completes_and_never_raises_anything_else(data: bytes) -> None:
    for prefix in (b"", MAGIC):
        dialer, acceptor = pair()
        for side in (dialer, acceptor):
            try:
                side.receive(prefix + data)
            except FrameCorrupt:
                pass
            assert not side.done
