"""What did a scan find, and what may be excused?

    rule of a format ──▶ Flaw ──▶ is its class of exceptions named? ──▶ yes: excused, and reported
                                                                   └──▶ no:  Finding, which denies

A flaw that carries no class is excused by nobody. What could not be scanned is a finding like any other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lockgate.errors import DeniedError
from lockgate.formats.digest import Digest

EXCEPTIONS: Mapping[str, str] = {
    "archive": "zip archives, if all that is in them passes",
    "chat-template": "chat templates that look at what is said, as somebody reviewed",
    "joblib": "pickles of scikit-learn and joblib, if they name nothing beyond those",
    "keras": "Keras and HDF5 models, if there is no Lambda in them",
    "native-code": "machine code and WebAssembly, as it is",
    "pickle": "pickles, if they name nothing but containers and numbers of NumPy",
    "python": "Python source and bytecode, notebooks",
    "remote-base": "adapters whose base model is fetched by its name",
    "saved-model": "TensorFlow SavedModel, a program; known operations that reach outside are refused",
    "script": "scripts of other languages",
    "symlink": "symbolic links that stay in the folder",
    "torch": "PyTorch checkpoints, if they name nothing but tensors",
}


@dataclass(frozen=True, slots=True, order=True)
class Flaw:
    """What is wrong with some content: the rule that says so, what was found, and the class that would excuse it."""

    rule: str
    text: str
    excuse: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """Bytes of another file that a model takes its numbers from: from `begin` up to `end`."""

    file: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A flaw of a file that nobody excused."""

    file: str
    rule: str
    text: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.file}: {self.rule}: {self.text}"


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan saw: by which rules, which exception classes it used, and which format each file has."""

    files: int
    bytes: int
    findings: tuple[Finding, ...]
    excused: tuple[str, ...]
    rules: Digest
    rules_version: str
    formats: Mapping[str, str] = field(default_factory=dict)

    @property
    def clean(self) -> int:
        """Count the files in which nothing was found."""
        return self.files - len({found.file for found in self.findings} & self.formats.keys())


def check_clean(scan: Scan) -> None:
    """Return if nothing was found in at least one file; else raise `DeniedError` with every finding."""
    if scan.findings:
        raise DeniedError(*(str(found) for found in scan.findings))
    if not scan.files:
        raise DeniedError("no file was scanned")


def check_exceptions(names: Iterable[str]) -> None:
    """Raise `DeniedError` for a class of exceptions that there is not."""
    if unknown := sorted(set(names) - EXCEPTIONS.keys()):
        raise DeniedError(f"there is no exception class {unknown[0]!a}; there are: {', '.join(EXCEPTIONS)}")
