"""Does the machine see every call that a real unpickler makes? Compared with both of Python's, which find only recorders."""

import io
import pickle

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lockgate.scanner.pickle_machine import would_call


class Recorder:
    """Whatever a pickle imports: notes that it was touched, and does nothing."""

    touched = False

    def __new__(cls, *_given):
        return object.__new__(cls)

    def _touch(self, *_given):
        Recorder.touched = True
        return Recorder()

    __call__ = append = extend = add = __setitem__ = __setstate__ = _touch


class Quick(pickle.Unpickler):
    def find_class(self, *_named):
        return Recorder()

    def persistent_load(self, *_named):
        return Recorder()


class Slow(pickle._Unpickler):
    find_class, persistent_load = Quick.find_class, Quick.persistent_load


atoms = st.sampled_from(
    [
        *(bytes([code]) for code in b"(.012NRabdelostu]})\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98"),
        b"cos\nsystem\n", b"ios\nsystem\n", b"cos\nx.y\n", b"c \na b\n", b"\x8c\x02os\x8c\x03abc\x93", b"K\x01", b"I01\n", b"L5L\n",
        b"X\x01\0\0\0a", b"S'a'\n", b"Vab\n", b"C\x02ab", b"\x8a\x01\x05", b"G" + bytes(8), b"F1\n", b"\x80\x04", b"Px\n",
        b"q\x00", b"h\x00", b"p1\n", b"g1\n", b"p+1\n", b"g 1\n", b"p0_1\n", b"r\x02\0\0\0", b"j\x02\0\0\0",
        *(b"\x95%c" % size + bytes(7) for size in (1, 3, 9, 200)), b"\x95" + bytes(8), b"\x95" + (5).to_bytes(8, "little"), b"\x96" + (1).to_bytes(8, "little") + b"a",
    ]
)  # fmt: skip


def is_touched(kind, content):
    Recorder.touched = False
    stream = io.BytesIO(content)
    try:
        while stream.tell() < len(content):
            kind(stream).load()
    except Exception:  # noqa: BLE001 - whatever a hostile pickle raises
        return Recorder.touched
    return Recorder.touched


@given(st.lists(atoms, min_size=2, max_size=24).map(b"".join))
@example(b"}Nb0cos\nsystem\n)R.")
@example(b"]}b0cos\nsystem\n)R.")
@example(b"\x95\x03" + bytes(7) + b"G" + bytes(8) + b"\xff\xffcos\nsystem\n)R.")
@example(b"N.N.cos\nsystem\n)R.")
@example(b"csys\npath\nS'x'\na.")
@example(b"csys\nmodules\n(S'x'\nNu.")
@settings(max_examples=4 * settings().max_examples)
def test_what_a_real_unpickler_calls_is_seen(content):
    if is_touched(Quick, content) or is_touched(Slow, content):
        assert would_call(memoryview(content)) is not None
