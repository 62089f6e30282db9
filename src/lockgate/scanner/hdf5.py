"""Is there code in a file of HDF5? Keras keeps a model's layers in it as JSON text."""

import re
from collections.abc import Iterator

from lockgate.scanner.polyglot import hdf5_at
from lockgate.scanner.scanned import Flaw

_LAMBDA = re.compile(rb"\"class_name\"\s*:\s*\"(?:Lambda|TFOpLambda|__lambda__)\"|__lambda__")


def hdf5_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield what is wrong with HDF5 that begins at byte 0."""
    yield Flaw("keras", "is HDF5, which may hold a Keras model with code", "keras")
    if (at := hdf5_at(view)) != 0:
        yield Flaw("keras", f"HDF5 begins at {at}, behind something else")
    if _LAMBDA.search(view):
        yield Flaw("keras-lambda", "a layer is code: Lambda")
