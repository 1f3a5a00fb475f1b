"""Uploads in parts, call by call: a session is opened, takes parts in any order, and becomes one file, or nothing.

Each call persists like any other: another peer, the same request id. A part that is sent again replaces itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fluffy.base.paths import parse_file_path
from fluffy.client.results import Stored, number_in, stored_of, text_in
from fluffy.client.sources import MemorySource, Source
from fluffy.client.transport import Call, Transport
from fluffy.client.upload import Progress, UploadOptions, new_request_id, quoted, send

# Completing a session of 10,000 parts is one entry of the log, but a large one.
COMPLETE_S = 30.0


class UploadSession:
    """One session at the cluster. `id` is all that another client needs to go on with it."""

    def __init__(self, transport: Transport, id: str, *, lock: str | None = None, part_size: int = 0) -> None:
        self.id = id
        self.part_size = part_size  # what the cluster wants parts to have; 0: not known here
        self._transport = transport
        self._guards = {} if lock is None else {"Fluffy-Lock": lock}
        self._url = f"/v1/uploads/{quote(id, safe='')}"

    @classmethod
    async def begin(cls, transport: Transport, path: str, options: UploadOptions, *, size: int | None = None,
                    part_size: int | None = None) -> UploadSession:
        """Open a session for the file at `path`. Raises what a put would that may not be made."""
        said = {"path": str(parse_file_path(path)), "size": size, "part_size": part_size,
                "content_type": options.content_type, "meta": options.meta and dict(options.meta),
                "headers": options.headers and dict(options.headers),
                "tags": options.tags and dict(options.tags),
                "if_match": None if options.if_match is None else quoted(options.if_match),
                "create_only": options.create_only or None}
        call = Call("POST", "/v1/uploads", headers={} if options.lock is None else {"Fluffy-Lock": options.lock},
                    document={key: value for key, value in said.items() if value is not None},
                    request_id=options.request_id or new_request_id())
        answer = await transport.ask(call)
        return cls(transport, text_in(answer.document, "id"), lock=options.lock,
                   part_size=number_in(answer.document, "part_size"))

    async def put_part(self, number: int, data: bytes | Source, progress: Progress | None = None) -> Mapping[str, Any]:
        """Store part `number` (from 1 on), durably."""
        source = await MemorySource.of(data) if isinstance(data, bytes) else data
        headers = dict(self._guards)
        if source.size is not None:
            headers["Content-Length"] = str(source.size)
        if source.promised is not None:
            headers["Fluffy-Blake3"] = source.promised.hex()
        call = Call("PUT", f"{self._url}/parts/{number}", headers=headers, request_id=new_request_id())
        return await send(self._transport, call, source, progress, whole=True)

    async def look(self) -> Mapping[str, Any]:
        """What the cluster has of it, or the file that it became. Raises UploadNotFound."""
        return (await self._transport.ask(Call("GET", self._url))).document

    async def complete(self, parts: Sequence[int | Mapping[str, object]] | None = None, *, size: int | None = None,
                       blake3: bytes | None = None) -> Stored:
        """Make the parts one file, at once. Repeating it gives the same answer.

        `parts`: numbers, or `{"n": …, "blake3": …}` where it matters which bytes a part has; None: all of them.
        """
        said = {"parts": None if parts is None else [*parts], "size": size, "blake3": blake3 and blake3.hex()}
        call = Call("POST", f"{self._url}/complete", headers=self._guards, request_id=new_request_id(),
                    document={key: value for key, value in said.items() if value is not None})
        return stored_of((await self._transport.ask(call, answer_s=COMPLETE_S)).document)

    async def abort(self) -> None:
        """Give the parts up."""
        await self._transport.ask(Call("DELETE", self._url, headers=self._guards, request_id=new_request_id()))
