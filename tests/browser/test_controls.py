"""No control of a dashboard that no test presses. Runs last; of a part of the tests it can say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.controls import Pressed, controls

# Place in the sources by its words: why no test presses it.
EXCUSED: dict[str, str] = {}


def test_every_control_was_pressed(request: pytest.FixtureRequest, pressed: Pressed) -> None:
    files = {item.path.name for item in request.session.items}
    if request.config.option.keyword or files < {path.name for path in Path(__file__).parent.glob("test_*.py")}:
        pytest.skip("only a part of the tests ran")
    left = [one for one in pressed.left() if not any(one.text.startswith(words) for words in EXCUSED)]
    print(f"{len(controls())} controls, {len(left)} of them not pressed")
    assert not left, "nobody pressed:\n" + "\n".join(f"{one.place}: {one.text}" for one in left)
