"""A YAML file as a person wrote it: every value knows its line.

A wrong configuration is found at the start, by a sentence with file, line and the nearest right word, never by a
crash three hours later. So keys are asked for by name and type, and what nobody asked for is refused. Only scalars,
lists and maps are read: no YAML tag can make an object.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import yaml

from fluffy.base.errors import ConfigIllegal
from fluffy.base.units import MIB, format_size, parse_duration_ms, parse_size

# A configuration of seven nodes has 3 KiB; a megabyte is some other file.
CONFIG_BYTES_MAX = 1 * MIB
Choice = TypeVar("Choice", bound=str)
_MISSING: Any = object()


class Section:
    """One map of the file. `path` is how people say it: `cluster.repair`."""

    def __init__(self, source: Path, path: str, node: yaml.MappingNode, known: tuple[str, ...] | None) -> None:
        """`known` are the keys allowed here; None allows any (the keys are names that the user chose)."""
        self.source = source
        self.path = path
        self.line = node.start_mark.line + 1
        self._children: dict[str, tuple[str, yaml.Node]] = {}
        for key_node, value_node in node.value:
            self._add(key_node, value_node, known)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._children)

    def has(self, key: str) -> bool:
        """Whether the key is there with a value; `key: null` and an absent key are the same."""
        return key in self._children and not _is_null(self._children[key][1])

    def where(self, key: str | None = None) -> str:
        """`config.yaml line 7, cluster.replication`: how every complaint begins."""
        place = self._children[key][0] if key in self._children else f"{self.source.name} line {self.line}"
        return f"{place}, {self._said(key)}"

    def fail(self, key: str | None, problem: str) -> NoReturn:
        raise ConfigIllegal(f"{self.where(key)}: {problem}")

    def section(self, key: str, known: tuple[str, ...] | None) -> Section:
        """The map under `key`; an absent one is an empty one, so that its keys take their defaults."""
        if not self.has(key):
            return Section(self.source, self._said(key), empty_map(self.line), known)
        node = self._children[key][1]
        if not isinstance(node, yaml.MappingNode):
            self.fail(key, "here belongs a map of keys and values")
        return Section(self.source, self._said(key), node, known)

    def text(self, key: str, default: str | None = _MISSING) -> str:
        if not self.has(key):
            return str(self._default(key, default))
        value = self._scalar(key)
        if isinstance(value, bool | float) or value == "":
            self.fail(key, "here belongs a text; put it into quotes if it is one")
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; absent means empty."""
        if not self.has(key):
            return ()
        node = self._children[key][1]
        if not isinstance(node, yaml.SequenceNode) or not all(isinstance(n, yaml.ScalarNode) for n in node.value):
            self.fail(key, "here belongs a list, like [a, b]")
        return tuple(str(item.value) for item in node.value)

    def flag(self, key: str, default: bool) -> bool:
        if not self.has(key):
            return default
        value = self._scalar(key)
        if not isinstance(value, bool):
            self.fail(key, f"{value!r} is neither true nor false")
        return value

    def integer(self, key: str, default: int = _MISSING, *, at_least: int, at_most: int) -> int:
        value = self._scalar(key) if self.has(key) else self._default(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(key, f"{value!r} is not a whole number")
        if not at_least <= value <= at_most:
            self.fail(key, f"{value} is out of range: from {at_least} to {at_most}")
        return value

    def size(self, key: str, default: int, *, at_least: int, at_most: int) -> int:
        """Bytes."""
        if not self.has(key):
            return default
        try:
            value = parse_size(self._scalar(key))
        except ValueError as error:
            self.fail(key, str(error))
        if not at_least <= value <= at_most:
            self.fail(key, f"{format_size(value)} is out of range: "
                           f"from {format_size(at_least)} to {format_size(at_most)}")
        return value

    def duration_ms(self, key: str, default: int, *, at_least: str, at_most: str) -> int:
        if not self.has(key):
            return default
        try:
            value = parse_duration_ms(self._scalar(key))
        except ValueError as error:
            self.fail(key, str(error))
        if not parse_duration_ms(at_least) <= value <= parse_duration_ms(at_most):
            self.fail(key, f"{self._scalar(key)} is out of range: from {at_least} to {at_most}")
        return value

    def choice(self, key: str, choices: tuple[Choice, ...], default: Choice) -> Choice:
        if not self.has(key):
            return default
        value = self._scalar(key)
        if value not in choices:
            self.fail(key, f"{value!r} is not one of {', '.join(choices)}{nearest(str(value), choices)}")
        return choices[choices.index(value)]

    def _add(self, key_node: yaml.Node, value_node: yaml.Node, known: tuple[str, ...] | None) -> None:
        at = _place(key_node, self.source)
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigIllegal(f"{at}: a key must be a plain word")
        key = str(key_node.value)
        said = self._said(key)
        if key in self._children:
            first = self._children[key][0].removeprefix(self.source.name).strip()
            raise ConfigIllegal(f"{at}: {said} stands twice (first in {first}); remove one")
        if known is not None and key not in known:
            raise ConfigIllegal(f"{at}: unknown key {said}{nearest(key, known)}", key=key)
        self._children[key] = (at, value_node)

    def _said(self, key: str | None) -> str:
        if key is None:
            return self.path or "the file"
        return f"{self.path}.{key}" if self.path else key

    def _default(self, key: str, default: Any) -> Any:
        if default is _MISSING:
            raise ConfigIllegal(f"{self.source.name} line {self.line}: {self._said(key)} is missing")
        return default

    def _scalar(self, key: str) -> Any:
        node = self._children[key][1]
        if not isinstance(node, yaml.ScalarNode):
            self.fail(key, "here belongs a single value")
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigIllegal(f"{self.where(key)}: {node.value!r} is not understood") from error


def read_config(source: Path) -> yaml.MappingNode:
    """The tree of the file. Raises ConfigIllegal when it cannot be read or is not a YAML map."""
    try:
        with source.open("rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigIllegal(f"the configuration {source} cannot be read: {error.strerror}") from error
    if len(data) > CONFIG_BYTES_MAX:
        raise ConfigIllegal(f"{source} is larger than {format_size(CONFIG_BYTES_MAX)}. Is it the right file?")
    return _compose(source, data)


def nearest(word: str, known: tuple[str, ...]) -> str:
    """The end of a sentence that helps: the nearest known word, or all of them when none is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are: {', '.join(known)}" if known else ""


def _compose(source: Path, data: bytes) -> yaml.MappingNode:
    try:
        root = yaml.compose(data, Loader=_NoAliasLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigIllegal(f"{source.name} line {line}: this is not YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigIllegal(f"{source.name}: this is not YAML: {error}") from error
    if root is None:
        return empty_map(1)
    if not isinstance(root, yaml.MappingNode):
        raise ConfigIllegal(f"{source.name} line 1: the file must be a map of keys and values")
    return root


class _NoAliasLoader(yaml.SafeLoader):
    """YAML without `*alias`: a config needs none, and nested ones are the classic bomb."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed", mark)
        return super().compose_node(parent, index)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _place(key: yaml.Node, source: Path) -> str:
    """Where a key stands: a line of the file, or a variable of the environment (environment.py)."""
    mark = key.start_mark
    return mark.name if mark.name.startswith("FLUFFY_") else f"{source.name} line {mark.line + 1}"


def empty_map(line: int) -> yaml.MappingNode:
    mark = yaml.Mark("", 0, line - 1, 0, None, 0)
    return yaml.MappingNode("tag:yaml.org,2002:map", [], mark, mark)


Consistency = Literal["strong", "local"]
RepairMode = Literal["quiet", "balanced", "fast"]
