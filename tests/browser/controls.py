"""Which controls the dashboards have, and which of them the tests pressed.

The sources say which there are: every call that makes a button, a link, an input, or a dialog that asks. While the
tests run, `dom.js` is served with one call more, by which the page knows of every element where it was made; what is
clicked, typed into or chosen is told back. Nothing of it is in the product.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from fluffy.gateways.dashboard import assets

# Made by calls of these; `h` is called for everything, so only what can be pressed counts.
MAKERS = ("button", "iconButton", "choice", "textInput", "passwordInput", "copyButton", "confirm", "ask", "showOnce")
# Pressed is of these only what does it: the last of their buttons.
ASKING = ("confirm", "ask", "showOnce")
CALL = re.compile(rf"(?<![\w.$])(?:({'|'.join(MAKERS)})\(|h\(\"(a|button|input|select)\")")
DEFINITION = re.compile(r"\bfunction \w+\(")
# Where elements themselves are made: the place that counts is who asked for them.
PARTS = ("dom.js",)
MADE = "const node = document.createElement(tag);"
WATCH = """(() => {
  const places = new WeakMap();
  Error.stackTraceLimit = 50;
  globalThis.madeHere = (node) => {
    if (!["A", "BUTTON", "INPUT", "SELECT"].includes(node.tagName)) return;
    const lines = new Error().stack.split("\\n").filter((line) => !line.includes("at async "));
    places.set(node, lines.map((line) => line.match(/\\/([\\w.]+\\.js:\\d+:\\d+)\\)?$/)?.[1]).filter(Boolean));
  };
  const pressed = (event) => {
    const node = event.composedPath().find((one) => places.has(one));
    if (!node) return;
    const isLast = Boolean(node.parentElement?.matches(".actions.end") && node === node.parentElement.lastElementChild);
    globalThis.tellPressed(places.get(node), isLast);
  };
  for (const kind of ["click", "input", "change"]) addEventListener(kind, pressed, true);
})();"""


@dataclass(frozen=True, slots=True)
class Control:
    """A place in the sources that makes controls."""

    place: str  # FILE:LINE:COLUMN, as in the stack of a browser
    maker: str
    text: str


@dataclass(slots=True)
class Pressed:
    """What was pressed in all pages of a run."""

    places: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)  # of dialogs: by the button that does it

    def watch(self, context: Any) -> None:
        """See what is pressed in the pages of a browser context; before its first page."""
        context.expose_binding("tellPressed", lambda source, places, is_last: self._note(places, is_last))
        context.add_init_script(WATCH)
        context.route(re.compile(r"/dashboard/\w+/dom\.js$"), _with_a_call_more)

    def _note(self, places: list[str], is_last: bool) -> None:
        self.places.update(places)
        if is_last:
            self.done.update(places)

    def left(self) -> list[Control]:
        """The controls that nobody pressed."""
        return [one for one in controls() if one.place not in (self.done if one.maker in ASKING else self.places)]


def controls() -> list[Control]:
    """All controls of both dashboards, by file and line."""
    found = []
    for name, data in sorted(assets.assets().items()):
        if name.endswith(".js") and name not in PARTS:
            found += [Control(f"{name}:{number}:{match.start() + 1}", match[1] or match[2], line[match.start():][:70])
                      for number, line in enumerate(data.decode().splitlines(), 1)
                      for match in CALL.finditer(_without_definitions(line))]
    return found


def _without_definitions(line: str) -> str:
    """A line in which no function is called that it defines; columns stay."""
    return DEFINITION.sub(lambda match: " " * len(match[0]), line)


def _with_a_call_more(route: Any) -> None:
    answer = route.fetch()
    text = answer.text()
    assert MADE in text, "dom.js makes its elements in another way now"
    route.fulfill(response=answer, body=text.replace(MADE, f"{MADE} globalThis.madeHere(node);", 1))
