"""What every command carries: which request it is, when, from where, and who asks."""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.frozen import quickly_made
from fluffy.base.ids import NodeNo, RequestId, UserNo


@quickly_made
@dataclass(frozen=True, slots=True)
class Header:
    """See the module docstring of `commands` for what each field means and what its sentinels are."""

    request_id: RequestId
    at_ms: int
    proposer: NodeNo
    user_no: UserNo
