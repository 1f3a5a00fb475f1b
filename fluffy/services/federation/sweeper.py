"""Removing the rows of catalogs that were begun anew, in the background."""

from __future__ import annotations

import asyncio
import logging

from fluffy.base.errors import CatalogFailed
from fluffy.ports_federation import Catalog

log = logging.getLogger("fluffy.supernode")

SWEEP_EVERY_S = 5.0
# Some 50 ms of work; followers wait that long for their turn.
SWEEP_ROWS = 1_000
REST_S = 0.1


async def sweep(catalog: Catalog) -> None:
    """For ever."""
    while True:
        try:
            removed = await catalog.sweep(SWEEP_ROWS)
        except CatalogFailed as error:
            log.warning("catalog.failed", extra={"reason": error.message})
            removed = 0
        await asyncio.sleep(REST_S if removed else SWEEP_EVERY_S)
