"""How much memory, and how many programs, may all of a job have together? The kernel counts, where it may be asked to.

Version 1 has a tree for each kind, version 2 has one. A group is made below the one that this program is in or, where
that cannot be (in version 2 a group with members has no groups below it), beside it. Where nothing may be written,
there is none, and `Outcome.isolation` says so.
"""

import itertools
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lockgate.evaluator.sandbox import Limits

_NUMBERS = itertools.count()
_PATIENCE_SECONDS = 5


class Group:
    """A group of programs, counted together."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders

    def add(self, pid: int) -> None:
        """Put a program into it; what it starts follows."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def has_killed(self) -> bool:
        """Ask whether its programs wanted more memory than there was for them."""
        for folder in self._folders:
            for name in ("memory.events", "memory.oom_control"):
                with suppress(OSError):
                    told = dict(line.split() for line in (folder / name).read_text().splitlines())
                    if int(told.get("oom_kill", "0")):
                        return True
        return False

    def remove(self) -> None:
        """Remove it; its programs are dead."""
        end = time.monotonic() + _PATIENCE_SECONDS
        for folder in self._folders:
            while folder.exists() and time.monotonic() < end:
                with suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.01)


def make_group(limits: Limits) -> Group | None:
    """Make a group with these limits on memory and programs; None unless both hold."""
    name = f"lockgate-{os.getpid()}-{next(_NUMBERS)}"
    memory, programs = str(limits.memory + limits.disk), str(limits.processes + 2)
    one = {"memory.max": memory, "memory.swap.max": "0", "pids.max": programs}
    many = [{"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory}, {"pids.max": programs}]
    trees = _trees()
    for wanted in ([("", one)], [("memory", many[0]), ("pids", many[1])]):
        made = [_made(trees.get(tree, []), name, values) for tree, values in wanted]
        group = Group([folder for folder in made if folder])
        if None not in made:
            return group
        group.remove()
    return None


def _trees() -> dict[str, list[Path]]:
    """Find, for each controller of version 1, and for version 2 as "", the group of this program and those above it."""
    own: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own |= dict.fromkeys(controllers.split(","), path)
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mounted = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        for name in {"cgroup": options.split(","), "cgroup2": [""]}.get(kind, []):
            if name in own:
                below = own[name].removeprefix(root).strip("/") if own[name].startswith(root) else ""
                folder = Path(mounted, below)
                found[name] = [folder, *(each for each in folder.parents if each.is_relative_to(mounted))]
    return found


def _made(places: Iterable[Path], name: str, values: dict[str, str]) -> Path | None:
    """Make a group in the first place where that can be, with all of its limits in force."""
    for place in places:
        _sweep(place)
        folder = place / name
        try:
            folder.mkdir()
            for file, value in values.items():
                if "sw" not in file or (folder / file).exists():  # a kernel may count no swap
                    (folder / file).write_text(value)
        except OSError:
            with suppress(OSError):
                folder.rmdir()
        else:
            return folder
    return None


def _sweep(place: Path) -> None:
    """Remove the empty groups of programs that died before they could."""
    for left in place.glob("lockgate-*-*"):
        if not Path("/proc", left.name.split("-")[1]).exists():
            with suppress(OSError):
                left.rmdir()
