"""Persistence and the list of peers: pure decisions, no network."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import (
    ERRORS_BY_CODE,
    AccessDenied,
    DiskFull,
    FluffyError,
    NoLeader,
    Overloaded,
    PeerUnreachable,
    ProposalLost,
    QuerySyntax,
    Unavailable,
)
from fluffy.client.peers import DOWN_FOR_S, PeerList, parse_peer, parse_peers, peers_in_nodes
from fluffy.client.results import page_of
from fluffy.client.retry import GiveUp, Persistence, Try, Wait, is_final
from fluffy.client.transport import error_of_answer, stale_age

A, B, C = "http://a:1", "http://b:1", "http://c:1"


def persistence(*urls: str, patience_s: float = 30.0, reach_s: float = 5.0) -> Persistence:
    return Persistence(PeerList(urls), patience_s=patience_s, reach_s=reach_s, now_s=0.0, rng=random.Random(1))


def unreachable(peer: str) -> FluffyError:
    return PeerUnreachable(f"{peer} does not answer", peer=peer)


def run(patience: Persistence, fails: FluffyError | None = None) -> tuple[list[str], float, FluffyError]:
    """Fail every attempt until it gives up: who was asked, how long it took, and what it said."""
    now_s, asked = 0.0, []
    for _ in range(10_000):
        match patience.next(now_s):
            case Try(peer):
                asked.append(peer)
                patience.failed(peer, fails or unreachable(peer), now_s)
                now_s += 0.001
            case Wait(seconds):
                assert seconds > 0
                now_s += seconds
            case GiveUp(error):
                return asked, now_s, error
    raise AssertionError("it never gives up")


def test_all_peers_are_asked_once_before_it_waits() -> None:
    patience = persistence(A, B, C)
    for peer in (A, B, C):
        assert patience.next(0.0) == Try(peer)
        patience.failed(peer, NoLeader(), 0.0)
    assert isinstance(patience.next(0.0), Wait)


def test_a_cluster_out_of_reach_is_told_soon_and_a_busy_one_gets_its_time() -> None:
    asked, took_s, error = run(persistence(A, B))
    assert took_s <= 5.0
    assert set(asked) == {A, B}
    assert isinstance(error, PeerUnreachable)
    assert A in error.message
    assert B in error.message
    _, took_s, error = run(persistence(A, B), NoLeader())
    assert 20.0 < took_s <= 30.0
    assert isinstance(error, NoLeader)


def test_a_final_refusal_ends_it_at_once() -> None:
    for refusal in (AccessDenied(), DiskFull(), Unavailable(retry="never")):
        patience = persistence(A, B)
        assert patience.next(0.0) == Try(A)
        patience.failed(A, refusal, 0.0)
        assert patience.next(0.0) == GiveUp(refusal)


def test_the_unknown_fate_of_a_write_is_what_it_says_at_the_end() -> None:
    patience = persistence(A)
    patience.next(0.0)
    lost = ProposalLost()
    patience.failed(A, lost, 0.0)
    _, _, error = run(patience)
    assert error is lost


def test_it_waits_as_long_as_it_is_asked_to_but_not_for_ever() -> None:
    for asked_s, least_s, most_s in ((3, 3, 3), (0, 0.05, 0.1), (1000, 10, 10)):
        patience = persistence(A)
        patience.next(0.0)
        patience.failed(A, Overloaded(retry_after_s=asked_s), 0.0)
        wait = patience.next(0.0)
        assert isinstance(wait, Wait)
        assert least_s <= wait.seconds <= most_s


def test_a_servers_bug_is_not_asked_for_again_and_again() -> None:
    asked, _, _ = run(persistence(A, B, C), Unavailable(status=500, retry="later"))
    assert len(asked) == 3


def test_progress_renews_the_patience() -> None:
    patience = persistence(A, reach_s=30.0)
    patience.next(0.0)
    patience.failed(A, unreachable(A), 0.0)
    patience.progressed(100.0)
    patience.failed(A, unreachable(A), 100.0)
    assert not isinstance(patience.next(100.1), GiveUp)


@given(st.lists(st.sampled_from(["answer", "unreachable", "unknown"]), min_size=1), st.floats(0.01, 60),
       st.integers(0, 1000))
def test_it_always_ends_in_time(events: list[str], patience_s: float, seed: int) -> None:
    patience = Persistence(PeerList((A, B)), patience_s=patience_s, reach_s=patience_s / 2, now_s=0.0,
                           rng=random.Random(seed))
    now_s = 0.0
    for number in range(20_000):
        match patience.next(now_s):
            case Try(peer):
                kind = events[number % len(events)]
                patience.failed(peer, {"answer": NoLeader(), "unknown": ProposalLost(),
                                       "unreachable": unreachable(peer)}[kind], now_s)
                now_s += 0.01
            case Wait(seconds):
                now_s += seconds
            case GiveUp():
                break
    else:
        raise AssertionError("it never gives up")
    assert now_s <= patience_s + 0.05


def test_a_peer_that_failed_is_asked_last_for_a_while() -> None:
    peers = PeerList((A, B, C))
    peers.failed(A, 0.0)
    assert peers.order(0.1) == [B, C, A]
    assert peers.order(DOWN_FOR_S + 0.1) == [A, B, C]
    peers.answered(B)
    assert peers.order(DOWN_FOR_S + 0.1) == [B, C, A]
    peers.prefer("http://d:1")
    assert peers.current == "http://d:1"
    assert PeerList(()).order(0.0) == []


@pytest.mark.parametrize("text", ["127.0.0.1:7101", "http://127.0.0.1:7101", " http://127.0.0.1:7101/ "])
def test_addresses_are_taken_as_people_write_them(text: str) -> None:
    assert parse_peer(text) == "http://127.0.0.1:7101"


@pytest.mark.parametrize("text", ["", "host", "host:port", "host:99999", "ftp://host:1", "http://u:p@host:1",
                                  "http://host:1/path", "http://[::1", "host:1?x=1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(QuerySyntax):
        parse_peer(text)


def test_peers_from_the_environment() -> None:
    assert parse_peers("a:1, b:2  https://c:3") == ("http://a:1", "http://b:2", "https://c:3")
    assert parse_peers("") == ()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)
                    | st.dictionaries(st.sampled_from(["nodes", "host", "http", "x"]), inner)))
def test_no_answer_about_nodes_is_taken_amiss(value: object) -> None:
    for document in ({"nodes": value}, {"nodes": [value]}, {"nodes": [{"host": value, "http": value}]}):
        assert all(url.startswith("https://") for url in peers_in_nodes(document, "https://a:1"))


def test_nodes_become_addresses() -> None:
    nodes = {"nodes": [{"host": "10.0.0.1", "http": 80}, {"host": "::1", "http": 81}, {"host": "x", "http": 0}]}
    assert peers_in_nodes(nodes, "https://a:1") == ("https://10.0.0.1:80", "https://[::1]:81")


@given(st.integers(300, 599), st.binary(max_size=200) | st.sampled_from([
    b'{"error": {"code": "NoLeader", "self": 1, "message": 7}}', b'{"error": []}', b"[]", b'{"error": {"code": 9}}']))
def test_every_refusal_becomes_an_error_with_a_sentence(status: int, body: bytes) -> None:
    error = error_of_answer(status, {"Retry-After": "1"}, body, A)
    assert error.message
    assert error.facts["status"] == status


def test_known_codes_keep_their_class_and_facts() -> None:
    for code, cls in ERRORS_BY_CODE.items():
        body = f'{{"error": {{"code": "{code}", "message": "m", "retry": "{cls.retry}", "used": 5}}}}'
        error = error_of_answer(cls.http_status, {}, body.encode(), A)
        assert type(error) is cls
        assert error.message == "m"
        assert error.facts["used"] == 5
    newer = error_of_answer(409, {}, b'{"error": {"code": "FromTheFuture", "message": "m", "retry": "never"}}', A)
    assert newer.http_status == 409
    assert is_final(newer)
    assert not is_final(error_of_answer(429, {"Retry-After": "2"}, b"", A))


@pytest.mark.parametrize("name", ["..", ".", "", "../x", "/etc/passwd", "a/b", "nul\0"])
def test_a_name_that_leads_elsewhere_is_not_believed(name: str) -> None:
    with pytest.raises(Unavailable):
        page_of({"entries": [{"name": name, "path": f"/admin/{name}", "kind": "file"}]}, "entries")


@pytest.mark.parametrize("document", [{}, {"hits": 1}, {"hits": [1]}, {"hits": [{}]}, {"hits": [{"path": 1}]},
                                      {"hits": [{"path": "/a/b", "size": "1"}]}])
def test_an_answer_that_makes_no_sense_is_another_machines_fault(document: dict[str, object]) -> None:
    with pytest.raises(Unavailable):
        page_of(document, "hits")


def test_a_stale_answer_tells_its_age() -> None:
    assert stale_age({"Fluffy-Stale": "true", "Age": "12"}) == 12
    assert stale_age({"Fluffy-Stale": "true"}) == 0
    assert stale_age({"Age": "12"}) is None


def test_everybody_is_asked_once_however_long_the_first_one_hangs() -> None:
    patience = persistence(A, B)
    assert patience.next(0.0) == Try(A)
    patience.failed(A, unreachable(A), 1000.0)
    assert patience.next(1000.0) == Try(B)


def test_a_slow_answer_gets_more_time_in_each_round() -> None:
    patience = persistence(A)
    times = []
    for now_s in range(8):
        times.append(patience.answer_s)
        patience.next(float(now_s))
        patience.failed(A, NoLeader(), float(now_s))
        patience.next(float(now_s))
    assert times == sorted(times)
    assert times[0] == 5.0
    assert times[-1] == 30.0
