"""Taking one cause out of a TaskGroup's failure.

A TaskGroup raises everything that went wrong at once; a caller who answers a person needs the one that started it. Our
bugs come first, because nobody may handle them; then the failures that we know; then anything else.
"""

from __future__ import annotations

from fluffy.base.errors import FluffyError


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure to raise instead of the group."""
    leaves = list(_leaves(group))
    for leaf in leaves:
        if not isinstance(leaf, Exception):
            return leaf
    for leaf in leaves:
        if isinstance(leaf, FluffyError):
            return leaf
    return leaves[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves
