"""May this host load what it was given? The public part of the loader: verify, then load.

    mounts = enter_private_mounts()                      # first: while there is one thread
    host = open_host(Path("/etc/lockgate"), datetime.now(UTC))
    opened = open_release(host, endpoint, connection=connect(host), mounts=mounts)
    opened.files.paths["weights/model.onnx"]             # verified, and nobody can change it

Names are imported when they are asked for, so that verifying a directory needs no HTTP.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockgate.loader.directory import sign_directory, verify_directory
    from lockgate.loader.host import open_host
    from lockgate.loader.namespace import enter_private_mounts
    from lockgate.loader.opening import connect, open_release
    from lockgate.loader.run import serve_release

_WHERE = {
    "connect": "opening",
    "enter_private_mounts": "namespace",
    "open_host": "host",
    "open_release": "opening",
    "serve_release": "run",
    "sign_directory": "directory",
    "verify_directory": "directory",
}

__all__ = [
    "connect",
    "enter_private_mounts",
    "open_host",
    "open_release",
    "serve_release",
    "sign_directory",
    "verify_directory",
]


def __getattr__(name: str) -> object:
    """Import a public name of the loader (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
