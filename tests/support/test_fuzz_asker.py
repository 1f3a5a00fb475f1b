"""A fuzz that ends its own credential gets another one, and says when it was shut out."""

from collections import Counter

from tests.faults.fuzz_asker import SHUT_OUT, Asker, is_shut_out


def make_asker() -> Asker:
    tokens = iter(("second",))
    return Asker("boss", "first", "operator-1", lambda token: token == "second", lambda: next(tokens))


def test_an_ended_token_is_renewed_at_once() -> None:
    asker = make_asker()
    asker.answered("/v1/files/a", "Bearer first", 200)
    assert asker.token == "first"
    asker.answered("/v1/session", "Bearer first", 200)
    assert asker.token == "second" and asker.credential("Bearer first") == "Bearer second"
    asker.answered("/v1/tokens/all", "Bearer second", 200)  # the fuzz named a token that is not there
    asker.answered("/v1/login", "Bearer second", 401)  # a wrong password
    assert asker.token == "second" and asker.answers == {200: 3, 401: 1}


def test_a_token_that_ended_unseen_is_renewed_and_counted() -> None:
    asker = make_asker()
    asker.answered("/v1/files/a", "Bearer first", 401)
    assert asker.token == "second" and asker.answers == {SHUT_OUT: 1}


def test_a_credential_that_is_sent_to_be_refused_renews_nothing() -> None:
    asker = make_asker()
    asker.answered("/v1/session", "Bearer made-up", 401)
    asker.answered("/v1/session", None, 401)
    assert asker.token == "first" and not asker.answers
    assert asker.credential("Bearer made-up") == "Bearer made-up"


def test_the_operator_cannot_be_named() -> None:
    asker = make_asker()
    assert [asker.spare(value) for value in ("operator-1", "someone", 3, None)] == ["boss", "someone", 3, None]


def test_a_round_that_was_shut_out_is_a_failure() -> None:
    assert is_shut_out(Counter({200: 90, SHUT_OUT: 10}))
    assert not is_shut_out(Counter({200: 500, 401: 490, SHUT_OUT: 10})) and not is_shut_out(Counter())
