"""Values that are made quickly are what plain frozen dataclasses are."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from fluffy.base.frozen import quickly_made


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    number: int
    text: str = "none"
    facts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plain:
    number: int
    text: str = "none"
    facts: dict[str, int] = field(default_factory=dict)


@quickly_made
@dataclass(frozen=True, slots=True)
class Longer(Quick):
    more: bytes = b""


def test_it_is_made_as_a_plain_one_is() -> None:
    assert Quick(1) == Quick(number=1, text="none", facts={}) != Quick(2)
    assert repr(Quick(1, "x")) == repr(Plain(1, "x")).replace("Plain", "Quick")
    assert replace(Quick(1), text="other") == Quick(1, "other")
    assert type(Quick(1)) is Quick and Quick(1) != Plain(1)
    for wrong in ((), (1, "x", {}, 4)):
        with pytest.raises(TypeError):
            Quick(*wrong)  # type: ignore[arg-type]
    match Quick(3, "three"):
        case Quick(number, text):
            assert (number, text) == (3, "three")


def test_each_has_facts_of_its_own() -> None:
    one, other = Quick(1), Quick(1)
    one.facts["a"] = 1
    assert other.facts == {}


def test_it_stays_as_it_was_made() -> None:
    for value in (Quick(1), Longer(1)):
        with pytest.raises(FrozenInstanceError):
            value.number = 2  # type: ignore[misc]
        with pytest.raises(FrozenInstanceError):
            del value.text
        with pytest.raises((AttributeError, TypeError)):
            value.unknown = 1  # type: ignore[attr-defined]
        assert value.number == 1


def test_one_that_builds_on_another_has_the_fields_of_both() -> None:
    longer = Longer(1, "two", {"three": 3}, b"four")
    assert (longer.number, longer.text, longer.facts, longer.more) == (1, "two", {"three": 3}, b"four")
    assert isinstance(longer, Quick) and Longer(1).more == b""
    assert copy.copy(longer) == pickle.loads(pickle.dumps(longer)) == longer
