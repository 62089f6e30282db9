"""Is everything in a folder of a kind that is allowed? The one place of the scanner that opens files.

    walk, never through a link ──▶ open ──▶ map ──▶ judge ──▶ still the file that was walked? ──▶ findings

Whatever could not be looked at is a finding: not scanned is not passed. What is mapped must not shrink meanwhile,
so scan a copy that nobody else writes to.
"""

import hashlib
import mmap
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from lockgate.errors import DeniedError, UnavailableError
from lockgate.formats.digest import Digest
from lockgate.scanner.judgement import UNKNOWN, Judgement, judge, judge_numbers, judge_variables
from lockgate.scanner.ruleset import RULES_VERSION, rules_digest
from lockgate.scanner.scanned import Claim, Finding, Flaw, Scan, check_exceptions

Progress = Callable[[int], None]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MOST_FILES = 100_000
_DEEPEST = 64
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def scan(
    folder: Path,
    *,
    exceptions: frozenset[str] = frozenset(),
    members: Mapping[str, Digest] | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Look at every file under `folder`.

    `exceptions` names the classes of dangerous files that are excused. `members`, if given, are the signed files: all
    of them must be there, with these digests, and nothing else. `progress` is told how many bytes were looked at.
    """
    check_exceptions(exceptions)
    found = _Findings(exceptions)
    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as e:
        raise UnavailableError(f"cannot read {folder}: {e.strerror}") from e
    with ExitStack() as opened:
        opened.callback(os.close, root)
        seen = list(_walk(root, "", found))
        if len(seen) > _MOST_FILES:
            raise DeniedError(f"{folder} has {len(seen)} files, more than the {_MOST_FILES} that are scanned")
        for file, view in _mapped(root, seen, found):
            found.judge(file.name, view, members)
            if progress is not None:
                progress(file.size)
        for file, view in _mapped(root, [each for each in seen if found.formats.get(each.name) == UNKNOWN], found):
            found.judge_again(file.name, view)
        found.check_claims({file.name: file.size for file in seen})
        found.check_links((file.name for file in seen), members)
        _compare(seen, list(_walk(root, "", _Findings(frozenset()))), found)
    if members is not None:
        found.add_missing(members.keys() - found.formats.keys())
    return found.scan(sum(file.size for file in seen))


@dataclass(frozen=True, slots=True)
class _File:
    """A file as a walk saw it; whoever changes its content changes one of these."""

    name: str
    size: int
    device: int
    inode: int
    modified_at: int
    changed_at: int


@dataclass(slots=True)
class _Findings:
    """What was found so far, and what was excused."""

    exceptions: frozenset[str]
    found: set[Finding] = field(default_factory=set)
    excused: set[str] = field(default_factory=set)
    formats: dict[str, str] = field(default_factory=dict)
    claims: dict[str, list[Claim]] = field(default_factory=dict)
    claimants: dict[Claim, str] = field(default_factory=dict)
    links: dict[str, str | None] = field(default_factory=dict)

    def judge(self, name: str, view: memoryview, members: Mapping[str, Digest] | None) -> None:
        """Judge a file, and compare it with what was signed."""
        try:
            judged = judge(name, view)
        except (MemoryError, RecursionError) as e:
            self.refuse(name, "not-scanned", f"is too much to look at: {type(e).__name__}")
            return
        self._take(name, judged)
        for claim in judged.claims:
            self.claims.setdefault(claim.file, []).append(claim)
            self.claimants[claim] = name
        if members is not None and name not in members:
            self.add(name, Flaw("unsigned", "is not among the signed files"))
        elif members is not None and hashlib.sha256(view).hexdigest() != members[name].hex:
            self.add(name, Flaw("digest", "is not what was signed"))

    def judge_again(self, name: str, view: memoryview) -> None:
        """Judge content of no known format as a part of the model that it belongs to, if it does to any."""
        above, _, within = name.rpartition("/")[0].rpartition("/")
        if name in self.claims:
            judged = judge_numbers(name, view, self.claims[name])
        elif within == "variables" and self.formats.get(f"{above}/saved_model.pb".lstrip("/")) == "saved-model":
            judged = judge_variables(view)
        else:
            return
        self.found -= {each for each in self.found if each.file == name and each.rule == UNKNOWN}
        self._take(name, judged)

    def check_claims(self, sizes: Mapping[str, int]) -> None:
        """Note what a model takes from where there is nothing."""
        for claim, name in self.claimants.items():
            if claim.file not in sizes:
                self.add(name, Flaw("onnx-external", f"takes numbers from {claim.file!a}, which is not there"))
            elif claim.end > sizes[claim.file]:
                self.add(name, Flaw("onnx-external", f"takes numbers from beyond the end of {claim.file!a}"))

    def check_links(self, files: Iterable[str], members: Mapping[str, Digest] | None) -> None:
        """Judge links: one that leads to a plain file or folder that was walked may be excused."""
        known = set(files)
        known |= {name[:at] for name in known for at, letter in enumerate(name) if letter == "/"}
        for name, target in self.links.items():
            is_inside = target in known
            where = "stays in the folder" if is_inside else "leads out of the folder, to nothing, or through another"
            self.add(name, Flaw("symlink", f"is a symbolic link that {where}", "symlink" if is_inside else None))
            if members is not None:
                self.add(name, Flaw("unsigned", "is a link, which nobody signs"))

    def _take(self, name: str, judged: Judgement) -> None:
        self.formats[name] = judged.format
        for flaw in judged.flaws:
            self.add(name, flaw)

    def add(self, name: str, flaw: Flaw) -> None:
        """Note a flaw, unless its class is excused."""
        if flaw.excuse in self.exceptions and flaw.excuse is not None:
            self.excused.add(flaw.excuse)
        else:
            self.found.add(Finding(name, flaw.rule, flaw.text))

    def refuse(self, name: str, rule: str, text: str) -> None:
        """Note what could not even be looked at."""
        self.formats.setdefault(name, "not scanned")
        self.found.add(Finding(name, rule, text))

    def add_missing(self, names: set[str]) -> None:
        """Note signed files that are not there."""
        self.found |= {Finding(name, "missing", "was signed, but is not there") for name in names}

    def scan(self, size: int) -> Scan:
        """Sum up."""
        if not self.formats:
            self.found.add(Finding(".", "empty", "there is no file to scan"))
        return Scan(
            len(self.formats),
            size,
            tuple(sorted(self.found)),
            tuple(sorted(self.excused)),
            rules_digest(),
            RULES_VERSION,
            dict(sorted(self.formats.items())),
        )


def _walk(folder: int, above: str, found: _Findings) -> Iterator[_File]:
    """Yield the plain files below; what is none, or cannot be listed, is a finding."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as e:
        found.refuse(above or ".", "not-scanned", f"the folder cannot be listed: {e.strerror}")
        return
    for entry in listed:
        name = above + os.fsencode(entry.name).decode("utf-8", "backslashreplace")
        try:
            seen = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                yield from _descend(folder, entry.name, name, found)
            elif stat.S_ISREG(seen.st_mode):
                yield _seen(name, seen)
            elif stat.S_ISLNK(seen.st_mode):
                _link(folder, entry.name, name, found)
            else:
                found.refuse(name, "special-file", f"is {_KINDS.get(stat.S_IFMT(seen.st_mode), 'no file')}")
        except OSError as e:
            found.refuse(name, "not-scanned", f"cannot be looked at: {e.strerror}")


def _descend(folder: int, entry: str, name: str, found: _Findings) -> Iterator[_File]:
    if name.count("/") >= _DEEPEST:
        found.refuse(name, "not-scanned", f"lies deeper than {_DEEPEST} folders")
        return
    inner = os.open(entry, _FOLDER, dir_fd=folder)
    try:
        yield from _walk(inner, f"{name}/", found)
    finally:
        os.close(inner)


def _link(folder: int, entry: str, name: str, found: _Findings) -> None:
    """Remember where a link leads by its words; upwards only at first, for behind a name `..` goes where that leads."""
    target = os.readlink(entry, dir_fd=folder)
    found.formats[name] = "symlink"
    up = len(re.match(r"(?:\.\./)*", target + "/").group().split("/")) - 1  # type: ignore[union-attr]
    rest = target.split("/")[up:]
    is_plain = not {"", ".", ".."} & set(rest) and up <= name.count("/")
    above = name.split("/")[: name.count("/") - up]
    found.links[name] = "/".join([*above, *rest]) if is_plain else None


def _mapped(root: int, files: Iterable[_File], found: _Findings) -> Iterator[tuple[_File, memoryview]]:
    """Map files that were walked, one after the other, never through a link; one that cannot be is a finding."""
    for file in files:
        try:
            with ExitStack() as opened:
                folder = root
                *parents, last = file.name.split("/")
                for parent in parents:
                    folder = _open(opened, parent, _FOLDER, folder)
                descriptor = _open(opened, last, _FILE, folder)
                if _seen(file.name, os.fstat(descriptor)) != file:
                    found.refuse(file.name, "changed", "was changed while it was scanned")
                    continue
                content = mmap.mmap(descriptor, file.size, prot=mmap.PROT_READ) if file.size else b""
        except (OSError, ValueError, OverflowError) as e:  # of mmap: longer than there are addresses
            found.refuse(file.name, "not-scanned", f"cannot be read: {e}")
            continue
        yield file, memoryview(content)


def _compare(before: list[_File], after: list[_File], found: _Findings) -> None:
    for name in {file.name for file in set(before) ^ set(after)}:
        found.refuse(name, "changed", "was changed while the folder was scanned")


def _open(opened: ExitStack, name: str, flags: int, folder: int) -> int:
    descriptor = os.open(name, flags, dir_fd=folder)
    opened.callback(os.close, descriptor)
    return descriptor


def _seen(name: str, seen: os.stat_result) -> _File:
    return _File(name, seen.st_size, seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns)
