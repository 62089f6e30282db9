"""Which files and ports may a job touch, even if a mount were wrong?

Read and execute what is shown to it, write where it may write, execute nothing that it wrote. By version of Landlock:
files (3: renaming and truncating), TCP (4), devices (5), abstract sockets and signals (6). It fails closed: less than
what is needed is nothing.
"""

import os
from collections.abc import Iterable

from lockgate.drivers.bubblewrap import kernel

_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
_MAKE_DEVICES = 1 << 6 | 1 << 11
_DEVICE_CALLS = 1 << 15
_FILES = {3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_BIND, _CONNECT = 1, 2
_SCOPES = 3
_FOR_FILES, _FOR_PORTS, _NEWEST = 3, 4, 6


def missing(*, ports: bool) -> str | None:
    """Say what this kernel lacks."""
    needed, found = _FOR_PORTS if ports else _FOR_FILES, kernel.landlock_version()
    if found >= needed:
        return None
    return f"Landlock {found or 'is not in this kernel, or not in its lsm='}, and version {needed} is needed"


def restrict(writable: Iterable[str], *, bind: Iterable[int], connect: Iterable[int]) -> None:
    """Put this program under the rules: everything that is there to read, `writable` to write, these ports."""
    version = min(kernel.landlock_version(), _NEWEST)
    files = _FILES[min(version, max(_FILES))]
    network = _BIND | _CONNECT if version >= _FOR_PORTS else 0
    ruleset = kernel.landlock_ruleset(files, network, _SCOPES if version >= _NEWEST else 0)
    own = {path.split("/")[1] for path in writable}
    for name in set(os.listdir("/")) - own - {"proc", "dev"}:
        _allow(ruleset, f"/{name}", _READ | _LIST | _EXECUTE)
    _allow(ruleset, "/", _LIST)
    _allow(ruleset, "/proc", _READ | _LIST)
    _allow(ruleset, "/dev", _READ | _LIST | _WRITE)
    for path in writable:
        _allow(ruleset, path, files & ~(_EXECUTE | _MAKE_DEVICES | _DEVICE_CALLS))
    if network:
        for access, ports in ((_BIND, bind), (_CONNECT, connect)):
            for port in ports:
                kernel.landlock_allow_port(ruleset, port, access)
    kernel.landlock_restrict(ruleset)
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    kernel.landlock_allow_below(ruleset, folder, access if os.path.isdir(path) else access & ~_LIST)
    os.close(folder)
