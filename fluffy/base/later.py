"""Modules that are loaded when something of them is first used.

A command line is used for a moment: `fluffy ls` must not load what restores a cluster, nor `fluffy --help` an HTTP
client. On which floor such a module is counts as with every import: its name is written out for the house rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def later(module: str, name: str) -> Callable[..., Any]:
    """A function or class of a module, to be called."""
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(module), name)(*args, **kwargs)
    return call


def found_later(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package: name -> the module it is in. Its `__init__.pyi` tells type checkers the same."""
    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)
    return find
