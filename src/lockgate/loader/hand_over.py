"""How do signed bytes, and no others, reach a model server, although others may write the place they come from?

    source ──read once──> buffer ──hash──> compare ──> private tmpfs, then read-only     (`PrivateMounts`)
                             └───write───────────────> memfd, then sealed for ever       (none: F_SEAL_*)

The bytes are read exactly once, and what was hashed is what was written: between checking and using there is no second
look at the source that an attacker could answer differently. Nobody opens the copy before every file has been checked.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.oms import FileDigest, check_names
from lockgate.loader.namespace import PrivateMounts, Room
from lockgate.loader.source import Source
from lockgate.loader.verified_read import copy_verified

Progress = Callable[[int], None]

THREADS = 2
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

_DRAFT = ".lockgate-draft"
_PAGE = 4096
_SPARE = 1 << 20
_MFD_NOEXEC_SEAL = 8
_LONGEST_MEMFD_NAME = 200


@dataclass(frozen=True, slots=True)
class Handed:
    """Verified files, ready to be opened by path: `paths["COMPONENT/NAME"]`; a child needs `fds` too."""

    how: Literal["tmpfs", "memfd"]
    paths: Mapping[str, str]
    room: Room | None
    fds: tuple[int, ...]

    @property
    def directory(self) -> Path | None:
        """The directory that holds them all, as COMPONENT/NAME; memfds have none."""
        return self.room.path if self.room else None

    def close(self) -> None:
        """Give the memory back, as soon as nobody has a file open."""
        for descriptor in self.fds:
            os.close(descriptor)
        if self.room:
            self.room.close()


def hand_over(
    files: Mapping[str, Sequence[FileDigest]], source: Source, mounts: PrivateMounts | None, progress: Progress
) -> Handed:
    """Copy every file of every component and check it on the way; all of them, or an error and nothing.

    Goes into a private tmpfs when there are private `mounts`, else into sealed memfds.

    Args:
        files: what was signed, by component.
        source: where to read it.
        mounts: what `enter_private_mounts` gave, if it could.
        progress: told the number of bytes after each piece, from one thread at a time; raising cancels.
    """
    listed = [(component, file) for component in files for file in files[component]]
    names = [f"{component}/{file.name}" for component, file in listed]
    check_names(names)
    size = _room_for(listed)
    room = mounts.room(size) if mounts else None
    target = _Target(room.path if room else None, {})
    try:
        _copy_all(listed, source, target, _Tally(size, progress))
        if room:
            room.seal()
    except BaseException:
        Handed("memfd", {}, room, tuple(target.fds.values())).close()
        raise
    if room:
        return Handed("tmpfs", {where: f"{room.path}/{where}" for where in names}, room, ())
    fds = tuple(target.fds[where] for where in names)
    return Handed("memfd", {where: f"/proc/self/fd/{fd}" for where, fd in zip(names, fds, strict=True)}, None, fds)


def lay_out(files: Mapping[str, Sequence[FileDigest]], source: Source, into: Path, progress: Progress) -> None:
    """Copy every file of every component into an empty folder, for somebody who starts when this has ended.

    Nothing has its name there before everything was checked; after an error nothing is there. Whoever else can write
    the folder can change it afterwards: it is for a volume that nobody else may write.
    """
    listed = [(component, file) for component in files for file in files[component]]
    check_names([f"{component}/{file.name}" for component, file in listed])
    draft = into / _DRAFT
    try:
        if any(into.iterdir()):
            raise VerificationError(f"{into} is not empty: what nobody verified would lie beside the files")
        draft.mkdir(mode=0o755)
        try:
            _copy_all(listed, source, _Target(draft, {}), _Tally(shutil.disk_usage(into).free, progress))
            for component in files:
                (draft / component).rename(into / component)
        finally:
            shutil.rmtree(draft)
    except OSError as e:
        raise UnavailableError(f"cannot write {e.filename or into}: {e.strerror}") from e


class _StoppedError(Exception):
    """Another file was refused, so this one is of no use any more."""


class _Tally:
    """What all threads have copied, and whether they should go on."""

    def __init__(self, size: int, progress: Progress) -> None:
        self._lock, self._left, self._progress, self._stopped = Lock(), size, progress, False

    def count(self, size: int) -> None:
        with self._lock:
            if self._stopped:
                raise _StoppedError
            self._left -= size
            if self._left < 0:
                raise UnavailableError("the source gives more than memory holds, and nobody signed how long it is")
            self._progress(size)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the copies are made: in a folder, else each in a memfd, kept in `fds`."""

    folder: Path | None
    fds: dict[str, int]

    @contextmanager
    def create(self, where: str) -> Iterator[int]:
        """Open a new file for writing; afterwards nobody can write to it."""
        descriptor = self._open(where)
        try:
            yield descriptor
            os.fchmod(descriptor, 0o444)
            if self.folder is None:
                os.lseek(descriptor, 0, os.SEEK_SET)
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
                self.fds[where] = descriptor
        finally:
            if where not in self.fds:
                os.close(descriptor)

    def _open(self, where: str) -> int:
        if self.folder:
            path = self.folder / where
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
        name, flags = where[-_LONGEST_MEMFD_NAME:], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        with suppress(OSError):  # older than Linux 6.3
            return os.memfd_create(name, flags | _MFD_NOEXEC_SEAL)
        return os.memfd_create(name, flags)


def _copy_all(listed: Sequence[tuple[str, FileDigest]], source: Source, target: _Target, tally: _Tally) -> None:
    """Copy with as many threads as help, the largest files first; the first error stops the others."""
    largest_first = sorted(listed, key=lambda item: item[1].size or 0, reverse=True)
    with ThreadPoolExecutor(THREADS) as pool:
        copies = [pool.submit(_copy, component, file, source, target, tally) for component, file in largest_first]
        try:
            for copied in as_completed(copies):
                copied.result()
        except BaseException:
            tally.stop()
            pool.shutdown(cancel_futures=True)
            raise


def _copy(component: str, file: FileDigest, source: Source, target: _Target, tally: _Tally) -> None:
    where = f"{component}/{file.name}"
    try:
        with closing(source.open(component, file)) as opened, target.create(where) as descriptor:

            def write(piece: memoryview) -> None:
                tally.count(len(piece))
                while piece:
                    piece = piece[os.write(descriptor, piece) :]

            copy_verified(opened.readinto, file, write, component=component)
    except _StoppedError:
        pass
    except OSError as e:
        tally.stop()
        raise UnavailableError(f"cannot copy {where}: {e.strerror}") from e
    except BaseException:
        tally.stop()
        raise


def _room_for(listed: Sequence[tuple[str, FileDigest]]) -> int:
    """Say how large the copy may become; raise `UnavailableError` if memory does not hold it."""
    available = _available()
    pages = sum(1 + -(-(file.size or 0) // _PAGE) for _, file in listed)
    needed = pages * _PAGE * 105 // 100 + _SPARE
    if needed > available:
        raise UnavailableError(f"the files need {needed >> 20} MiB of memory, but only {available >> 20} are available")
    return needed if all(file.size is not None for _, file in listed) else available


def _available() -> int:
    """Ask the kernel how much memory may be taken without swapping (proc(5), MemAvailable)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) << 10
