"""What does a job see of the machine? Its programs, read-only, and next to nothing else.

The system's programs and libraries, the Python that runs this, the few files of /etc that libraries want, four devices.
No home, no /sys, no /run, no /var; /proc shows its own world only. Nobody has a name but `nobody`.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import cache_from_source
from pathlib import Path

import lockgate
from lockgate.drivers.bubblewrap.passed import Passed

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_OF_ETC = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "localtime",
    "mime.types",
    "ssl/certs",
    "pki/tls",
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_WRITTEN = {
    "passwd": b"nobody:x:65534:65534:nobody:/tmp:/usr/sbin/nologin\n",
    "group": b"nogroup:x:65534:\n",
    "hosts": b"127.0.0.1 localhost\n",
    "nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
}


def own_programs() -> tuple[Path, ...]:
    """Name the folders of the Python that runs this, with what is installed in it."""
    folders = {Path(folder).resolve() for folder in (sys.prefix, sys.base_prefix)}
    folders |= {Path(folder) for folder in (sys.prefix, sys.base_prefix)}
    folders.add(Path(lockgate.__file__).resolve().parent)
    return tuple(sorted(folders))


def outside_system(programs: Iterable[Path]) -> list[Path]:
    """List the folders that must be shown beside /usr: none within another."""
    found: list[Path] = []
    for folder in sorted(programs):
        if not any(map(folder.is_relative_to, (Path("/usr"), *found))):
            found.append(folder)
    return found


def shown(programs: Iterable[Path], passed: Passed) -> Iterator[str]:
    """Write the arguments that make it."""
    yield from ("--ro-bind", "/usr", "/usr")
    for name in _SYSTEM:
        yield from _system_folder(Path("/", name))
    yield from _folders("/etc", "/etc/ssl", "/etc/pki", "/in", "/out", "/tmp", "/.disk")  # noqa: S108 - where, not what
    for name in _OF_ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    for name, content in _WRITTEN.items():
        yield from ("--ro-bind-data", str(passed.keep(content)), f"/etc/{name}")
    for program in programs:
        yield from _folders(*map(str, reversed(program.parents[:-1])))
        yield from ("--ro-bind", str(program), str(program))
    yield from _ourselves(Path("/.lockgate/lockgate/drivers/bubblewrap"))
    yield from _devices()


def _ourselves(place: Path) -> Iterator[str]:
    """Show the files of this package, and where Python keeps them compiled: it may be elsewhere."""
    package = Path(__file__).parent
    for file in package.glob("*.py"):
        yield from ("--ro-bind", str(file), str(place / file.name))
    yield from ("--ro-bind-try", str(Path(cache_from_source(__file__)).parent), str(place / "__pycache__"))


def _devices() -> Iterator[str]:
    yield from ("--proc", "/proc", "--tmpfs", "/dev", "--dir", "/dev/shm")  # noqa: S108 - where, not what
    for name in _DEVICES:
        yield from ("--dev-bind", f"/dev/{name}", f"/dev/{name}")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        yield from ("--symlink", f"/proc/self/fd/{number}", f"/dev/{name}")
    yield from ("--symlink", "/proc/self/fd", "/dev/fd")


def _folders(*paths: str) -> Iterator[str]:
    """Make folders that everybody may enter: those that bubblewrap makes on its way are closed to others."""
    return (word for path in paths for word in ("--dir", path))


def inputs(paths: Mapping[str, Path], passed: Passed, *, later: bool) -> Iterator[str]:
    """Write the arguments that show the inputs, or make room for them: `inner` mounts them `later`."""
    for name, path in paths.items():
        if not later:
            yield from ("--ro-bind", str(path), f"/in/{name}")
        elif path.is_dir():
            yield from ("--dir", f"/in/{name}")
        else:
            yield from ("--file", str(passed.keep(b"")), f"/in/{name}")


def sealed() -> Iterator[str]:
    """Write the arguments that close what bubblewrap itself mounted; the last ones."""
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")


def _system_folder(path: Path) -> Iterator[str]:
    if path.is_symlink():
        yield from ("--symlink", str(path.readlink()), str(path))
    elif path.is_dir():
        yield from ("--ro-bind", str(path), str(path))
