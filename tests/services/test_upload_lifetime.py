from __future__ import annotations

from pathlib import Path

import pytest

from fluffy.services import uploads
from tests.support.native_door import running_door


async def test_an_upload_that_outlives_its_chunks_grace_is_not_committed(tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first chunks could have been swept as orphans: the client must send the bytes again.

    Also when the machine slept meanwhile, which its monotonic clock does not tell.
    """
    async with running_door(tmp_path) as door:
        body, headers = b"x" * 200_000, {"Authorization": f"Bearer {door.cluster.admin_token}"}
        times = iter((100.0, 100.0 + 7 * 3600))
        monkeypatch.setattr(uploads, "boottime_s", lambda: next(times))
        async with door.client.put(f"{door.url}/v1/files/admin/slow", data=body, headers=headers) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (409, "UploadExpired")
        monkeypatch.undo()
        async with door.client.put(f"{door.url}/v1/files/admin/slow", data=body, headers=headers) as answer:
            assert answer.status == 201
