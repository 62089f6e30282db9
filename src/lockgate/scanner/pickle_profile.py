"""What may a pickle name that somebody excused? The class excuses the format, never what is called in it.

pickle   containers, numbers, NumPy            joblib   … and estimators of scikit-learn
torch    containers, tensors and their kinds
"""

import re
from collections.abc import Iterator, Mapping

from lockgate.scanner.estimators import ESTIMATORS
from lockgate.scanner.pickle_course import Course, Named
from lockgate.scanner.pickle_machine import follow
from lockgate.scanner.scanned import Flaw

TORCH_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # (torch.serialization.MAGIC_NUMBER)
_LEGACY_PICKLES = 5

_BUILTINS = (
    "set", "frozenset", "complex", "bytearray", "slice", "range", "list", "dict", "tuple", "int", "float", "str",
    "bool", "bytes", "object",
)  # fmt: skip
_REBUILT = ("tensor", "tensor_v2", "tensor_v3", "parameter", "qtensor", "sparse_tensor")
_STORED = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
_KINDS = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
_CONTAINERS = {
    "collections.OrderedDict", "collections.defaultdict", "collections.deque", "collections.Counter",
    "datetime.date", "datetime.datetime", "datetime.timedelta", "decimal.Decimal",
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS),
    "_codecs.encode", "copyreg._reconstructor", "copy_reg._reconstructor",
}  # fmt: skip
_NUMPY = {
    *(f"numpy{core}.multiarray.{name}" for core in (".core", "._core") for name in ("_reconstruct", "scalar")),
    *(f"numpy{core}.numeric._frombuffer" for core in (".core", "._core")),
    "numpy.ndarray", "numpy.dtype", "numpy.random.mtrand.RandomState", "numpy.random._pickle.__randomstate_ctor",
    "numpy.random._mt19937.MT19937",
}  # fmt: skip
_TORCH = {
    *(f"torch._utils._rebuild_{name}" for name in _REBUILT),
    *(f"torch.{kind}Storage" for kind in _STORED),
    *(f"torch.{kind}" for kind in _KINDS),
    "torch.storage.UntypedStorage", "torch.serialization._get_layout", "torch.Size", "torch.device",
    "torch.nn.parameter.Parameter",
}  # fmt: skip
_JOBLIB = {
    "joblib.numpy_pickle.NumpyArrayWrapper",
    *(f"scipy.sparse._{kind}.{kind}_{form}" for kind in ("csr", "csc", "coo") for form in ("matrix", "array")),
}
_ALLOWED: Mapping[str, frozenset[str]] = {
    "pickle": frozenset(_CONTAINERS | _NUMPY),
    "joblib": frozenset(_CONTAINERS | _NUMPY | _JOBLIB | ESTIMATORS),
    "torch": frozenset(_CONTAINERS | _NUMPY | _TORCH),
}


def pickle_kind(view: memoryview) -> str:
    """Name whose pickle it is: `torch`, `joblib`, or nobody's."""
    if bytes(view[: len(TORCH_MAGIC)]) == TORCH_MAGIC:
        return "torch"
    named = (each.module.partition(".")[0] for each in follow(view).named)
    return "joblib" if {"joblib", "sklearn"} & set(named) else "pickle"


def pickle_file_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield that it is a pickle, whose, and what it names that nobody excuses."""
    kind = pickle_kind(view)
    yield Flaw(kind, f"is a pickle{'' if kind == 'pickle' else f' of {kind}'}: a program", kind)
    yield from pickle_flaws(view, kind)


def pickle_flaws(view: memoryview, kind: str) -> Iterator[Flaw]:
    """Yield what a pickle names beyond the profile of its kind, and whether it could be followed to its end."""
    at, several = 0, _LEGACY_PICKLES if bytes(view[: len(TORCH_MAGIC)]) == TORCH_MAGIC else 1
    for _ in range(several):
        course = follow(view, at, by_joblib=kind == "joblib")
        yield from _named_flaws(course, kind)
        if kind == "joblib":  # another reader takes the numbers of its arrays for opcodes
            yield from _named_flaws(follow(view, at), kind)
        if course.is_doubtful:
            yield Flaw("pickle-call", "other readers may read it in another way")
        if not course.is_whole:
            yield Flaw("pickle-call", f"cannot be followed beyond byte {course.ended_at}: {course.trouble}")
            return
        at = course.ended_at
    if several == 1 and at != len(view):
        yield Flaw("pickle-call", f"ends at {at}, and goes on until {len(view)}")


def _named_flaws(course: Course, kind: str) -> Iterator[Flaw]:
    for named in dict.fromkeys(course.named):
        if not _is_allowed(named, kind):
            yield Flaw("pickle-call", f"names {str(named)[:100]!a}")
    if None in course.called and kind != "torch":
        yield Flaw("pickle-call", "calls what it computes itself")


def _is_allowed(named: Named, kind: str) -> bool:
    text = str(named)
    if text in _ALLOWED[kind]:
        return True
    is_kind = re.fullmatch(r"(?:bool|int|uint|float|complex)\d*_?|[A-Z][A-Za-z0-9]*DType", named.name)
    return named.module in ("numpy.dtypes", "numpy") and is_kind is not None
