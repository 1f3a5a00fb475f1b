"""The verb `open`: remote files as file objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import overload

from fluffy.base.errors import AlreadyExists, FileNotFound
from fluffy.base.paths import parse_file_path
from fluffy.client.download import Which, remote_head
from fluffy.client.opened import (
    AsyncReader,
    AsyncTextReader,
    AsyncTextWriter,
    AsyncWriter,
    Opened,
    Opening,
    ReadBytes,
    ReadText,
    WriteBytes,
    WriteText,
)
from fluffy.client.reading import RemoteReader
from fluffy.client.upload import UploadOptions
from fluffy.client.verbs.asking import Asking, LockToken, Moment, moment_text, token_text
from fluffy.client.writing import AppendWriter, PartWriter, Writer


class OpeningVerbs(Asking):
    """Files as objects."""

    @overload
    def open(self, path: str, mode: ReadBytes = "rb", *, generation: int | None = None,
             at: Moment | None = None) -> Opening[AsyncReader]: ...

    @overload
    def open(self, path: str, mode: ReadText, *, encoding: str = "utf-8", errors: str = "strict",
             newline: str | None = None, generation: int | None = None,
             at: Moment | None = None) -> Opening[AsyncTextReader]: ...

    @overload
    def open(self, path: str, mode: WriteBytes, *, content_type: str | None = None,
             meta: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None,
             headers: Mapping[str, str] | None = None, if_match: str | None = None, lock: LockToken | None = None,
             autocommit: bool = True) -> Opening[AsyncWriter]: ...

    @overload
    def open(self, path: str, mode: WriteText, *, encoding: str = "utf-8", errors: str = "strict",
             newline: str | None = None, content_type: str | None = None, meta: Mapping[str, str] | None = None,
             tags: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
             if_match: str | None = None, lock: LockToken | None = None,
             autocommit: bool = True) -> Opening[AsyncTextWriter]: ...

    def open(self, path: str, mode: str = "rb", *, encoding: str = "utf-8", errors: str = "strict",
             newline: str | None = None, generation: int | None = None, at: Moment | None = None,
             content_type: str | None = None, meta: Mapping[str, str] | None = None,
             tags: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
             if_match: str | None = None, lock: LockToken | None = None, autocommit: bool = True,
             ) -> Opening[AsyncReader] | Opening[AsyncTextReader] | Opening[AsyncWriter] | Opening[AsyncTextWriter]:
        """The file as an object: `async with fluffy.open(path, "rb") as file`, or `file = await fluffy.open(…)`.

        Modes as of Python's `open`: `rb` (the default), `wb`, `ab`, `xb` (create only), and without `b` for text. What
        is read is one generation (the present one, `generation`, or the one `at` a time), whatever happens meanwhile.
        What is written appears when the file is closed (without `autocommit`: by its `commit`); a block that raises
        leaves everything as it was. `headers`: kept with the file, as Cache-Control and its like.
        """
        opened, where = Opened.of(mode), str(parse_file_path(path))
        if opened.act == "r":
            moment = moment_text(at)

            async def reader() -> AsyncReader:
                head = await remote_head(self._transport, where, Which(generation, moment))
                return AsyncReader(RemoteReader(self._transport, where, head, at=moment))

            async def text_reader() -> AsyncTextReader:
                return AsyncTextReader(await reader(), encoding, errors, newline)
            return Opening(text_reader) if opened.is_text else Opening(reader)
        options = UploadOptions(content_type, meta, tags, if_match, opened.act == "x",
                                lock=None if lock is None else token_text(lock), headers=headers)

        async def writer() -> AsyncWriter:
            if options.create_only:
                await self._refuse_existing(where)
            kept: Writer = (AppendWriter if opened.act == "a" else PartWriter)(self._transport, where, options)
            return AsyncWriter(where, kept, autocommit=autocommit)

        async def text_writer() -> AsyncTextWriter:
            return AsyncTextWriter(await writer(), encoding, errors, newline)
        return Opening(text_writer) if opened.is_text else Opening(writer)

    async def _refuse_existing(self, path: str) -> None:
        """Said at once, for politeness; what counts is how it is when the file is closed."""
        try:
            await remote_head(self._transport, path)
        except FileNotFound:
            return
        raise AlreadyExists(f"there is a file at {path} already", path=path)
