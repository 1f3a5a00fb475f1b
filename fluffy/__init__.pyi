from fluffy.client.api import AsyncFluffy as AsyncFluffy
from fluffy.client.sync import Fluffy as Fluffy

__version__: str
