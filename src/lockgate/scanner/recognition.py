"""Which format is this content? Asked of the bytes, never of the name.

A name may only make it worse: what is called as one format and holds another is a disguise.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from lockgate.scanner.pickle_machine import would_call
from lockgate.scanner.pickle_profile import pickle_kind
from lockgate.scanner.plain_text import read_text
from lockgate.scanner.polyglot import hdf5_at, holds_zip, is_tar, is_zlib
from lockgate.scanner.protobuf import is_onnx, is_saved_model, is_sentencepiece
from lockgate.scanner.safetensors import is_safetensors
from lockgate.scanner.scanned import Flaw
from lockgate.scanner.zipped import zip_kind

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"GGUF", "gguf"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x7fELF", "native-code"),
    (b"\0asm", "native-code"),
    (b"\xfe\xed\xfa\xce", "native-code"),
    (b"\xfe\xed\xfa\xcf", "native-code"),
    (b"\xce\xfa\xed\xfe", "native-code"),
    (b"\xcf\xfa\xed\xfe", "native-code"),
    (b"\xca\xfe\xba\xbe", "native-code"),
    (b"!<arch>\n", "native-code"),
    (b"BC\xc0\xde", "native-code"),
    (b"\x1f\x8b", "compressed"),
    *((b"BZh%d1AY&SY" % level, "compressed") for level in range(1, 10)),
    (b"\xfd7zXZ\0", "compressed"),
    (b"\x28\xb5\x2f\xfd", "compressed"),
    (b"\x04\x22\x4d\x18", "compressed"),
    (b"\x5d\0", "compressed"),
    (b"ZF0x", "compressed"),  # what joblib wrote once
    (b"7z\xbc\xaf\x27\x1c", "compressed"),
    (b"Rar!\x1a\x07", "compressed"),
    (b"MSCF\0\0\0\0", "compressed"),
)

_OPENING = re.compile(rb"[ \t\r\n]*[{\[]")

# What a name promises. Other names promise nothing.
_TEXTS = frozenset({"text", "json", "empty"})
_PROMISES: Mapping[str, frozenset[str]] = {
    ".safetensors": frozenset({"safetensors"}),
    ".gguf": frozenset({"gguf"}),
    ".onnx": frozenset({"onnx"}),
    ".npy": frozenset({"npy"}),
    ".json": frozenset({"json"}),
    ".keras": frozenset({"keras"}),
    ".h5": frozenset({"keras"}),
    ".hdf5": frozenset({"keras"}),
    ".pb": frozenset({"saved-model", "onnx"}),
    ".zip": frozenset({"archive"}),
    ".npz": frozenset({"archive"}),
    ".skops": frozenset({"archive"}),
    ".joblib": frozenset({"pickle", "joblib"}),
    ".so": frozenset({"native-code"}),
    ".dll": frozenset({"native-code"}),
    ".dylib": frozenset({"native-code"}),
    ".exe": frozenset({"native-code"}),
    ".wasm": frozenset({"native-code"}),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".ckpt"), frozenset({"pickle", "joblib", "torch"})),
    **dict.fromkeys(
        (".txt", ".md", ".markdown", ".rst", ".yaml", ".yml", ".toml", ".lock", ".cfg", ".ini", ".csv", ".tsv",
         ".jinja", ".j2", ".jsonl", ".sig", ".pem", ".bpe", ".tiktoken", ".merges"),
        _TEXTS,
    ),
}  # fmt: skip
_PROGRAMS: Mapping[str, str] = {
    **dict.fromkeys((".py", ".pyw", ".pyi", ".pyx", ".pyc", ".pyo", ".ipynb", ".egg", ".whl"), "python"),
    **dict.fromkeys(
        (".sh", ".bash", ".zsh", ".bat", ".cmd", ".ps1", ".vbs", ".js", ".mjs", ".cjs", ".ts", ".pl", ".rb", ".php",
         ".lua", ".r", ".jl", ".jar", ".class", ".command", ".desktop", ".cu", ".cpp", ".c", ".scpt", ".hta", ".lnk"),
        "script",
    ),
}  # fmt: skip
_PATHS = {".git", ".hg", ".svn", "__pycache__"}


def recognise(view: memoryview) -> str:
    """Name the format; `unknown` if it is none that is known."""
    if not len(view):
        return "empty"
    start = bytes(view[:16])
    for prefix, found in _PREFIXES:
        if start.startswith(prefix):
            return zip_kind(view) if found == "zip" else found
    for found, tells in _TELLS.items():
        if tells(view):
            return pickle_kind(view) if found == "pickle" else found
    if read_text(view) is not None:
        return "json" if _OPENING.match(view) else "text"
    return _binary(view)


def _binary(view: memoryview) -> str:
    if is_zlib(view):
        return "compressed"
    if is_saved_model(view):
        return "saved-model"
    if holds_zip(view):
        return zip_kind(view)
    if bytes(view[2:4]) == b"\r\n" and view[1] in (0x0C, 0x0D, 0x0E):
        return "bytecode"
    return "unknown"


def _is_pickle(view: memoryview) -> bool:
    return (view[0] == 0x80 and len(view) > 1 and view[1] <= 5) or would_call(view) is not None


def _is_windows(view: memoryview) -> bool:
    if bytes(view[:2]) != b"MZ" or len(view) < 64:
        return False
    at = int.from_bytes(view[60:64], "little")
    return bytes(view[at : at + 4]) == b"PE\0\0"


def _is_hdf5(view: memoryview) -> bool:
    return hdf5_at(view) is not None


_TELLS: Mapping[str, Callable[[memoryview], bool]] = {
    "safetensors": is_safetensors,
    "native-code": _is_windows,
    "keras": _is_hdf5,
    "tar": is_tar,
    "onnx": is_onnx,
    "sentencepiece": is_sentencepiece,
    "pickle": _is_pickle,
}


def name_flaws(name: str, found: str) -> Iterator[Flaw]:
    """Yield what is wrong with a name, by itself and for a file that holds the format `found`."""
    if not name.isprintable() or any(0x202A <= ord(letter) <= 0x2069 for letter in name):
        yield Flaw("name", f"is not a name that a person can read: {name[:80]!a}")
    if odd := _PATHS & {part.lower() for part in name.split("/")}:
        yield Flaw("name", f"lies in {min(odd)}, where programs look for what they execute")
    suffix = suffix_of(name)
    if (excuse := _PROGRAMS.get(suffix)) is not None:
        yield Flaw(excuse, f"is called {suffix}, as programs are", excuse)
    promised = _PROMISES.get(suffix)
    if found == "numbers" and name.rpartition("/")[2].lower().startswith("pytorch_model"):
        yield Flaw("disguise", "is called as checkpoints of PyTorch are, but holds numbers")
    if promised is not None and found not in promised | {"unknown", "zip"}:
        yield Flaw("disguise", f"is called {suffix}, but holds {found}")


def suffix_of(name: str) -> str:
    """Return how a name ends, in lower case, from its last dot."""
    last = name.rpartition("/")[2]
    return f".{last.rpartition('.')[2].lower()}" if "." in last else ""
