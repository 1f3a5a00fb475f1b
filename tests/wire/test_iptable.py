"""iptable.txt: what is read, and that every complaint names its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import ConfigIllegal
from fluffy.wire.iptable import LINES_MAX, Address, parse_iptable


def test_names_comments_blank_lines_and_ipv6_are_read() -> None:
    text = "# members\n\n127.0.0.1:7101\n two  node-2.example:7102 # the second\n[::1]:7103\r\n"
    assert parse_iptable(text) == (
        Address(None, "127.0.0.1", 7101, 3), Address("two", "node-2.example", 7102, 4), Address(None, "::1", 7103, 5))
    assert [address.url for address in parse_iptable(text)] == [
        "http://127.0.0.1:7101", "http://node-2.example:7102", "http://[::1]:7103"]


def test_a_byte_order_mark_of_an_editor_does_no_harm() -> None:
    assert parse_iptable("\ufeff127.0.0.1:1\n")[0].port == 1


@pytest.mark.parametrize("line, said", [
    ("127.0.0.1", "is not an address"),
    ("127.0.0.1:", "is not a port"),
    ("127.0.0.1:0", "is not a port"),
    ("127.0.0.1:65536", "is not a port"),
    ("127.0.0.1:٣", "is not a port"),
    ("127.0.0.1:99999999999999999999", "is not a port"),
    ("::1:7101", "stands in brackets"),
    ("http://127.0.0.1:7101", "stands in brackets"),
    ("h/x:7101", "is not a host"),
    ("o:ne 127.0.0.1:7101", "is not a node name"),
    ("one two 127.0.0.1:7101", "too many words"),
])
def test_a_bad_line_is_refused_by_its_number(line: str, said: str) -> None:
    with pytest.raises(ConfigIllegal, match="line 2") as caught:
        parse_iptable(f"127.0.0.9:1\n{line}\n")
    assert said in caught.value.message


@pytest.mark.parametrize("text", ["one a:1\none b:1\n", "a:1\nb:1\na:1\n"])
def test_the_same_name_or_address_twice_is_refused_with_both_lines(text: str) -> None:
    with pytest.raises(ConfigIllegal, match="already stands in line 1"):
        parse_iptable(text)


def test_a_file_that_is_no_address_list_is_refused() -> None:
    with pytest.raises(ConfigIllegal, match="right file"):
        parse_iptable("\n" * (LINES_MAX + 1))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    try:
        addresses = parse_iptable(text)
    except ConfigIllegal as error:
        assert "iptable.txt" in error.message
    else:
        assert all(1 <= address.port <= 65_535 for address in addresses)
