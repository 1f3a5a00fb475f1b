from fluffy.client.api import AsyncFluffy as AsyncFluffy
from fluffy.client.sync import Fluffy as Fluffy
from fluffy.client.sync_lock import SyncLock as SyncLock
