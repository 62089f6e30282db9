"""What is a suite? A versioned directory with `suite.toml`; what was read of it is what runs, and what is named.

    directory ──read once──▶ files in memory ──dirHash──▶ its digest          ──▶ its commit, if Git holds just this
                                   └────────write────────▶ a private copy, which is what a harness is given

name = "answers"
version = "1.2.0"
harness = "inspect"                       # who runs it
needs = ["files", "served"]               # the components of the release; the release itself, serving

[measures]
accuracy = "answers that were right, of all that were asked"

[run]                                     # what its harness wants to know, and nobody else looks at

Bytecode (`__pycache__`) and `.git` are left out, and so are not in the copy either: nothing of them runs.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import oms, plain
from lockgate.formats.digest import Digest, dir_hash
from lockgate.formats.names import Name, Version

DESCRIPTION = "suite.toml"
MOST_BYTES, MOST_FILES = 64 << 20, 4096
LEFT_OUT = frozenset({"__pycache__", ".git"})
BUILT_IN: Mapping[str, Path] = {name: Path(__file__).parent / name for name in ("baseline", "agentic")}
_GIT_SECONDS = 30
_FETCHES_NOTHING = {
    "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0",
}  # fmt: skip
"""A repository says in its own configuration by which command a missing object is fetched."""


@dataclass(frozen=True, slots=True)
class Described:
    """What `suite.toml` says. `measures` tell in words what each of them counts; there are no others."""

    name: Name
    version: Version
    harness: str
    measures: Mapping[str, str]
    needs: tuple[Literal["files", "served"], ...]
    run: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite as it was read: its description, every file of it, and the digest of them all.

    `commit` is the Git commit that holds exactly these files in this place, None if none does.
    """

    about: Described
    files: Mapping[str, bytes]
    digest: Digest
    commit: str | None

    def lay_out(self, into: Path) -> None:
        """Write what was read into an empty folder, for a harness."""
        for name, content in self.files.items():
            path = into / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def find_suite(name: str, folders: Path | None = None) -> Suite:
    """Find a suite by its name: among those that come with us, else in `folders`, a directory of suites.

    Ours come first, so that nothing can take their names.
    """
    if name in BUILT_IN:
        return read_suite(BUILT_IN[name])
    if folders is None or not (folders / str(Name(name))).is_dir():
        known = ", ".join([*BUILT_IN, *(_names_in(folders) if folders else ())])
        raise VerificationError(f"there is no suite {name[:80]!a}; there are: {known}")
    suite = read_suite(folders / name)
    if str(suite.about.name) != name:
        raise VerificationError(f"the suite in {folders / name} calls itself {suite.about.name}")
    return suite


def known_suites(folders: Path | None = None) -> Iterator[Suite]:
    """Read every suite that comes with us, and those in `folders`."""
    for name in (*BUILT_IN, *(_names_in(folders) if folders else ())):
        yield find_suite(name, folders)


def read_suite(folder: Path) -> Suite:
    """Read a suite, all of it, once; raise `VerificationError` for what is none."""
    files = dict(sorted(_read_files(folder)))
    if DESCRIPTION not in files:
        raise VerificationError(f"{folder} holds no {DESCRIPTION}, so it is no suite")
    about = _described(files[DESCRIPTION], folder)
    digest = dir_hash((name, Digest.of(content).hex) for name, content in files.items())
    return Suite(about, files, digest, _commit(folder, files))


def _names_in(folders: Path) -> list[str]:
    try:
        found = sorted(path.parent.name for path in folders.glob(f"*/{DESCRIPTION}"))
    except OSError as e:
        raise UnavailableError(f"cannot read {folders}: {e.strerror}") from e
    return [name for name in found if name not in BUILT_IN]


def _described(content: bytes, folder: Path) -> Described:
    try:
        written = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise VerificationError(f"{folder / DESCRIPTION} is not TOML: {e}") from e
    about = plain.from_plain(Described, written, DESCRIPTION)
    if not about.measures:
        raise VerificationError(f"{folder / DESCRIPTION}: a suite that measures nothing proves nothing")
    for measure in about.measures:
        Name(measure)
    return about


def _read_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    left = MOST_BYTES
    for number, (name, path) in enumerate(_walk(folder)):
        oms.check_name(name)
        if number >= MOST_FILES:
            raise VerificationError(f"a suite holds at most {MOST_FILES} files")
        content = _read(path, left, name)
        left -= len(content)
        yield name, content


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    def refuse(error: OSError) -> None:
        raise UnavailableError(f"cannot read {error.filename}: {error.strerror}") from error

    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(set(folders) - LEFT_OUT)
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        for name in (*links, *sorted(set(names) - LEFT_OUT)):
            path = Path(where) / name
            yield path.relative_to(folder).as_posix(), path


def _read(path: Path, most: int, name: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        raise VerificationError(f"{name} of a suite cannot be read as a plain file: {e.strerror}") from e
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise VerificationError(f"{name} of a suite is not a plain file")
        content = file.read(most + 1)
    if len(content) > most:
        raise VerificationError(f"a suite holds at most {MOST_BYTES} bytes")
    return content


def _commit(folder: Path, files: Mapping[str, bytes]) -> str | None:
    """Name the commit whose tree holds these files here, and no others; what Git does not know for sure is None."""
    top = _git(folder, "rev-parse", "HEAD")
    listed = _git(folder, "ls-tree", "-r", "-z", "HEAD", ".")
    if not top or not listed:
        return None
    known = {}
    for line in listed.rstrip(b"\0").split(b"\0"):
        about, _, name = line.partition(b"\t")
        known[os.fsdecode(name)] = about.split()[2].decode()
    mine = {name: _blob(content) for name, content in files.items()}
    return top.decode().strip() if known == mine else None


def _blob(content: bytes) -> str:
    """Name a file as Git does (gitformat-pack(5), SHA-1 of the object)."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


def _git(folder: Path, *words: str) -> bytes:
    git = shutil.which("git")
    if git is None:
        return b""
    quiet = {"PATH": os.defpath, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **_FETCHES_NOTHING}
    try:
        done = subprocess.run(
            [git, "-c", "core.fsmonitor=false", "-C", str(folder), *words],
            env=quiet, capture_output=True, check=False, timeout=_GIT_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout if done.returncode == 0 else b""
