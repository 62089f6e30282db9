"""Does a directory hold exactly the files that were sealed?

    walk ──> names and sizes ──────> pieces, several at once ──> walk again
    (nothing but plain files)        (chunks of 64 MiB)          (nothing moved)
         missing, extra, wrong size       first difference

Files are opened one path part after the other, beneath the directory and never through a link. Each piece is read from
a file that is still the one the walk saw, before and after, so an alteration meanwhile is noticed. This proves what a
directory held while it was read: a model runtime opens a private copy, never the directory.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lockgate.core.component import Component
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import oms
from lockgate.formats.digest import Digest
from lockgate.formats.oms import CHUNK, FileDigest
from lockgate.loader.reading import Progress, Reading, at_once

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO}


@dataclass(frozen=True, slots=True, order=True)
class _Seen:
    """A file as a walk saw it. Who changes its content changes one of these, for nobody can set `changed_at`."""

    name: str
    size: int
    device: int
    inode: int
    modified_at: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some bytes of a file, and the SHA-256 that they should have."""

    file: _Seen
    offset: int
    size: int
    wanted: bytes


@dataclass(frozen=True, slots=True)
class _Whole:
    """A file of several chunks, of which every digest is to be checked."""

    file: _Seen
    sealed: FileDigest
    step: int


def walk(root: Path) -> list[tuple[str, int]]:
    """List the name and size of every file under `root`, by name.

    Raises `VerificationError` for anything but a plain file with one name: a link of either kind, a device, a pipe, a
    socket, or a file name that no bundle may hold.
    """
    with _opened(root) as folder:
        return [(file.name, file.size) for file in _walk(folder)]


def measure(root: Path, *, ignore: str | None = None, progress: Progress | None = None) -> tuple[FileDigest, ...]:
    """Hash every file under `root` but `ignore`, whole and in chunks, in one reading."""
    measured: dict[str, FileDigest] = {}
    with _opened(root) as folder:
        files = _walk(folder)
        kept = [file for file in files if file.name != ignore]

        def hash_one(file: _Seen, reading: Reading) -> None:
            measured[file.name] = _hash(folder, file, CHUNK, reading)

        at_once(iter(kept), hash_one, progress)
        _check_unmoved(files, _walk(folder))
    return tuple(measured[file.name] for file in kept)


def verify_tree(
    root: Path,
    component: Component,
    *,
    ignore: str | None = None,
    deep: bool = False,
    progress: Progress | None = None,
) -> None:
    """Return if `root` holds exactly the files of `component`, byte for byte; else raise `VerificationError`.

    `ignore` is the one file left out: the seal itself. `deep` hashes whole files as well as chunks, which finds out a
    signer whose two kinds of digest disagree.

    Enforces: verified_admission
    """
    with _opened(root) as folder:
        files = _walk(folder)
        found = {file.name: file for file in files if file.name != ignore}
        sealed = {file.name: file for file in component.files}
        _check_names_and_sizes(found, sealed)

        def check(work: _Piece | _Whole, reading: Reading) -> None:
            match work:
                case _Piece():
                    _check_piece(folder, work, reading)
                case _Whole():
                    _check_whole(folder, work, reading)

        at_once((work for name, file in found.items() for work in _work(file, sealed[name], deep)), check, progress)
        _check_unmoved(files, _walk(folder))


def _check_names_and_sizes(found: dict[str, _Seen], sealed: dict[str, FileDigest]) -> None:
    missing, extra = sorted(sealed.keys() - found.keys()), sorted(found.keys() - sealed.keys())
    troubles = [f"missing: {_list(missing)}"] if missing else []
    troubles += [f"not sealed: {_list(extra)}"] if extra else []
    for name, file in found.items():
        if name in sealed and sealed[name].size not in (None, file.size):
            troubles.append(f"{name} has {file.size} bytes, not {sealed[name].size}")
    if troubles:
        raise VerificationError("; ".join(troubles[:10]))


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def _check_unmoved(before: Iterable[_Seen], after: Iterable[_Seen]) -> None:
    if moved := sorted({file.name for file in set(before) ^ set(after)}):
        raise VerificationError(f"changed while it was read: {_list(moved)}")


def _work(file: _Seen, sealed: FileDigest, deep: bool) -> Iterator[_Piece | _Whole]:  # noqa: FBT001 - passed on
    if sealed.chunk_size is None or len(sealed.chunks) < 2:
        yield _Piece(file, 0, file.size, sealed.sha256.raw)
    elif deep:
        yield _Whole(file, sealed, sealed.chunk_size)
    else:
        for number, wanted in enumerate(sealed.chunks):
            offset = number * sealed.chunk_size
            yield _Piece(file, offset, min(sealed.chunk_size, file.size - offset), wanted)


def _check_piece(folder: int, piece: _Piece, reading: Reading) -> None:
    digest = hashlib.sha256()
    with _reopened(folder, piece.file) as file:
        for block in reading.blocks(file, piece.file.name, piece.offset, piece.size):
            digest.update(block)
    if digest.digest() != piece.wanted:
        raise _differs(piece.file, piece.offset, piece.size)


def _check_whole(folder: int, work: _Whole, reading: Reading) -> None:
    file, sealed = work.file, work.sealed
    actual = _hash(folder, file, work.step, reading)
    for number, (found, wanted) in enumerate(zip(actual.chunks, sealed.chunks, strict=True)):
        if found != wanted:
            raise _differs(file, number * work.step, min(work.step, file.size - number * work.step))
    if actual.sha256 != sealed.sha256:
        raise VerificationError(f"{file.name}: its chunks are what was sealed, but its digest is not: a false seal")


def _differs(file: _Seen, offset: int, size: int) -> VerificationError:
    return VerificationError(
        f"{file.name} is not what was sealed: it differs at byte {offset} or in the {size} from there"
    )


def _hash(folder: int, file: _Seen, step: int, reading: Reading) -> FileDigest:
    """Hash a file whole and in chunks of `step`, each on a thread: neither digest can be split further."""
    whole = hashlib.sha256()
    chunks: list[bytes] = []
    with _reopened(folder, file) as opened:
        if file.size <= step:
            for block in reading.blocks(opened, file.name, 0, file.size):
                whole.update(block)
            chunks = [whole.digest()] if file.size else []
        else:
            with ThreadPoolExecutor(1, "lockgate-chunks") as beside:
                for offset in range(0, file.size, step):
                    chunk, size = hashlib.sha256(), min(step, file.size - offset)
                    for block in reading.blocks(opened, file.name, offset, size, wide=True):
                        hashed = beside.submit(chunk.update, block)
                        whole.update(block)
                        hashed.result()
                    chunks.append(chunk.digest())
    return FileDigest(file.name, Digest(whole.hexdigest()), file.size, step, tuple(chunks))


def _walk(folder: int, above: str = "") -> list[_Seen]:
    files: list[_Seen] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = above + os.fsencode(entry.name).decode(errors="surrogateescape")
            oms.check_name(name)
            seen = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                with ExitStack() as opened:
                    files += _walk(_open(opened, entry.name, _FOLDER, folder), f"{name}/")
            else:
                files.append(_plain(name, seen))
    return sorted(files)


def _plain(name: str, seen: os.stat_result) -> _Seen:
    if not stat.S_ISREG(seen.st_mode):
        raise VerificationError(f"{name} is not a plain file but {_KINDS.get(stat.S_IFMT(seen.st_mode), 'unknown')}")
    if seen.st_nlink != 1:
        raise VerificationError(f"{name} is one of {seen.st_nlink} names of one file (a hard link)")
    return _seen(name, seen)


def _seen(name: str, seen: os.stat_result) -> _Seen:
    return _Seen(name, seen.st_size, seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns)


_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextmanager
def _opened(root: Path) -> Iterator[int]:
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield folder
        finally:
            os.close(folder)
    except OSError as e:
        raise UnavailableError(f"cannot read {root}: {e.strerror}") from e


@contextmanager
def _reopened(folder: int, file: _Seen) -> Iterator[int]:
    """Open a file that was seen, beneath `folder`; raise `VerificationError` if it is or becomes another."""
    *parents, last = file.name.split("/")
    try:
        with ExitStack() as opened:
            for parent in parents:
                folder = _open(opened, parent, _FOLDER, folder)
            found = _open(opened, last, _FILE, folder)
            _check_unmoved([file], [_seen(file.name, os.fstat(found))])
            yield found
            _check_unmoved([file], [_seen(file.name, os.fstat(found))])
    except OSError as e:
        if e.errno in _REPLACED:
            raise VerificationError(f"changed while it was read: {file.name}") from e
        raise UnavailableError(f"cannot read {file.name}: {e.strerror}") from e


def _open(opened: ExitStack, name: str, flags: int, folder: int) -> int:
    descriptor = os.open(name, flags, dir_fd=folder)
    opened.callback(os.close, descriptor)
    return descriptor
