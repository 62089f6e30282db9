"""Which pickles execute something? Written opcode by opcode, so that nothing is ever imported."""

import io
import json
import pickle
import struct

import numpy as np

from tests.scanner.case import COMMAND, MARKER, Case, Member, one, zipped


def said(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def call(module: str, name: str, *arguments: str) -> bytes:
    """Write the opcodes of a call with texts as arguments."""
    return f"c{module}\n{name}\n(".encode() + b"".join(said(each) for each in arguments) + b"tR"


def payload(module: str, name: str, *arguments: str) -> bytes:
    return b"\x80\x02" + call(module, name, *arguments) + b"."


SYSTEM = payload("os", "system", COMMAND)
TEXT = f"cos\nsystem\n(S'{COMMAND}'\ntR.".encode()

_CALLS = [
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("os", "popen"), ("os", "execl"), ("os", "spawnlp"),
    ("os", "remove"), ("subprocess", "Popen"), ("subprocess", "check_output"), ("subprocess", "run"),
    ("subprocess", "getoutput"), ("commands", "getoutput"), ("builtins", "eval"), ("builtins", "exec"),
    ("builtins", "compile"), ("builtins", "__import__"), ("builtins", "getattr"), ("builtins", "open"),
    ("__builtin__", "eval"), ("__builtin__", "execfile"), ("importlib", "import_module"), ("runpy", "run_path"),
    ("runpy", "_run_code"), ("pty", "spawn"), ("timeit", "timeit"), ("cProfile", "run"), ("pdb", "run"), ("bdb", "Bdb"),
    ("code", "interact"), ("webbrowser", "open"), ("ctypes", "CDLL"), ("shutil", "copyfile"), ("pathlib", "Path.touch"),
    ("types", "FunctionType"), ("marshal", "loads"), ("pickle", "loads"), ("multiprocessing.util", "spawnv_passfds"),
    ("asyncio", "create_subprocess_shell"), ("socket", "create_connection"), ("urllib.request", "urlopen"),
    ("operator", "attrgetter"), ("operator", "methodcaller"), ("functools", "partial"), ("functools", "reduce"),
    ("numpy.testing._private.utils", "runstring"), ("numpy", "load"), ("torch", "load"), ("torch.hub", "load"),
    ("pip._internal", "main"), ("logging.config", "fileConfig"), ("sklearn.utils", "os.system"), ("site", "main"),
    ("joblib", "load"), ("sympy", "sympify"), ("pandas", "read_pickle"), ("lib2to3.pgen2.pgen", "ParserGenerator"),
    ("distutils.file_util", "write_file"), ("zipimport", "zipimporter"), ("unittest.mock", "_importer"),
]  # fmt: skip
CALLS = [
    one(f"pickle-{module}.{name}", "model.pkl", payload(module, name, COMMAND), "pickle-call", f"'{module}.{name}'")
    for module, name in _CALLS
]


class Reduced:
    def __reduce__(self):
        return print, (COMMAND,)


def _protocols():
    for protocol in range(6):
        name = "builtins" if protocol > 2 else "__builtin__"
        content = pickle.dumps([1, {"a": Reduced()}], protocol=protocol)
        yield one(f"protocol-{protocol}", "model.pickle", content, "pickle-call", f"'{name}.print'")


def _short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


_STACK_GLOBAL = b"\x80\x04" + _short("os") + b"\x94" + _short("system") + b"\x94\x93"
_BIG = b"\x80\x04\x95" + struct.pack("<Q", 2**40)
EVASIONS = [
    *_protocols(),
    one("no-stop", "model.pkl", SYSTEM[:-1], "pickle-call", "'os.system'"),
    one("garbage-behind", "model.pkl", SYSTEM + b"\xff" * 40, "pickle-call", "goes on until"),
    one("second-pickle", "model.pkl", b"\x80\x02N." + SYSTEM, "pickle-call", "goes on until"),
    one("broken-behind-call", "model.pkl", SYSTEM[:-1] + b"\xff\xff", "pickle-call", "'os.system'"),
    one("stack-global", "model.pkl", _STACK_GLOBAL + _short(COMMAND) + b"\x85R.", "pickle-call", "'os.system'"),
    one("memoized-name", "model.pkl", b"\x80\x04" + _short("os") + b"\x940" + _short("system") + b"\x940h\x00h\x01\x93"
        + _short(COMMAND) + b"\x85R.", "pickle-call", "'os.system'"),
    one("computed-name", "model.pkl", b"\x80\x04" + call("builtins", "str", "os") + _short("system") + b"\x93)R.",
        "pickle-call", "'?.system'"),
    one("inst", "model.pkl", b"(" + said(COMMAND) + b"ios\nsystem\n.", "pickle-call", "'os.system'"),
    one("obj", "model.pkl", b"(cos\nsystem\n" + said(COMMAND) + b"o.", "pickle-call", "'os.system'"),
    one("newobj-ex", "model.pkl", b"\x80\x04cos\nsystem\n" + said(COMMAND) + b"\x85}\x92.", "pickle-call", "'os.system'"),
    one("extension-registry", "model.pkl", b"\x80\x02\x82\x01)R.", "pickle-call", "copyreg.extension_1"),
    one("lying-frame", "model.pkl", _BIG + SYSTEM[2:], "pickle-call", "'os.system'"),
    one("many-pops", "model.pkl", b"\x80\x02" + b"N0" * 3000 + SYSTEM[2:], "pickle-call", "'os.system'"),
    one("text-protocol", "notes", TEXT, "pickle-call", "'os.system'"),
    one("text-in-txt", "vocab.txt", TEXT, "pickle-call", "'os.system'"),
    one("text-in-md", "README.md", TEXT, "disguise", "holds pickle"),
    one("no-protocol", "weights.bin", SYSTEM[2:], "pickle-call", "'os.system'"),
    one("build-of-module", "model.pkl", b"\x80\x02cos\nenviron\n}" + said("A") + said("b") + b"sb.", "pickle-call",
        "'os.environ'"),
    one("append-to-import", "notes.txt", b"csys\npath\nS'/tmp/x'\na", "pickle-call", "'sys.path'"),
    one("item-of-import", "notes.txt", b"cos\nenviron\nS'A'\nS'b'\ns", "pickle-call", "'os.environ'"),
    one("items-of-import", "notes.txt", b"csys\nmodules\n(S'json'\nNu", "pickle-call", "'sys.modules'"),
    one("add-to-import", "notes.bin", b"\x80\x04cx\ny\n(N\x90", "pickle-call", "'x.y'"),
    one("across-a-frame", "weights.bin", b"\x95\x03" + bytes(7) + b"G" + bytes(8) + b"\xff\xff" + TEXT, "pickle-call", "another way"),
    one("frame-in-a-frame", "weights.bin", b"\x95\x20" + bytes(7) + b"\x95\x02" + bytes(7) + TEXT, "pickle-call", "another way"),
    one("state-none", "pytorch_model.bin", b"}Nb0" + TEXT, "pickle-call", "'os.system'"),
    *(one(f"memo-number-{n}", "notes.txt", b"Np%b\n0" % number + TEXT, "pickle-call", "'os.system'")
      for n, number in enumerate([b"+5", b"1_0", b"0000000000005", b" 5 "])),
    one("memo-number-long", "notes.txt", b"Np" + b"0" * 5_000 + b"\n0" + TEXT, "pickle", "is a pickle"),
    one("memo-got", "notes.txt", f"cos\nsystem\np+7\n0g 7\n(S'{COMMAND}'\ntR.".encode(), "pickle-call", "'os.system'"),
    one("state-of-nothing", "notes.txt", b"I1\n}b0" + TEXT, "pickle-call", "'os.system'"),
    one("endless", "notes.txt", b"N0" * 150_000 + TEXT, "pickle-call", "'os.system'"),
    one("many-pickles", "notes.txt", b"N." * 2_000 + TEXT, "pickle", "is a pickle"),
    one("harmless-but-a-pickle", "model.pkl", pickle.dumps({"a": [1, 2]}), "pickle", "is a pickle"),
    one("tabs-in-name", "a.pkl", b"cos\nsystem\n(Vtouch\ntR.", "pickle-call", "'os.system'"),
]  # fmt: skip

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}." + SYSTEM
TORCH = [
    one("torch-zip", "pytorch_model.bin", zipped(Member("archive/data.pkl", SYSTEM), Member("archive/version", b"3\n")),
        "pickle-call", "'os.system'"),
    one("torch-harmless", "model.pt", zipped(Member("archive/data.pkl", pickle.dumps({}, protocol=2))), "torch",
        "is a PyTorch checkpoint"),
    one("torch-legacy", "model.pth", _LEGACY, "pickle-call", "'os.system'"),
    one("torchscript", "model.pt", zipped(Member("m/data.pkl", b"\x80\x02N."), Member("m/code/__torch__.py", b"x")),
        "torch", "TorchScript"),
    one("torch-with-more", "model.pt", zipped(Member("m/data.pkl", b"\x80\x02N."), Member("m/run.sh", b"x")), "torch",
        "no part of a checkpoint"),
]  # fmt: skip


def _npy(value) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


def npy(header: str, body: bytes = b"") -> bytes:
    raw = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + body


_GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
NUMPY = [
    one("npy-object", "a.npy", _npy(np.array([{"a": 1}], dtype=object)), "npy-object", "a pickle follows"),
    one("npy-object-payload", "a.npy", npy(_GOOD.replace("<f4", "|O"), SYSTEM), "npy-object", "a pickle follows"),
    one("npy-object-field", "a.npy", npy(_GOOD.replace("'<f4'", "[('a', '<f4'), ('b', '|O')]"), bytes(24)), "npy-object",
        "a pickle follows"),
    one("npy-expression", "a.npy", npy(f"__import__('os').system('{COMMAND}')"), "npy", "no literal"),
    one("npy-expression-in-shape", "a.npy", npy(_GOOD.replace("(2,)", "(2, 1+1)"), bytes(8)), "npy", "no literal"),
    one("npy-two-names", "a.npy", npy(_GOOD.replace("}", "'shape': (1,)}"), bytes(8)), "npy", "given twice"),
    one("npy-tail", "a.npy", npy(_GOOD, bytes(8) + SYSTEM), "npy", "bytes, its shape 8"),
    one("npy-short", "a.npy", npy(_GOOD, bytes(7)), "npy", "has 7 bytes"),
    one("npy-cut", "a.npy", npy(_GOOD)[:8], "npy", "within its first words"),
    one("npy-huge-header", "a.npy", npy(_GOOD + " " * 20_000, bytes(8)), "npy", "header of"),
    one("npy-version", "a.npy", npy(_GOOD, bytes(8)).replace(b"\x01\x00", b"\x09\x00", 1), "npy", "version 9.0"),
    one("npz-object", "a.npz", zipped(Member("a.npy", _npy(np.array([{}], dtype=object)))), "npy-object", "pickle"),
    one("npz", "a.npz", zipped(Member("a.npy", npy(_GOOD, bytes(8)))), "archive", "is an archive"),
]  # fmt: skip


def _joblib(value, **how) -> bytes:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(value, buffer, **how)
    return buffer.getvalue()


def _estimators() -> list[Case]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import FunctionTransformer

    fitted = LogisticRegression().fit(np.eye(2), [0, 1])
    schema = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": COMMAND}
    return [
        one("joblib-estimator", "model.joblib", _joblib(fitted), "joblib", "is a pickle of joblib"),
        one("joblib-function", "model.joblib", _joblib(FunctionTransformer(print)), "pickle-call", "'builtins.print'"),
        one("joblib-zlib", "model.joblib", _joblib(fitted, compress=("zlib", 3)), "compressed", "unpack it"),
        one("joblib-gzip", "model.joblib", _joblib(fitted, compress=("gzip", 3)), "compressed", "unpack it"),
        one("joblib-xz", "model.joblib", _joblib(fitted, compress=("xz", 3)), "compressed", "unpack it"),
        one("joblib-lzma", "model.joblib", _joblib(fitted, compress=("lzma", 3)), "compressed", "unpack it"),
        one("joblib-bz2", "model.joblib", _joblib(fitted, compress=("bz2", 3)), "compressed", "unpack it"),
        one("sklearn-pickle", "model.pkl", pickle.dumps(fitted), "joblib", "is a pickle of joblib"),
        one("skops", "model.skops", zipped(Member("schema.json", json.dumps(schema).encode())), "repository", "skops"),
    ]


CASES = [*CALLS, *EVASIONS, *TORCH, *NUMPY, *_estimators()]
assert MARKER in COMMAND
