"""Which function applies which command of the tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluffy.core.metadata.outcomes import Outcome
from fluffy.core.metadata.working import Working

HANDLERS: Mapping[int, Callable[[Working, Any], Outcome]] = {}
