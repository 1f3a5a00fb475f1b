"""XML of S3: a reader that cannot be made to work for its input, and a fast writer.

The reader is expat with everything refused that documents of S3 never have: a DOCTYPE and so every entity, processing
instructions, depth, more elements than the largest list needs. The encoding is UTF-8 whatever the document says (or
UTF-16, where it begins with the mark of that).
Namespaces are read and not looked at, as S3 does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

from fluffy.base.units import KIB, MIB
from fluffy.wire.s3_errors import MalformedXml

# A CompleteMultipartUpload of 10,000 parts with every checksum has about 3 MiB and 80,000 elements.
XML_BYTES_MAX = 4 * MIB
XML_ELEMENTS_MAX = 100_000
# LifecycleConfiguration/Rule/Filter/And/Tag/Key is 6.
XML_DEPTH_MAX = 12
XML_ATTRIBUTES_MAX = 16
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SPECIAL = re.compile(r"[&<>\"\r\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}

# What an element holds: text, a number, a truth, or further elements. None: the element is left out.
Node = tuple[str, "str | int | bool | Sequence[Node] | None"]


@dataclass(slots=True)
class Element:
    """An element that was read; names without namespaces. `text`: all text directly in it, joined."""

    name: str
    attributes: dict[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        return (child for child in self.children if child.name == name)

    def one(self, name: str) -> Element | None:
        """The child of that name; None: there is none. Raises MalformedXml when there are several."""
        found = list(self.all(name))
        if len(found) > 1:
            raise MalformedXml
        return found[0] if found else None

    def leaf(self, name: str) -> str | None:
        """The text of a child that has no children; None: there is none. Raises MalformedXml."""
        child = self.one(name)
        if child is None:
            return None
        if child.children:
            raise MalformedXml
        return child.text

    def needed(self, name: str) -> str:
        """Raises MalformedXml."""
        text = self.leaf(name)
        if text is None:
            raise MalformedXml
        return text

    def allow(self, *names: str) -> None:
        """Raise MalformedXml for a child of another name."""
        if any(child.name not in names for child in self.children):
            raise MalformedXml


def parse_xml(data: bytes, root: str = "", *, bytes_max: int = XML_BYTES_MAX) -> Element:
    """The root element, which must have the name `root`, if that is said. Raises MalformedXml."""
    if not data or len(data) > bytes_max:
        raise MalformedXml
    found = _Reader().read(data)
    if root and found.name != root:
        raise MalformedXml
    return found


class _Reader:
    def __init__(self) -> None:
        # The encoding that is said here wins over the document's own.
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.buffer_size = 64 * KIB
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        parser.UnparsedEntityDeclHandler = _refuse
        parser.ExternalEntityRefHandler = _refuse
        parser.ProcessingInstructionHandler = _refuse
        self._parser = parser
        self._open: list[Element] = []
        # The pieces of text of each open element: they may be many.
        self._texts: list[list[str]] = []
        self._root: Element | None = None
        self._elements = 0

    def read(self, data: bytes) -> Element:
        try:
            self._parser.Parse(data, True)
        except (expat.ExpatError, UnicodeDecodeError, ValueError) as error:
            raise MalformedXml from error
        if self._root is None:
            raise MalformedXml
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if (len(self._open) >= XML_DEPTH_MAX or self._elements > XML_ELEMENTS_MAX
                or len(attributes) > XML_ATTRIBUTES_MAX):
            raise MalformedXml
        element = Element(name.rpartition(" ")[2],
                          {key.rpartition(" ")[2]: value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)
        self._texts.append([])

    def _end(self, _name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def _text(self, text: str) -> None:
        if self._open:
            self._texts[-1].append(text)


def _refuse(*_: object) -> int:
    raise MalformedXml


def escape(text: str) -> str:
    """Text as it stands between tags. Control characters become references, as S3 writes them."""
    return text if _SPECIAL.search(text) is None else _SPECIAL.sub(_entity, text)


def _entity(match: re.Match[str]) -> str:
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    return _ENTITIES.get(character) or f"&#x{ord(character):x};"


def render(name: str, children: Sequence[Node], *, namespace: str = NAMESPACE) -> bytes:
    """A whole document. `namespace`: empty for errors, which have none."""
    parts = [DECLARATION, f'<{name} xmlns="{namespace}">' if namespace else f"<{name}>"]
    _write(parts, children)
    parts.append(f"</{name}>")
    return "".join(parts).encode()


def render_part(children: Sequence[Node]) -> str:
    """Elements without the document around them, for answers that are put together piece by piece."""
    parts: list[str] = []
    _write(parts, children)
    return "".join(parts)


def _write(parts: list[str], children: Sequence[Node]) -> None:
    for name, value in children:
        if isinstance(value, str):
            parts.append(f"<{name}>{escape(value)}</{name.partition(' ')[0]}>" if value else _empty(name))
        elif isinstance(value, bool):
            parts.append(f"<{name}>{'true' if value else 'false'}</{name}>")
        elif isinstance(value, int):
            parts.append(f"<{name}>{value}</{name}>")
        elif value is not None:
            parts.append(f"<{name}>")
            _write(parts, value)
            parts.append(f"</{name.partition(' ')[0]}>")


def _empty(name: str) -> str:
    return f"<{name}/>"
