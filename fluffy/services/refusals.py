"""What doors refuse, on its way into the audit log.

A door notes each refusal of a right or a credential and goes on; batches are proposed every few seconds. The same
refusal again within a batch becomes a count, and there is a bound on different ones: a flood of wrong requests must
cost the log next to nothing. What did not fit is counted, and the count is reported.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from fluffy.base.checks import invariant
from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError, OutcomeUnknown, Unavailable
from fluffy.base.ids import NodeNo, UserNo, new_request_id
from fluffy.core.metadata.apply_grants import REFUSAL_TEXT_BYTES_MAX, REFUSALS_MAX
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_people import Refusal, ReportRefusals
from fluffy.ports import Clock, MetadataLog
from fluffy.services.condition import Condition

log = logging.getLogger("fluffy.refusals")

# An operator who watches the audit log sees a refusal within so long.
REPORT_EVERY_S = 5.0
PROPOSE_TIMEOUT_S = 10.0
# Different refusals of one interval; one batch, so a flood costs the log one command every five seconds.
PENDING_MAX = REFUSALS_MAX - 1
# Of these of one user (or of strangers): nobody must be able to push the rest out of the audit log. At this rate its
# 100,000 rows last for nine hours of trying.
PENDING_OF_USER_MAX = 16
TEXT_CHARS_MAX = REFUSAL_TEXT_BYTES_MAX // 4
invariant(TEXT_CHARS_MAX >= 256, "a path is still recognised when it is cut")


@dataclass(slots=True)
class _Seen:
    at_ms: int
    reason: str
    count: int = 1


class RefusalReporter:
    """Collects on the event loop's thread; `run` proposes until cancelled. `note` never blocks and never raises."""

    def __init__(self, log_: MetadataLog, clock: Clock, own_no: NodeNo) -> None:
        self._log = log_
        self._clock = clock
        self._own_no = own_no
        self._pending: dict[tuple[str, str, str], _Seen] = {}
        self._left_out = 0
        self._condition = Condition("refusal reports")

    @property
    def pending(self) -> int:
        return len(self._pending)

    def note(self, *, user: str, act: str, target: str, reason: str) -> None:
        """A door said no. `user`: empty when nobody is known; `target`: path, bucket or address."""
        key = (_fit(user), _fit(act), _fit(target))
        seen = self._pending.get(key)
        if seen is not None:
            seen.count += 1
        elif len(self._pending) < PENDING_MAX and self._pending_of(key[0]) < PENDING_OF_USER_MAX:
            self._pending[key] = _Seen(self._clock.now_ms(), _fit(reason))
        else:
            self._left_out += 1

    def _pending_of(self, user: str) -> int:
        return sum(1 for who, _, _ in self._pending if who == user)

    async def run(self) -> None:
        """Report what there is every few seconds, for ever."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            if self._pending:
                await self.report()

    async def report(self) -> None:
        """Propose all that is pending as one command; it stays pending when the cluster cannot answer now."""
        batch = dict(self._pending)
        left_out = self._left_out
        refusals = [Refusal(seen.at_ms, user, act, target, _counted(seen)) for (user, act, target), seen
                    in batch.items()]
        if left_out:
            refusals.append(Refusal(self._clock.now_ms(), "", "refusals", "", f"{left_out} more were left out"))
        header = Header(new_request_id(), self._clock.now_ms(), self._own_no, UserNo(0))
        counts = {key: seen.count for key, seen in batch.items()}
        try:
            await self._log.propose(ReportRefusals(header, tuple(refusals)), Deadline.after(PROPOSE_TIMEOUT_S))
        except (Unavailable, OutcomeUnknown, OSError) as error:
            self._condition.blocked(error)
            return
        except FluffyError as error:
            log.info("refusals.refused", extra={"error": error.code(), "refusals": len(refusals)})
        self._condition.fine()
        self._left_out -= left_out
        for key, count in counts.items():
            self._settle(key, count)

    def _settle(self, key: tuple[str, str, str], count: int) -> None:
        """Forget what was reported; what came in between stays for the next report."""
        seen = self._pending[key]
        if seen.count > count:
            seen.count -= count
            seen.at_ms = self._clock.now_ms()
        else:
            del self._pending[key]


def _counted(seen: _Seen) -> str:
    return seen.reason if seen.count == 1 else f"{seen.reason} ({seen.count} times)"


def _fit(text: str) -> str:
    """Short enough, and valid UTF-8 whatever came over the wire."""
    return text[:TEXT_CHARS_MAX - 32].encode(errors="replace").decode()
