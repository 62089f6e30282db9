"""Is there code in a file of HDF5? Keras keeps a model's layers in it as JSON text."""

import re
from collections.abc import Iterator

from lockgate.scanner.polyglot import hdf5_at
from lockgate.scanner.scanned import Flaw

_LAMBDA = re.compile(rb"\"class_name\"\s*:\s*\"(?:Lambda|TFOpLambda|__lambda__)\"|__lambda__")

_HIDDEN = re.compile(
    rb"\\u00[0-9a-fA-F]{2}|TorchModuleWrapper|FlaxLayer|JaxLayer|TFSMLayer|__bytes__|StringLookup|IntegerLookup"
    rb"|TextVectorization"
)


def hdf5_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield what is wrong with HDF5 that begins at byte 0."""
    yield Flaw("keras", "is HDF5, which may hold a Keras model with code", "keras")
    if (at := hdf5_at(view)) != 0:
        yield Flaw("keras", f"HDF5 begins at {at}, behind something else")
    if _HIDDEN.search(view):
        yield Flaw("keras-lambda", "the names of its layers are hidden by escapes, or a layer reads files or a pickle")
    if _LAMBDA.search(view):
        yield Flaw("keras-lambda", "a layer is code: Lambda")
