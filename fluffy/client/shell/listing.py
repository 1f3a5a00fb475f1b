"""Entries on the screen: one a line, in columns on a terminal, or with size, time and owner; as JSON; into a pipe."""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime

from fluffy.base.later import later
from fluffy.base.units import format_size
from fluffy.client.results import Entry, FileInfo
from fluffy.client.shell.output import Output, safe
from fluffy.client.shell.session import Session

# Names are put into columns in sheets of so many: the first ones stand there before the last ones are asked for.
SHEET_NAMES = 1000
GAP = 2

get_cwidth = later("prompt_toolkit.utils", "get_cwidth")


def show_entries(session: Session, entries: Iterable[Entry], *, key: str = "entries", paths: bool = False,
                 long: bool = False) -> None:
    """A listing as it comes, page by page. `paths`: whole paths instead of names."""
    output = session.output
    if output.paths_wanted:
        for entry in entries:
            output.line(entry.path)
    elif output.json:
        output.stream(key, (entry.document for entry in entries))
    elif long:
        for entry in entries:
            output.line(f"{long_columns(entry)}  {_shown(output, entry, paths)[1]}")
    elif paths or not output.is_terminal:
        for entry in entries:
            output.line(_shown(output, entry, paths)[1])
    else:
        _show_columns(output, (_shown(output, entry, paths) for entry in entries))


def entry_of_info(info: FileInfo) -> Entry:
    """A file that was named itself, as a line of a listing."""
    return Entry(posixpath.basename(info.path), info.path, info.is_folder, info.size, info.generation, info.etag,
                 info.content_type, info.owner, info.modified, info.document)


def long_columns(entry: Entry) -> str:
    """Size, time and owner, in front of a name."""
    size = "-" if entry.is_folder else format_size(entry.size)
    return f"{size:>10}  {local_time(entry.modified):<16}  {safe(entry.owner):<10}"


def local_time(moment: datetime | None) -> str:
    """In this machine's zone, to the minute; empty for None."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else ""


def _shown(output: Output, entry: Entry, paths: bool) -> tuple[int, str]:
    """(width on the screen, text with colour)"""
    name = safe(entry.path if paths else entry.name)
    if not entry.is_folder:
        return _width(name), name
    return _width(name) + 1, output.style(name + "/", "blue", bold=True)


def _width(name: str) -> int:
    """How many cells of the screen it takes."""
    return len(name) if name.isascii() else int(get_cwidth(name))


def _show_columns(output: Output, names: Iterator[tuple[int, str]]) -> None:
    sheet: list[tuple[int, str]] = []
    for name in names:
        sheet.append(name)
        if len(sheet) == SHEET_NAMES:
            _show_sheet(output, sheet)
            sheet = []
    _show_sheet(output, sheet)


def _show_sheet(output: Output, sheet: list[tuple[int, str]]) -> None:
    """Downwards, then to the right, in as many columns as the terminal is wide now."""
    if not sheet:
        return
    columns = max(1, (shutil.get_terminal_size().columns + GAP) // (max(width for width, _ in sheet) + GAP))
    rows = -(-len(sheet) // columns)
    blocks = [sheet[start:start + rows] for start in range(0, len(sheet), rows)]
    widths = [max(width for width, _ in block) + GAP for block in blocks]
    for row in range(rows):
        cells = [(block[row], column_width) for block, column_width in zip(blocks, widths, strict=True)
                 if row < len(block)]
        output.line("".join(text + " " * (column_width - width) for (width, text), column_width in cells).rstrip())
