"""How is a directory sealed, and how is the seal on it checked?

The seal is one file, an OMS bundle, anywhere. Inside the directory it may lie only where the bundle itself says, and it
is the only file that is not covered.
"""

import os
import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lockgate.core.component import Component, open_component
from lockgate.core.release import Trusted
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import oms
from lockgate.formats.keys import Signer
from lockgate.formats.oms import Bundle
from lockgate.loader.reading import Progress
from lockgate.loader.tree import measure, verify_tree
from lockgate.loader.whole_file import write_whole


def sign_directory(
    root: Path,
    signer: Signer,
    signature: Path,
    *,
    certificates: Sequence[bytes] = (),
    subject: str | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Seal the files under `root` and write the bundle to `signature`, all of it or nothing.

    `certificates` (DER, the signer's own first) vouch for the signer's key. `subject` is what the directory is called,
    its own name by default; nothing is decided by it.
    """
    inside = _inside(root, signature)
    files = measure(root, ignore=inside, progress=progress)
    name = subject or root.resolve().name or "model"
    sealed = oms.seal(files, signer, certificates=certificates, signature_name=inside, subject=name)
    write_whole(signature, sealed)
    return oms.parse(sealed)


def verify_directory(
    root: Path,
    signature: Path,
    trusted: Trusted,
    *,
    at: datetime,
    deep: bool = False,
    progress: Progress | None = None,
) -> Component:
    """Return what a trusted signer sealed, if `root` holds exactly that; else raise `VerificationError`."""
    component = open_component(_read(signature), trusted.keys, roots=trusted.roots, at=at)
    inside = _inside(root, signature)
    if inside not in (None, component.signature_name):
        where = component.signature_name or "outside the directory"
        raise VerificationError(f"the signature lies at {inside}, but its place is {where}")
    verify_tree(root, component, ignore=inside, deep=deep, progress=progress)
    return component


def _inside(root: Path, signature: Path) -> str | None:
    """Name the signature as a file of `root`, if it is one."""
    folder, within = signature.parent.resolve(), root.resolve()
    if not folder.is_relative_to(within):
        return None
    return (folder / signature.name).relative_to(within).as_posix()


def _read(signature: Path) -> bytes:
    try:
        with os.fdopen(os.open(signature, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise VerificationError(f"{signature} is not a plain file")
            return file.read(oms.MAX_BYTES + 1)
    except OSError as e:
        raise UnavailableError(f"cannot read {signature}: {e.strerror}") from e
