"""The house rules that a program can check: which room may import which, and what is banned where.

A rule takes a parsed file and yields (line, problem). `tests/test_architecture.py` runs all rules over the tree, and
each rule over a planted snippet to see that it fires.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
ENTRY_LINES_MAX = 30
ENTRY_FILES = ("server.py", "supernode.py", "client.py")

FLOORS = {"base": 0, "core": 1, "wire": 2, "ports": 3, "ports_federation": 3, "services": 4, "drivers": 5, "sim": 5,
          "gateways": 6, "client": 6, "apps": 7}
# The simulation drives the real drivers; that is the only step sideways.
SAME_FLOOR_ALLOWED = {("sim", "drivers")}
CORE_ORDER = {"metadata": 0, "repair": 1, "data": 2, "placement": 3, "health": 4}
CORE_BESIDE = ("access", "search", "federation")  # they know the metadata's values; nobody in core knows them

# Time, chance and the world reach core as arguments.
CORE_IMPORTS_BANNED = {
    "asyncio", "time", "datetime", "random", "secrets", "uuid", "threading", "multiprocessing", "concurrent", "socket",
    "os", "pathlib", "io", "logging", "subprocess", "signal", "aiohttp", "uvloop", "pysyncobj", "yaml", "click"}
# A handler that does nothing is control flow for these, and a swallowed failure for all others.
QUIET_EXCEPTIONS = {"BlockingIOError", "InterruptedError", "FileNotFoundError", "FileExistsError", "ProcessLookupError",
                    "StopIteration", "StopAsyncIteration"}
BROAD_EXCEPTIONS = {"Exception", "BaseException"}
PRINT_ALLOWED = ("fluffy/client/shell/", "fluffy/apps/", "fluffy/sim/run.py", "fluffy/sim/jobs_run.py", "benchmarks/",
                 "tests/")
# (rule, file): why this one is right.
EXEMPT = {
    ("no_pickle", "fluffy/base/frozen.py"): "runs names of our own fields, as dataclasses do, when a class is made",
    ("broad_exceptions", "fluffy/apps/process.py"): "the top of a process: logs and exits 70",
    ("broad_exceptions", "fluffy/gateways/native/desk.py"): "the top of a request: logs and answers 500",
    ("broad_exceptions", "fluffy/gateways/s3/door.py"): "the top of a request: logs and answers 500",
    ("broad_exceptions", "fluffy/gateways/supernode/desk.py"): "the top of a request: logs and answers 500",
    ("broad_exceptions", "fluffy/gateways/http/server.py"): "the top of a connection: logs and cuts it",
    ("broad_exceptions", "fluffy/sim/cluster.py"): "the top of a simulated run: any exception is a violation it found",
}

# What loads modules by their names: fluffy.base.later, importlib, and the rows of the table of commands.
LOADERS = {"later", "found_later", "import_module", "Row"}

Problem = tuple[int, str]


@dataclass(frozen=True)
class Source:
    path: str  # relative to the repository, with /
    text: str
    tree: ast.Module

    @property
    def in_product(self) -> bool:
        return self.path.startswith("fluffy/")

    @property
    def room(self) -> tuple[str, ...]:
        """`fluffy/core/data/x.py` -> (core, data, x)."""
        return PurePosixPath(self.path).with_suffix("").parts[1:] if self.in_product else ()


def parse(path: str, text: str) -> Source:
    return Source(path, text, ast.parse(text, path))


Rule = Callable[[Source], Iterator[Problem]]


def floors(source: Source) -> Iterator[Problem]:
    """A room imports only rooms below it."""
    if not source.room or source.room[0] not in FLOORS:
        return
    here = source.room[0]
    for line, module in _imports(source.tree):
        parts = module.split(".")
        if parts[0] == "fluffy" and len(parts) > 1:
            there = parts[1]
            if there in (here, "__version__") or (here, there) in SAME_FLOOR_ALLOWED:
                continue
            if there not in FLOORS:
                yield line, f"{module} is in no room of the house"
            elif FLOORS[there] >= FLOORS[here]:
                yield line, f"{here} (floor {FLOORS[here]}) imports {module} (floor {FLOORS[there]})"


def core_order(source: Source) -> Iterator[Problem]:
    """Inside core: health -> placement -> data -> repair -> metadata; access and federation beside."""
    if source.room[:1] != ("core",) or len(source.room) < 3:
        return
    here = source.room[1]
    for line, module in _imports(source.tree):
        parts = module.split(".")
        if parts[:2] != ["fluffy", "core"] or len(parts) < 3 or parts[2] == here:
            continue
        there = parts[2]
        beside = ("metadata", "search") if here == "federation" else ("metadata",)  # a catalog asks as an index does
        allowed = there in beside if here in CORE_BESIDE else CORE_ORDER.get(there, 99) < CORE_ORDER.get(here, -1)
        if not allowed:
            yield line, f"core/{here} imports core/{there}"


def core_is_pure(source: Source) -> Iterator[Problem]:
    """Core touches no clock, chance, disk, network, thread or log."""
    if source.room[:1] == ("core",):
        for line, module in _imports(source.tree):
            if module.split(".")[0] in CORE_IMPORTS_BANNED:
                yield line, f"core imports {module}"


def metadata_has_no_floats(source: Source) -> Iterator[Problem]:
    """No floats in core/metadata: they round differently where nobody looks."""
    if source.room[:2] != ("core", "metadata"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield node.lineno, f"a float: {node.value}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield node.lineno, "true division makes a float; use //"
        elif isinstance(node, ast.Name) and node.id == "float":
            yield node.lineno, "float"


def tasks_have_parents(source: Source) -> Iterator[Problem]:
    """Tasks are made by a TaskGroup (a receiver whose name says group)."""
    if not source.in_product:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            name, receiver = _called(node)
            if name == "ensure_future" or (name == "create_task" and "group" not in receiver.lower()):
                yield node.lineno, f"{receiver}.{name}" if receiver else name
        elif isinstance(node, ast.ImportFrom) and node.module == "asyncio":
            for alias in node.names:
                if alias.name in ("create_task", "ensure_future"):
                    yield node.lineno, f"from asyncio import {alias.name}"


def broad_exceptions(source: Source) -> Iterator[Problem]:
    """Whoever catches everything passes it on; whoever catches and does nothing catches something narrow."""
    if not source.in_product:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = _names(node.type)
            silent = all(isinstance(step, ast.Pass) or _is_ellipsis(step) for step in node.body)
            if node.type is None:
                yield node.lineno, "bare except"
            elif BROAD_EXCEPTIONS & caught and not any(isinstance(step, ast.Raise) for step in ast.walk(node)):
                yield node.lineno, f"except {', '.join(sorted(caught))} without raise"
            elif silent and not caught <= QUIET_EXCEPTIONS:
                yield node.lineno, f"except {', '.join(sorted(caught))}: pass"
        elif isinstance(node, ast.Call) and _called(node)[0] == "suppress":
            caught = set().union(*(_names(argument) for argument in node.args))
            if not caught <= QUIET_EXCEPTIONS:
                yield node.lineno, f"suppress({', '.join(sorted(caught))})"


def no_type_checking(source: Source) -> Iterator[Problem]:
    """A type that needs TYPE_CHECKING lives on the wrong floor."""
    for node in ast.walk(source.tree):
        if (isinstance(node, ast.Name) and node.id == "TYPE_CHECKING") or (
                isinstance(node, ast.Attribute) and node.attr == "TYPE_CHECKING"):
            yield node.lineno, "TYPE_CHECKING"


def imports_at_the_top(source: Source) -> Iterator[Problem]:
    """No import inside a function."""
    if not source.in_product:
        return
    for function in _functions(source.tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield node.lineno, f"import inside {function.name}"


def no_sleeping_loop(source: Source) -> Iterator[Problem]:
    """time.sleep in async code stops every request of the process."""
    for function in _functions(source.tree):
        if isinstance(function, ast.AsyncFunctionDef):
            for node in _own_nodes(function):
                if isinstance(node, ast.Call) and _called(node) == ("sleep", "time"):
                    yield node.lineno, f"time.sleep in async {function.name}"


def sizes(source: Source) -> Iterator[Problem]:
    lines = source.text.count("\n") + 1
    if lines > FILE_LINES_MAX + 1:
        yield 1, f"{lines - 1} lines; at most {FILE_LINES_MAX}"
    for function in _functions(source.tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield function.lineno, f"{function.name} has {length} lines; at most {FUNCTION_LINES_MAX}"


def entry_files_are_short(source: Source) -> Iterator[Problem]:
    if source.path in ENTRY_FILES and len(source.text.splitlines()) >= ENTRY_LINES_MAX:
        yield 1, f"an entry file has fewer than {ENTRY_LINES_MAX} lines"


def no_print(source: Source) -> Iterator[Problem]:
    """Only programs that a person started print."""
    if not source.path.startswith(PRINT_ALLOWED):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and _called(node) == ("print", ""):
                yield node.lineno, "print"


def no_pickle(source: Source) -> Iterator[Problem]:
    """Bytes that can run code: nowhere but where the library's use of it is taken away."""
    if source.in_product and source.path != "fluffy/drivers/raft/library.py":
        for line, module in _imports(source.tree):
            if module.split(".")[0] in ("pickle", "cPickle", "marshal", "shelve", "dill"):
                yield line, module
    for node in ast.walk(source.tree):
        if source.in_product and isinstance(node, ast.Call) and _called(node) in (("eval", ""), ("exec", "")):
            yield node.lineno, _called(node)[0]


def environment_only_in_apps(source: Source) -> Iterator[Problem]:
    """What an operator may choose is read in apps (the shell may ask for the user's editor and terminal)."""
    if source.in_product and source.room[0] != "apps" and source.room[:2] != ("client", "shell"):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
                yield node.lineno, f"os.{node.attr}"


RULES: tuple[Rule, ...] = (
    floors, core_order, core_is_pure, metadata_has_no_floats, tasks_have_parents, broad_exceptions, no_type_checking,
    imports_at_the_top, no_sleeping_loop, sizes, entry_files_are_short, no_print, no_pickle, environment_only_in_apps)


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import; `from a import b` counts as a.b, for b may be a module.

    What is loaded later counts, too: every word of a call of one of LOADERS, for one of them names the module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "fluffy.relative"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call) and _called(node)[0] in LOADERS:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _own_nodes(function: ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """The nodes that run when the function does: not those of functions defined in it, which may run in a thread."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _called(node: ast.Call) -> tuple[str, str]:
    """(`create_task`, `asyncio`) of `asyncio.create_task(…)`; the receiver's last name, or "" when there is none."""
    match node.func:
        case ast.Name(id=name):
            return name, ""
        case ast.Attribute(attr=name, value=ast.Name(id=receiver) | ast.Attribute(attr=receiver)):
            return name, receiver
        case ast.Attribute(attr=name):
            return name, "(expression)"
    return "", ""


def _names(node: ast.expr | None) -> set[str]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return {name}
        case ast.Tuple(elts=items):
            return set().union(*(_names(item) for item in items))
    return {"?"}


def _is_ellipsis(step: ast.stmt) -> bool:
    return isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant) and step.value.value is ...
