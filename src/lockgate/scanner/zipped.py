"""Which model is packed in a zip, and is each member a part of it?

A checkpoint of PyTorch and a model of Keras are zips with a few files of known names. Anything else is an archive, of
which every member must pass by itself; an archive in an archive does not.
"""

import re
from collections.abc import Callable, Iterator

from lockgate.errors import VerificationError
from lockgate.scanner.hdf5 import hdf5_flaws
from lockgate.scanner.json_text import read_json
from lockgate.scanner.pickle_profile import pickle_flaws
from lockgate.scanner.repository import repository_flaws
from lockgate.scanner.scanned import Flaw
from lockgate.scanner.zip_structure import Entry, entries

Judge = Callable[[str, memoryview], tuple[str, tuple[Flaw, ...]]]

MOST_UNPACKED = 1 << 33
_TORCH_PART = re.compile(
    r"(?:[^/]+/)?(?:data/\d+|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|data\.pkl)"
)
_PACKED = {"zip", "torch", "keras", "archive", "compressed", "tar"}


def zip_kind(view: memoryview) -> str:
    """Name what is packed: `torch`, `keras`, `archive`; `zip` if readers would not agree what is."""
    try:
        names = {entry.name for entry in entries(view)}
    except VerificationError:
        return "zip"
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return "torch"
    return "keras" if {"config.json", "metadata.json"} <= names else "archive"


def torch_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield what is wrong with a checkpoint of PyTorch."""
    yield Flaw("torch", "is a PyTorch checkpoint, which is a pickle", "torch")
    for entry in _bounded(entries(view)):
        if not _TORCH_PART.fullmatch(entry.name):
            code = "/code/" in f"/{entry.name}" or entry.name.endswith("constants.pkl")
            yield Flaw("torch", f"{entry.name!a} is {'a program (TorchScript)' if code else 'no part of a checkpoint'}")
            continue
        content = entry.unpacked()
        if entry.name.endswith("data.pkl"):
            yield from pickle_flaws(content, "torch")


def keras_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield what is wrong with a model of Keras."""
    yield Flaw("keras", "is a Keras model, which may hold code", "keras")
    for entry in _bounded(entries(view)):
        content = entry.unpacked()
        if entry.name in ("config.json", "metadata.json"):
            value = read_json(bytes(content))
            yield from repository_flaws(value, str(content, "utf-8"))
        elif entry.name.endswith(".h5"):
            yield from hdf5_flaws(content)
        else:
            yield Flaw("keras", f"{entry.name!a} is no part of a Keras model")


def archive_flaws(view: memoryview, judge: Judge) -> Iterator[Flaw]:
    """Yield what is wrong with an archive, and with each of its members."""
    yield Flaw("archive", "is an archive", "archive")
    for entry in _bounded(entries(view)):
        if entry.name.endswith("/"):
            if entry.size:
                yield Flaw("zip", f"{entry.name!a} is a folder with content")
            continue
        found, flaws = judge(entry.name, entry.unpacked())
        if found in _PACKED:
            yield Flaw("archive", f"{entry.name!a} is an archive in an archive")
        for flaw in flaws:
            yield Flaw(flaw.rule, f"{entry.name!a} {flaw.text}", flaw.excuse)


def _bounded(found: list[Entry]) -> list[Entry]:
    if (total := sum(entry.size for entry in found)) > MOST_UNPACKED:
        raise VerificationError(f"is unpacked to {total} bytes")
    return found
