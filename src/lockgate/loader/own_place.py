"""Which walls does a run build around its model server? What host.toml says of it, and what that one must see.

host.toml    scratch = "only"                        or "own", or "host": see `core.scratch`
             scratch_bytes = 1073741824              how much it may write there; default: a quarter of memory
             writable = ["/var/cache/x/{release}"]   what else it may write, a folder for each release
             devices = ["/dev/nvidia*"]              which devices it sees with "only", besides what all need
"""

import os
import sys
import tomllib
from pathlib import Path

from lockgate.core.scratch import OWN_HOME, RELEASE, Scratch, parse_scratch
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.loader.hand_over import Handed
from lockgate.loader.host import BINDINGS
from lockgate.loader.walls import Walls

_SHARE_OF_MEMORY = 4


def read_scratch(home: Path) -> Scratch:
    """Read what the host lets model servers write."""
    path = home / "host.toml"
    try:
        scratch = parse_scratch(tomllib.loads(path.read_text()))
    except OSError as e:
        raise UnavailableError(f"this is no serving host yet: {e.filename}: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise VerificationError(f"{path} is not TOML: {e}") from e
    real = os.path.realpath(home)
    for folder in scratch.writable:
        if Path(os.path.realpath(folder.removesuffix(f"/{RELEASE}"))).is_relative_to(real):
            raise VerificationError(f"writable: {folder} lies in the home of this host, which no model server sees")
    return scratch


def walls_of(home: Path, scratch: Scratch, release: Digest, files: Handed, bound: tuple[Path, ...] = ()) -> Walls:
    """Hide the home of this host, its keys and the agent's socket, and leave as much to be written as the host says.

    Where neither can be, nothing starts that needs it: the first is needed where bindings are known.

    Enforces: emergency_shutdown, isolated_parallel_versions
    """
    writable = scratch.writable_for(release)
    for folder, named in zip(writable, scratch.writable, strict=True):
        _check_there(Path(folder), ours=named != folder)
    kept = [str(path) for path in (files.directory, *bound, Path(sys.prefix), Path(sys.base_prefix)) if path]
    size = scratch.size or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _SHARE_OF_MEMORY
    needed = _why_needed(home, scratch, bound)
    hidden = (*scratch.folders_of_releases, str(home.absolute()))
    return Walls(hidden, tuple(kept), needed, scratch.kind, size, writable, scratch.devices)


def home_of(scratch: Scratch) -> dict[str, str]:
    """Say what HOME is for the model server, unless its release says so."""
    return {} if scratch.kind == "host" else {"HOME": OWN_HOME}


def _why_needed(home: Path, scratch: Scratch, bound: tuple[Path, ...]) -> str:
    if bound or (home / BINDINGS).exists():
        return f"the server would see the secrets in {home}"
    if scratch.kind != "host":
        return f'the server would have no place of its own, and host.toml does not say scratch = "host": {scratch.kind}'
    return ""


def _check_there(folder: Path, *, ours: bool) -> None:
    """Raise `UnavailableError` unless it is a folder, no link; make the one of a release."""
    try:
        if ours and not folder.is_symlink():
            folder.mkdir(0o700, exist_ok=True)
    except OSError as e:
        raise UnavailableError(f"writable: {folder}: {e.strerror}") from e
    if folder.is_symlink() or not folder.is_dir():
        raise UnavailableError(f"writable: {folder} is no folder")
