"""The Python under which server.py, supernode.py and client.py run: the one that started them if it can, else .venv's.

`python server.py one` shall work after `make run`, whichever `python` that is. Imported before anything else of ours,
by Pythons that may be old and have no package installed: so it uses nothing that they do not know.
"""

import importlib.util
import os
import sys

PYTHON_MIN = (3, 11)
# What our dependencies are called where they are imported; a test compares them with pyproject.toml.
PACKAGES = ("aiohttp", "awscrt", "blake3", "cachetools", "click", "cryptography", "httptools", "msgpack",
            "prometheus_client", "prompt_toolkit", "pysyncobj", "rich", "uvloop", "xxhash", "yaml")
ENVIRONMENT = ".venv"
EXIT_REFUSED = 78


def find_python(script: str) -> None:
    """Return when this Python can run Fluffy; else go on as the one of `.venv` beside `script`, or say what to do."""
    problem = what_is_wrong()
    if not problem:
        return
    folder = os.path.dirname(os.path.abspath(script))
    environment = os.path.join(folder, ENVIRONMENT)
    own = os.path.join(environment, "bin", "python")
    if os.access(own, os.X_OK) and os.path.realpath(sys.prefix) != os.path.realpath(environment):
        os.execv(own, [own, *sys.argv])
    sys.stderr.write(f"{os.path.basename(script)}: {problem}; 'make run' in {folder} makes an environment with all "
                     f"that is needed, and this works then, too; or: pip install {folder}\n")
    sys.exit(EXIT_REFUSED)


def what_is_wrong() -> str:
    """Why this Python cannot run Fluffy; empty: it can."""
    if sys.version_info < PYTHON_MIN:
        return f"this is Python {sys.version_info[0]}.{sys.version_info[1]}, and Fluffy needs 3.11 or newer"
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return f"this Python ({sys.executable}) lacks the packages {', '.join(missing)}"
    return ""
