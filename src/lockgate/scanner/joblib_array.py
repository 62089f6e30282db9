"""How many bytes of numbers follow a description of joblib's? They stand in the middle of its pickle, as they are.

(joblib.numpy_pickle.NumpyArrayWrapper) After the description: one byte that says how far to the next multiple of an
alignment, that many bytes, then the numbers. An array of objects is a pickle in a pickle, which nobody follows here.
"""

import re
from collections.abc import Mapping
from math import prod

_KIND = re.compile(r"[<>|=]?[biufcSUVmM]\d{1,9}|\?")


def is_padded(state: Mapping[object, object]) -> bool:
    """Tell whether the numbers are aligned."""
    return isinstance(state.get("numpy_array_alignment_bytes"), int)


def array_size(state: Mapping[object, object], kind: object) -> int | None:
    """Return how many bytes the numbers have; None if that cannot be said."""
    shape = state.get("shape")
    if not isinstance(shape, tuple) or not isinstance(kind, str) or not _KIND.fullmatch(kind):
        return None
    sizes = [size for size in shape if isinstance(size, int)]
    letters = kind.lstrip("<>|=")
    each = (int(letters[1:]) if letters[1:] else 1) * (4 if letters[0] == "U" else 1)
    each = 8 if letters[0] in "mM" else each
    return prod(sizes) * each if len(sizes) == len(shape) and min(sizes, default=0) >= 0 else None
