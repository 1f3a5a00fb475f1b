"""Floor 4: long-lived asyncio work. It sees the world only through `fluffy.ports`."""
