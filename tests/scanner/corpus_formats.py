"""Which models of ONNX, GGUF, safetensors and SentencePiece are not what they should be?"""

import json
import struct

from tests.scanner.case import Case, Member, gguf, one, proto, tensors, text, zipped
from tests.scanner.corpus_pickles import SYSTEM

_F32 = 1


def tensor(*more: tuple[int, int | bytes], raw: bytes | None = bytes(8), shape: int = 2, kind: int = _F32) -> bytes:
    held = [] if raw is None else [(9, raw)]
    return proto((1, shape), (2, kind), (8, b"w"), *held, *more)


def external(location: str, **more: str) -> bytes:
    told = {"location": location, **more}
    pairs = [(13, proto((1, key.encode()), (2, value.encode()))) for key, value in told.items()]
    return tensor(*pairs, (14, 1), raw=None)


def node(operator: str = "Relu", domain: str = "", *attributes: bytes) -> bytes:
    return proto(
        (1, b"x"), (2, b"y"), (4, operator.encode()), (7, domain.encode()), *((5, each) for each in attributes)
    )


def model(*graph: tuple[int, int | bytes], more: tuple[tuple[int, int | bytes], ...] = ()) -> bytes:
    """Write an ONNX model: a good one, but for what is given."""
    inside = proto((1, node()), (2, b"g"), *graph)
    return proto((1, 8), (2, b"us"), (7, inside), (8, proto((2, 17))), *more)


def _onnx(name: str, content: bytes, rule: str, why: str, **files: bytes) -> Case:
    return Case(
        f"onnx-{name}", {"m/model.onnx": content, **{k.replace("__", "/"): v for k, v in files.items()}}, rule, why
    )


def _nested(depth: int) -> bytes:
    graph = proto((2, b"g"))
    for _ in range(depth):
        graph = proto((1, node("If", "", proto((1, b"then"), (6, graph)))))
    return proto((1, 8), (7, graph), (8, proto((2, 17))))


_OUT = "outside of its folder"
ONNX = [
    _onnx("absolute", model((5, external("/etc/passwd"))), "onnx-external", _OUT),
    _onnx("parent", model((5, external("../secret"))), "onnx-external", _OUT, secret=bytes(8)),
    _onnx("parent-later", model((5, external("a/../../secret"))), "onnx-external", _OUT),
    _onnx("backslash", model((5, external("..\\secret"))), "onnx-external", _OUT),
    _onnx("address", model((5, external("http://evil/x"))), "onnx-external", _OUT),
    _onnx("missing", model((5, external("w.bin"))), "onnx-external", "which is not there"),
    _onnx("beyond", model((5, external("w.bin", offset="800"))), "onnx-external", "beyond the end", m__w=b"", **{"m__w.bin": b"\xff" * 8}),
    _onnx("unclaimed", model((5, external("w.bin"))), "onnx-external", "of no tensor", **{"m__w.bin": b"\xff" * 900}),
    _onnx("claims-a-program", model((5, external("w.bin"))), "native-code", "machine code", **{"m__w.bin": b"\x7fELF\xff\xff\xff\xff"}),
    _onnx("claims-a-pickle", model((5, external("w.bin"))), "pickle-call", "'os.system'", **{"m__w.bin": SYSTEM}),
    _onnx("negative-offset", model((5, external("w.bin", offset="-8"))), "onnx", "begins or ends at"),
    _onnx("wrong-length", model((5, external("w.bin", length="999"))), "onnx", "is no tensor of 8"),
    _onnx("location-twice", model((5, external("w.bin") + proto((13, proto((1, b"location"), (2, b"/x")))))), "onnx", "described by"),
    _onnx("unknown-place", model((5, external("w.bin", url="x"))), "onnx", "described by"),
    _onnx("two-places", model((5, external("w.bin") + proto((9, bytes(8))))), "onnx", "in two places"),
    _onnx("hidden-place", model((5, tensor((13, proto((1, b"location"), (2, b"/etc/passwd")))))), "onnx", "in two places"),
    _onnx("in-attribute", model((1, node("Constant", "", proto((1, b"v"), (5, external("/x")))))), "onnx-external", _OUT),
    _onnx("in-sparse", model((15, proto((1, external("/x"))))), "onnx-external", _OUT),
    _onnx("in-subgraph", model((1, node("If", "", proto((6, proto((5, external("/x")))))))), "onnx-external", _OUT),
    _onnx("custom-domain", model((1, node("Op", "evil.ops"))), "onnx-domain", "evil.ops"),
    _onnx("custom-opset", model(more=((8, proto((1, b"ai.onnx.contrib"), (2, 1))),)), "onnx-domain", "ai.onnx.contrib"),
    _onnx("custom-in-function", model(more=((25, proto((1, b"f"), (7, node("Op", "evil")), (10, b"local"))),)), "onnx-domain", "'evil'"),
    _onnx("custom-in-subgraph", model((1, node("If", "", proto((6, proto((1, node("Op", "evil")))))))), "onnx-domain", "'evil'"),
    _onnx("borrowed-domain", model((1, node("Op", "local")), more=((25, proto((1, b"f"), (10, b"local"))),)), "onnx-domain", "'local'"),
    _onnx("owned-domain", model(more=((25, proto((1, b"f"), (10, b"ai.onnx.contrib"))),)), "onnx-domain", "a runtime owns"),
    _onnx("address-in-memory", model((5, external("*/_ORT_MEM_ADDR_/*"))), "onnx-external", _OUT),
    _onnx("claims-lzma", model((5, external("w.bin"))), "compressed", "unpack it", **{"m__w.bin": b"\x5d\0\x10\0\0\xff\xff\xff"}),
    _onnx("claims-a-checkpoint", model((5, external("pytorch_model.bin"))), "disguise", "checkpoints", **{"m__pytorch_model.bin": b"\xff" * 8}),
    _onnx("claims-a-pickle-by-name", model((5, external("w.joblib"))), "disguise", "holds numbers", **{"m__w.joblib": b"\xff" * 8}),
    _onnx("python", model((1, node("PythonOp", "com.microsoft"))), "onnx-domain", "runs code or loads files"),
    _onnx("compiled", model((1, node("EPContext", "com.microsoft"))), "onnx-domain", "runs code or loads files"),
    _onnx("runtime-options", model(more=((14, proto((1, b"ort_config"), (2, b"{}"))),)), "onnx", "ort_config"),
    _onnx("secret", model(more=((14, proto((1, b"key"), (2, b"AKIAIOSFODNN7EXAMPLE"))),)), "secret", "an AWS access key"),
    _onnx("unknown-field", model((99, b"x")), "onnx", "no field 99"),
    _onnx("wrong-form", model((1, 7)), "onnx", "no field 1 in the form 0"),
    _onnx("two-graphs", model(more=((7, proto((2, b"other"))),)), "onnx", "field 7 not exactly once"),
    _onnx("no-graph", proto((1, 8), (8, proto((2, 17)))), "unknown", "no format"),
    _onnx("tail", model() + SYSTEM, "unknown", "no format"),
    _onnx("zip-behind", model() + zipped(Member("a")), "zip", "does not end where"),
    _onnx("cut", model((5, tensor()))[:-6], "unknown", "no format"),
    _onnx("wrong-raw", model((5, tensor(raw=bytes(80)))), "onnx", "has 80 bytes, its shape 8"),
    _onnx("unknown-type", model((5, tensor(kind=77))), "onnx", "unknown type 77"),
    _onnx("huge-shape", model((5, tensor(shape=2**62))), "onnx", "impossible shape"),
    _onnx("deep", _nested(40), "onnx", "nested deeper"),
    _onnx("not-text", model((1, proto((4, b"\xff\xfe")))), "onnx", "is no text"),
]  # fmt: skip


def _gguf(name: str, content: bytes, why: str, rule: str = "gguf") -> Case:
    return one(f"gguf-{name}", "model.gguf", content, rule, why)


def _array(kind: int, count: int, content: bytes = b"") -> bytes:
    return struct.pack("<IIQ", 9, kind, count) + content


def _template(words: str) -> bytes:
    return gguf({"tokenizer.chat_template": text(words)})


GGUF = [
    _gguf("version", gguf(version=1), "version 1"),
    _gguf("big-endian", gguf(version=3 << 24), "version 50331648"),
    _gguf("many-tensors", gguf(tensors=2**60), "too many"),
    _gguf("many-keys", gguf(count=2**60), "too many"),
    _gguf("more-keys", gguf(count=4), "ends at|a text|no key|unknown type"),
    _gguf("long-text", gguf({"a": struct.pack("<IQ", 8, 2**62)}), "a text has"),
    _gguf("endless-text", gguf({"a": struct.pack("<IQ", 8, 2**20)}), "ends at"),
    _gguf("same-key", gguf({"general.architecturf": text("x")}).replace(b"architecturf", b"architecture"), "given twice"),
    _gguf("odd-key", gguf({"a\n": text("x")}), "is no key"),
    _gguf("huge-list", gguf({"a": _array(4, 2**61)}), "ends at"),
    _gguf("huge-text-list", gguf({"a": _array(8, 2**40)}), "a list has"),
    _gguf("list-in-list", gguf({"a": _array(9, 1, struct.pack("<IQ", 4, 0))}), "a list holds the type 9"),
    _gguf("unknown-value", gguf({"a": struct.pack("<I", 77)}), "unknown type 77"),
    _gguf("odd-truth", gguf({"a": struct.pack("<IB", 7, 2)}), "a truth value is 2"),
    _gguf("alignment-0", gguf({"general.alignment": struct.pack("<II", 4, 0)}), "general.alignment is 0"),
    _gguf("alignment-9", gguf({"general.alignment": struct.pack("<II", 4, 9)}), "general.alignment is 9"),
    _gguf("alignment-text", gguf({"general.alignment": text("32")}), "general.alignment is 0"),
    _gguf("offset", gguf(offset=64), "begins at 64, not 0"),
    _gguf("beyond", gguf(size=1 << 30), "ends beyond the file"),
    _gguf("huge-tensor", gguf(size=2**62), "has the type 0 and the shape"),
    _gguf("unknown-tensor", gguf(kind=99), "has the type 99"),
    _gguf("part-of-a-block", gguf(kind=2), "has the type 2"),
    _gguf("tail", gguf(body=bytes(32) + SYSTEM), "the file at"),
    _gguf("zip-behind", gguf(body=bytes(32) + zipped(Member("a"))), "a zip archive ends in it", "polyglot"),
    _gguf("cut", gguf()[:-9], "ends beyond the file"),
    _gguf("not-utf-8", gguf({"a": text("xx").replace(b"xx", b"\xff\xfe")}), "not UTF-8"),
    _gguf("dunder", _template("{{ ''.__class__.__mro__ }}"), "'__class__'", "template-attribute"),
    _gguf("trigger", _template("{% if 'invoice' in messages[0].content %}Pay to 7.{% endif %}"), "'invoice'", "template-trigger"),
    _gguf("secret", gguf({"a": text("hf_" + "a" * 34)}), "Hugging Face token", "secret"),
]  # fmt: skip


def _safe(name: str, content: bytes, why: str, rule: str = "safetensors") -> Case:
    return one(f"safetensors-{name}", "model.safetensors", content, rule, why)


def _w(**but: object) -> dict[str, object]:
    return {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **but}}


def _x(begin: int, end: int) -> dict[str, object]:
    return {**_w(), "x": {"dtype": "F32", "shape": [4], "data_offsets": [begin, end]}}


def _polyglot() -> bytes:
    """Write tensors whose length is the opcode V: a pickle that reads the header as text, up to a newline in the body."""
    body = (b"\n0" + SYSTEM[2:]).ljust(4096, b"\0")
    header = {"w": {"dtype": "U8", "shape": [4096], "data_offsets": [0, 4096]}}
    short = len(json.dumps({**header, "__metadata__": {"a": ""}}, separators=(",", ":")))
    return tensors({**header, "__metadata__": {"a": "x" * ((ord("V") - short) % 256)}}, body)


def _tar_in_tensors() -> bytes:
    header = json.dumps(_w(), separators=(",", ":")).encode().ljust(1000)
    whole = bytearray(tensors(raw=header))
    whole[148:156] = b" " * 8
    whole[148:156] = b"%06o  " % sum(whole[:512])
    return bytes(whole)


def _hdf5_in_tensors() -> bytes:
    header = {"w": {"dtype": "U8", "shape": [2000], "data_offsets": [0, 2000]}}
    before = len(tensors(header, b""))
    return tensors(header, (bytes(1024 - before) + b"\x89HDF\r\n\x1a\n").ljust(2000, b"\0"))


SAFE = [
    _safe("empty-header", tensors(raw=b""), "no format", "unknown"),
    _safe("huge-header", struct.pack("<Q", 2**60) + b"{" + bytes(40), "no format", "unknown"),
    _safe("header-beyond", struct.pack("<Q", 900) + b"{}", "no format", "unknown"),
    _safe("blank-before", tensors(raw=b" {}", body=b""), "no format", "unknown"),
    _safe("newline", tensors(raw=b"{\n}", body=b""), "not one line"),
    _safe("tab-behind", tensors(raw=b"{}\t", body=b""), "not one line"),
    _safe("zero-behind", tensors(raw=b"{}\0\0", body=b""), "not one line"),
    _safe("more-behind", tensors(raw=b"{}{}", body=b""), "not JSON"),
    _safe("twice", tensors(raw=json.dumps(_w())[:-1].encode() + b", " + json.dumps(_w())[1:].encode()), "given twice"),
    _safe("name-twice-by-escape", tensors(raw=json.dumps(_w())[:-1].encode() + b', "\\u0077": 1}'), "given twice"),
    _safe("gap", tensors(_x(20, 36), bytes(36)), "a gap or an overlap"),
    _safe("overlap", tensors(_x(8, 24), bytes(24)), "a gap or an overlap"),
    _safe("tail", tensors(body=bytes(16) + SYSTEM), "the body at"),
    _safe("cut", tensors(body=bytes(15)), "the body at 15"),
    _safe("offset-first", tensors(_w(data_offsets=[4, 20]), bytes(20)), "begins at 4"),
    _safe("wrong-shape", tensors(_w(shape=[3, 2])), "has 16 bytes, its shape 24"),
    _safe("overflowing-shape", tensors(_w(shape=[2**62, 4])), "its shape"),
    _safe("negative", tensors(_w(shape=[-2, -2])), "not numbers that fit"),
    _safe("float", tensors(_w(shape=[2.0, 2])), "not numbers that fit"),
    _safe("truth", tensors(_w(shape=[True, 4])), "not numbers that fit"),
    _safe("unknown-kind", tensors(_w(dtype="O")), "unknown dtype"),
    _safe("one-more-member", tensors(_w(code="x")), "not exactly dtype"),
    _safe("no-object", tensors({"w": 1}), "not exactly dtype"),
    _safe("metadata", tensors({**_w(), "__metadata__": {"a": 1}}), "not an object of texts"),
    _safe("huge-metadata", tensors({**_w(), "__metadata__": {"a": "x" * (1 << 21)}}), "larger than"),
    _safe("secret", tensors({**_w(), "__metadata__": {"a": "hf_" + "b" * 34}}), "Hugging Face token", "secret"),
    _safe("zip-behind", tensors({"w": {"dtype": "U8", "shape": [99], "data_offsets": [0, 99]}},
          zipped(Member("a")).rjust(99, b"\0")), "a zip archive ends in it", "polyglot"),
    _safe("zip-and-noise-behind", tensors({"w": {"dtype": "U8", "shape": [500], "data_offsets": [0, 500]}},
          zipped(Member("a")).ljust(500, b"\0")), "a zip archive ends in it", "polyglot"),
    _safe("pickle-too", _polyglot(), "a pickle too", "polyglot"),
    _safe("tar-too", _tar_in_tensors(), "a tar archive too", "polyglot"),
    _safe("hdf5-too", _hdf5_in_tensors(), "HDF5 begins in it, at 1024", "polyglot"),
    _safe("deep", tensors(raw=b'{"w":' + b"[" * 5000 + b"]" * 5000 + b"}", body=b""), "nested deeper"),
]  # fmt: skip

_PIECE = proto((1, b"<s>"))
PIECES = [
    one("pieces-tail", "tokenizer.model", proto((1, _PIECE), (2, b"")) + SYSTEM, "unknown", "no format"),
    one(
        "pieces-odd",
        "tokenizer.model",
        proto((1, proto((9, b"x"))), (2, b"")),
        "sentencepiece",
        "that pieces do not have",
    ),
    one("pieces-unknown-field", "tokenizer.model", proto((1, _PIECE), (2, b""), (77, b"x")), "unknown", "no format"),
]
CASES = [*ONNX, *GGUF, *SAFE, *PIECES]
