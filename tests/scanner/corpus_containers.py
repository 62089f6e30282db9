"""Which archives, disguises and programs are there to be refused?"""

import bz2
import gzip
import io
import json
import lzma
import os
import py_compile
import sys
import tarfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from tests.scanner.case import COMMAND, Case, Member, gguf, one, proto, tensors, zipped
from tests.scanner.corpus_pickles import SYSTEM, TEXT

_A, _B = Member("a.txt", b"first\n"), Member("b.txt", b"second\n")


def _stock(*names: str, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, name)
        archive.comment = comment
    return buffer.getvalue()


def _of(name: str, content: bytes, rule: str, why: str):
    return one(name, "model.zip", content, rule, why)


def _again(member: Member, **but) -> Member:
    return Member(**{**{name: getattr(member, name) for name in member.__dataclass_fields__}, **but})


ZIPS = [
    _of("zip-plain", zipped(_A, _B), "archive", "is an archive"),
    _of("zip-two-of-a-name", zipped(Member("m/data.pkl", SYSTEM), Member("m/data.pkl", b"\x80\x02N.")), "zip", "one name"),
    _of("zip-names-differ-in-case", zipped(_A, _again(_A, name="A.TXT")), "zip", "one name"),
    _of("zip-local-name", zipped(_again(_A, local="x.txt"), _B), "zip", "local header says something else"),
    _of("zip-crc", zipped(_again(_A, crc=1)), "archive", "CRC"),
    _of("zip-crc-deflated", zipped(_again(_A, crc=1, method=8)), "archive", "CRC"),
    _of("zip-size", zipped(_again(_A, size=900, method=8)), "archive", "has not the size"),
    _of("zip-prefix", zipped(_A, prefix=b"#!/bin/sh\n" + b"PK\x03\x04"), "zip", "of no member"),
    _of("zip-behind-a-script", zipped(_A, prefix=b"\xff" * 64), "zip", "of no member"),
    _of("zip-suffix", zipped(_A, suffix=b"\n" * 40), "zip", "no end record"),
    _of("zip-comment", _stock("a", comment=b"hello"), "zip", "no end record"),
    _of("zip-encrypted", zipped(_again(_A, flags=1)), "zip", "flags 0x0001"),
    _of("zip-strong-encryption", zipped(_again(_A, flags=0x41)), "zip", "flags"),
    _of("zip-method", zipped(_again(_A, method=12)), "zip", "method 12"),
    _of("zip-overlap", zipped(_A, _again(_A, name="c.txt", local="a.txt", at=0)), "zip", "local header"),
    _of("zip-gap", zipped(_again(_A, gap=SYSTEM), _B), "zip", "of no member"),
    _of("zip-count", zipped(_A, _B, count=1), "zip", "more or fewer"),
    _of("zip-count-more", zipped(_A, count=2), "zip", "central directory is none"),
    _of("zip-traversal", zipped(Member("../../etc/cron.d/x")), "zip", "is called"),
    _of("zip-absolute", zipped(Member("/etc/passwd")), "zip", "is called"),
    _of("zip-backslash", zipped(Member("..\\x")), "zip", "is called"),
    _of("zip-drive", zipped(Member("C:x")), "zip", "is called"),
    _of("zip-link", zipped(_again(_A, mode=0o120777)), "zip", "symbolic link"),
    _of("zip-bomb", zipped(Member("zeros", bytes(40 << 20), method=8)), "zip", "a bomb"),
    _of("zip-descriptor", zipped(_again(_A, flags=8, gap=b"PK\x07\x08" + bytes(12))), "zip", "follows its data"),
    _of("zip-in-zip", zipped(Member("inner.zip", zipped(_A))), "archive", "archive in an archive"),
    _of("zip-empty", zipped(), "archive", "is an archive"),
    _of("zip-with-pickle", zipped(Member("model.pkl", SYSTEM)), "pickle-call", "'os.system'"),
    one("wheel", "plugin-1.0-py3-none-any.whl", _stock("plugin/__init__.py"), "archive", "is an archive"),
    one("jar", "plugin.jar", _stock("META-INF/MANIFEST.MF"), "script", "is called .jar"),
]  # fmt: skip


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("model.pkl")
        member.size = len(SYSTEM)
        archive.addfile(member, io.BytesIO(SYSTEM))
    return buffer.getvalue()


def _text_zlib() -> bytes:
    """Write something that zlib unpacks, and that is text: a stored block whose lengths are letters."""
    for size in range(0xC240, 0xDFFF):
        words = size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")
        whole = b"x^ " + words + b"a" * size
        with suppress(UnicodeDecodeError):
            whole.decode()
            return whole
    return b"x^" + bytes(8)


PACKED = [
    one(f"packed-{name}", file, content, rule, why)
    for name, file, content, rule, why in [
        ("gzip", "model.pkl.gz", gzip.compress(SYSTEM), "compressed", "unpack it"),
        ("bz2", "model.pkl.bz2", bz2.compress(SYSTEM), "compressed", "unpack it"),
        ("xz", "model.pkl.xz", lzma.compress(SYSTEM), "compressed", "unpack it"),
        ("lzma", "model", lzma.compress(SYSTEM, format=lzma.FORMAT_ALONE), "compressed", "unpack it"),
        ("zlib", "model.bin", zlib.compress(SYSTEM * 9), "compressed", "unpack it"),
        ("zlib-in-text", "notes.txt", _text_zlib(), "polyglot", "zlib too"),
        ("bz2-in-text", "notes.txt", b"BZh91AY&SY a text\n", "compressed", "unpack it"),
        ("old-joblib", "notes.txt", b"ZF0x10               x^", "compressed", "unpack it"),
        ("zstd", "model.zst", b"\x28\xb5\x2f\xfd" + os.urandom(40), "compressed", "unpack it"),
        ("lz4", "model.lz4", b"\x04\x22\x4d\x18" + os.urandom(40), "compressed", "unpack it"),
        ("7z", "model.7z", b"7z\xbc\xaf\x27\x1c" + bytes(40), "compressed", "unpack it"),
        ("rar", "model.rar", b"Rar!\x1a\x07\x01\x00" + bytes(40), "compressed", "unpack it"),
        ("cab", "model.cab", b"MSCF\0\0\0\0" + bytes(40), "compressed", "unpack it"),
        ("tar", "model.tar", _tar(), "tar", "unpack it"),
        ("tar-gz", "model.tgz", gzip.compress(_tar()), "compressed", "unpack it"),
        ("nemo", "model.nemo", _tar(), "tar", "unpack it"),
    ]
]

_PE = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(60)
_ELF = Path(sys.executable).read_bytes()[:4096]
_MODEL = proto((1, 8), (7, proto((2, b"g"))))


def _disguised(content: bytes, held: str, *suffixes: str):
    return [
        one(f"disguise-{held}-as-{suffix}", f"model.{suffix}", content, "disguise", f"holds {held}")
        for suffix in suffixes
    ]


DISGUISES = [
    *_disguised(SYSTEM, "pickle", "safetensors", "onnx", "gguf", "npy", "json", "txt", "yaml"),
    *_disguised(TEXT, "pickle", "csv", "md", "toml"),
    *_disguised(_ELF, "native-code", "safetensors", "json"),
    *_disguised(zipped(_A), "archive", "json", "safetensors", "onnx"),
    *_disguised(tensors(), "safetensors", "json", "pt", "gguf"),
    *_disguised(_MODEL, "onnx", "safetensors", "txt"),
    *_disguised(gguf(), "gguf", "onnx"),
    *_disguised(b"{}", "json", "safetensors"),
    *_disguised(b"a text\n", "text", "npy", "json", "onnx"),
    *_disguised(b"", "empty", "safetensors", "json"),
    one("program-as-text", "notes.txt", b"# nothing\n\nimport os\nos.system('x')\n", "python", "begins like a program"),
    one("shell-as-text", "notes.txt", b"#!/bin/sh\nrm -rf x\n", "script", "begins with '#!/bin/sh'"),
]  # fmt: skip


def _bytecode(path: Path) -> None:
    source = path.with_suffix(".source")
    source.write_text("import os\n")
    py_compile.compile(str(source), cfile=str(path))
    source.unlink()


NATIVE = [
    one("elf", "libop.so", _ELF, "native-code", "is machine code"),
    one("elf-without-a-name", "weights", _ELF, "native-code", "is machine code"),
    one("windows", "op.dll", _PE, "native-code", "is machine code"),
    one("mach-o", "op.dylib", b"\xcf\xfa\xed\xfe" + bytes(60), "native-code", "is machine code"),
    one("mach-o-fat", "op", b"\xca\xfe\xba\xbe" + bytes(60), "native-code", "is machine code"),
    one("wasm", "op.wasm", b"\0asm\x01\0\0\0", "native-code", "is machine code"),
    one("static-library", "op.a", b"!<arch>\n" + bytes(60), "native-code", "is machine code"),
    one("bytecode", "model.pyc", _bytecode, "python", "is bytecode"),
    one("bytecode-hidden", "weights.dat", _bytecode, "python", "is bytecode"),
    one("source", "modeling_x.py", b"x = 1\n", "python", "is called .py"),
    one("startup-path-file", "x.pth", b"import os; os.system('x')\n", "disguise", "holds text"),
    one("notebook", "demo.ipynb", b'{"cells": [], "nbformat": 4}', "python", "notebook"),
    one("shell", "run.sh", b"echo\n", "script", "is called .sh"),
    one("javascript", "tokenizer.js", b"require('x')\n", "script", "is called .js"),
    one("unknown-bytes", "weights.bin", bytes(range(256)) * 3, "unknown", "no format that is known"),
    one("image", "logo.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "unknown", "no format that is known"),
    one("pdf", "paper.pdf", b"%PDF-1.4\n%\xe2\xe3\n" + bytes(40), "unknown", "no format that is known"),
    one("tflite", "model.tflite", b"\x1c\0\0\0TFL3" + bytes(40), "unknown", "no format that is known"),
    one("latin-1", "notes.txt", "Grüße".encode("latin-1"), "unknown", "no format that is known"),
    one("utf-16", "notes.txt", "hello".encode("utf-16"), "unknown", "no format that is known"),
    one("escape-codes", "notes.txt", b"\x1b]0;owned\x07 hello\n", "unknown", "no format that is known"),
    one("svg", "logo.svg", b"<svg onload='x()'/>", "markup", "begins with <svg"),
    one("html", "card.md", b"<!DOCTYPE html><script>x()</script>", "markup", "begins with <!DOCTYPE"),
    one("xml", "model.xml", b"<?xml version='1.0'?><net/>", "markup", r"begins with <\?xml"),
    one("link-out", "weights", lambda path: path.symlink_to("/etc/passwd"), "symlink", "out of the folder"),
    one("link-up", "weights", lambda path: path.symlink_to("../../x"), "symlink", "out of the folder"),
    Case(
        "link-inside",
        {"weights": lambda path: path.symlink_to("config.json"), "config.json": b"{}"},
        "symlink",
        "stays in",
    ),
    one("pipe", "weights", os.mkfifo, "special-file", "a pipe"),
    one("hook", ".git/hooks/post-checkout", b"x\n", "name", "lies in .git"),
    one("name-reversed", "model\u202etxt.exe", b"x\n", "name", "a person can read"),
    one("name-newline", "a\nb", b"x\n", "name", "a person can read"),
]


def _keras(layer: object, *more: Member) -> bytes:
    config = json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}).encode()
    members = (Member("config.json", config), Member("metadata.json", b"{}"), Member("model.weights.h5", _H5), *more)
    return zipped(*members)


_H5 = b"\x89HDF\r\n\x1a\n" + bytes(64)
_LAMBDA = {"class_name": "Lambda", "config": {"function": "__lambda__"}, "module": "keras.layers"}
_DENSE = {"class_name": "Dense", "config": {}, "module": "keras.layers"}
_FOREIGN = {"class_name": "system", "config": COMMAND, "module": "os"}


def _graph(operation: str) -> bytes:
    return proto((1, 1), (2, proto((1, b"meta"), (2, proto((1, proto((1, b"n"), (2, operation.encode()))))))))


KERAS = [
    one("keras-plain", "model.keras", _keras(_DENSE), "keras", "is a Keras model"),
    one("keras-lambda", "model.keras", _keras(_LAMBDA), "keras-lambda", "Lambda"),
    one("keras-foreign-module", "model.keras", _keras(_FOREIGN), "keras-lambda", "made by 'os'"),
    one("keras-more", "model.keras", _keras(_DENSE, Member("assets/x.py")), "keras", "no part of a Keras model"),
    one("keras-two-configs", "model.keras", _keras(_DENSE, Member("config.json")), "zip", "one name"),
    one("h5", "model.h5", _H5, "keras", "is HDF5"),
    one("h5-lambda", "model.h5", _H5 + json.dumps(_LAMBDA).encode(), "keras-lambda", "Lambda"),
    one("h5-escaped", "model.h5", _H5 + b'{"class_name": "\\u004cambda"}', "keras-lambda", "hidden by escapes"),
    one(
        "saved-model-table",
        "saved_model.pb",
        _graph("InitializeTableFromTextFileV2"),
        "saved-model-operation",
        "TextFileV2",
    ),
    one("h5-behind-text", "model.h5", b"x" * 512 + _H5, "keras", "begins at 512"),
    one("keras-json", "model.json", json.dumps(_LAMBDA).encode(), "keras-lambda", "Lambda"),
    one("saved-model", "saved_model.pb", _graph("MatMul"), "saved-model", "is a TensorFlow"),
    one("saved-model-python", "saved_model.pb", _graph("PyFunc"), "saved-model-operation", "PyFunc"),
    one("saved-model-reads", "m/saved_model.pb", _graph("ReadFile"), "saved-model-operation", "ReadFile"),
]
CASES = [*ZIPS, *PACKED, *DISGUISES, *NATIVE, *KERAS]
