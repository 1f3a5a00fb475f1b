"""Lines as words: quoting, masks, patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import QuerySyntax
from fluffy.client.shell.output import safe
from fluffy.client.shell.words import (
    is_pattern,
    local_pattern,
    pattern_of,
    quote_word,
    split_line,
    split_pipeline,
    split_unfinished,
    unmask,
)

# What may stand in a name, without the code points that are masks.
NAMES = st.text(st.characters(exclude_characters="\ufdd0\ufdd1\ufdd2\ufdd3\x00", exclude_categories=("Cs",)))


@pytest.mark.parametrize(("line", "words"), [
    ("", []), ("   ", []), ("ls", ["ls"]), ("  ls   -l  ", ["ls", "-l"]), ("a 'b c' d", ["a", "b c", "d"]),
    ('a "b c"d', ["a", "b cd"]), (r"a\ b", ["a b"]), (r"'a\b'", [r"a\b"]), (r'"a\"b\\c\d"', ['a"b\\c\\d']),
    ("''", [""]), ("a ''", ["a", ""]), ("ls # comment", ["ls"]), ("a#b", ["a#b"]), ("'it'\"'\"'s'", ["it's"]),
])
def test_lines_are_split_as_in_a_shell(line: str, words: list[str]) -> None:
    assert [unmask(word) for word in split_line(line)] == words


@pytest.mark.parametrize("line", ["'open", '"open', "end\\", "a 'b"])
def test_an_open_quote_is_refused(line: str) -> None:
    with pytest.raises(QuerySyntax):
        split_line(line)


@pytest.mark.parametrize(("line", "stages"), [
    ("", []), ("ls", [["ls"]]), ("ls | head", [["ls"], ["head"]]),
    ("ls|head -n 1|cat", [["ls"], ["head", "-n", "1"], ["cat"]]),
    ("ls 'a\\' b", [["ls", "a\\", "b"]]),
    ("ls 'a|b'", [["ls", "a|b"]]), (r"ls a\|b", [["ls", "a|b"]]), ('ls "|" | cat', [["ls", "|"], ["cat"]]),
    ("ls | head # | rm", [["ls"], ["head"]]), ("ls '>' a&b 2>1", [["ls", ">", "a&b", "2>1"]]),
])
def test_a_bare_pipe_parts_commands(line: str, stages: list[list[str]]) -> None:
    assert [[unmask(word) for word in stage] for stage in split_pipeline(line)] == stages


@pytest.mark.parametrize("line", [
    "ls |", "| ls", "ls | | rm", "|", "ls || rm", "cat a > b", "cat a >> b", "ls ; rm a", "ls && rm a", "x < y",
    "| ".join(["ls "] * 17)])
def test_what_other_shells_have_and_this_one_has_not_is_refused(line: str) -> None:
    with pytest.raises(QuerySyntax):
        split_pipeline(line)


def test_completion_looks_at_the_last_command_of_a_pipeline() -> None:
    last = split_unfinished("find . | hea")
    assert (last.words_before, last.start, last.text) == ((), 9, "hea")
    assert split_unfinished("find . | cp pap").words_before == ("cp",)


@given(st.lists(NAMES))
def test_quoted_words_come_back_as_they_were(names: list[str]) -> None:
    words = split_line(" ".join(quote_word(name) for name in names))
    assert [unmask(word) for word in words] == names
    assert not any(is_pattern(word) for word in words)


@given(NAMES, NAMES)
def test_the_unfinished_word_is_found_for_completion(before: str, typed: str) -> None:
    line = f"cmd {quote_word(before)} {quote_word(typed)}"
    last = split_unfinished(line)
    assert last.words_before[:1] == ("cmd",)
    assert last.text == typed
    assert line[last.start:] == quote_word(typed)


def test_an_open_quote_is_completed_too() -> None:
    last = split_unfinished("get 'my fi")
    assert (last.words_before, last.start, last.text) == (("get",), 4, "my fi")
    assert split_unfinished("get ").text == ""


@given(st.text())
def test_no_line_is_too_strange(line: str) -> None:
    try:
        split_line(line)
    except QuerySyntax:
        return
    split_unfinished(line)


def test_only_unquoted_magic_makes_a_pattern() -> None:
    [bare, quoted, mixed] = split_line("a*b 'a*b' 'a*'*")
    assert is_pattern(bare)
    assert not is_pattern(quoted)
    assert unmask(quoted) == "a*b"
    assert is_pattern(mixed)
    assert pattern_of(mixed).match("a*xyz")
    assert not pattern_of(mixed).match("axyz")
    assert local_pattern(mixed) == "a[*]*"
    assert pattern_of("*.pdf").match("über.pdf")
    assert not pattern_of("*.pdf").match("a.pdf.txt")
    assert pattern_of("a?[xy]").match("a\nx")


@given(st.text())
def test_safe_text_has_nothing_that_moves_the_cursor(text: str) -> None:
    assert safe(text).isprintable()
    assert safe("a b ü 日") == "a b ü 日"
