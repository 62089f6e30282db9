"""What would unpickling these bytes call? Walked, never done.

The machine follows the opcodes as CPython's does (pickletools.py), with values that it knows by kind only: what was
named, what was called, texts and numbers. Where it is in doubt it goes on, so that it sees all that a real one could
reach; it stops at the first byte that a real one would stop at.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from lockgate.scanner.joblib_array import array_size, is_padded
from lockgate.scanner.pickle_course import Called, Course, Named

MOST_STEPS = 10_000_000
_ENOUGH_STEPS = 200_000  # no file of another format goes on for so long
_LONGEST_NUMBER = 4_000


def follow(view: memoryview, start: int = 0, most: int = MOST_STEPS, *, by_joblib: bool = False) -> Course:
    """Follow one pickle from `start` on, for at most so many steps; joblib passes over numbers in the middle of it."""
    machine = _Machine(view, start, by_joblib=by_joblib)
    machine.run(most)
    return machine.course


def would_call(view: memoryview) -> Course | None:
    """Return how these bytes call something when they are unpickled, as one pickle or several in a row; None: never."""
    at, left = 0, _ENOUGH_STEPS
    while True:
        course = follow(view, at, left)
        if course.called or course.is_doubtful:
            return course
        if not course.is_whole or course.ended_at == len(view):
            return None
        at, left = course.ended_at, left - course.steps


class _EndError(Exception):
    """A real machine would stop here."""


Step: TypeAlias = "Callable[[_Machine], None]"


class _Machine:
    def __init__(self, view: memoryview, start: int, *, by_joblib: bool) -> None:
        self.view, self.at, self.by_joblib = view, start, by_joblib
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.course = Course()
        self.stopped, self.frame_ends_at = False, 0

    def run(self, most: int) -> None:
        try:
            for self.course.steps in range(1, most + 1):
                step = _STEPS.get(self.take(1)[0])
                if step is None:
                    raise _EndError("no opcode")
                step(self)
                if self.stopped:
                    self.course.is_whole = True
                    break
            else:
                self.course.is_doubtful, self.course.trouble = True, f"more than {most} steps"
        except _EndError as e:
            self.course.trouble = str(e)
        self.course.ended_at = self.at

    def take(self, size: int) -> memoryview:
        if size < 0 or self.at + size > len(self.view):
            raise _EndError("ends too early")
        self.move(self.at + size)
        return self.view[self.at - size : self.at]

    def move(self, to: int) -> None:
        """Go on to a byte; what crosses the end of a frame is read elsewhere by other readers."""
        if self.at < self.frame_ends_at < to:
            self.course.is_doubtful = True
        self.at = to

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self) -> str:
        found = _NEWLINE.search(self.view, self.at)
        if found is None:
            raise _EndError("a line without an end")
        text = bytes(self.view[self.at : min(found.start(), self.at + _LONGEST_NUMBER)]).decode("latin-1")
        self.move(found.end())
        return text

    def text(self, size: int) -> str:
        piece = self.take(size)
        return bytes(piece[:1000]).decode("utf-8", "replace")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise _EndError("nothing on the stack")
        return self.stack.pop()

    def top(self) -> object:
        self.push(value := self.pop())
        return value

    def since_mark(self) -> list[object]:
        if not self.marks:
            raise _EndError("no mark")
        at = self.marks.pop()
        found = self.stack[at:]
        del self.stack[at:]
        return found

    def name(self, module: object, name: object) -> None:
        found = Named(module if isinstance(module, str) else "?", name if isinstance(name, str) else "?")
        self.course.named.append(found)
        self.push(found)

    def touch(self, target: object) -> None:
        """Note that something is put into what was imported or made: its own methods are called."""
        if isinstance(target, Named | Called | _Unknown):
            what = target.what if isinstance(target, Called) else target
            self.course.called.append(what if isinstance(what, Named) else None)

    def call(self, what: object, arguments: object = None) -> None:
        if not isinstance(what, Named | Called | _Unknown):
            raise _EndError("a call of what cannot be called")
        self.course.called.append(what if isinstance(what, Named) else None)
        self.push(Called(what if isinstance(what, Named) else None, arguments))


class _Unknown:
    """A value of which nothing is known."""


_UNKNOWN = _Unknown()
_ARRAY = Named("joblib.numpy_pickle", "NumpyArrayWrapper")
_NEWLINE = re.compile(rb"\n")


def _pushes(value: object) -> Step:
    return lambda machine: machine.push(value)


def _container(machine: _Machine) -> None:
    machine.push(list[object]())


def _reads(size: int, *, signed: bool = False) -> Step:
    return lambda machine: machine.push(machine.number(size, signed=signed))


def _reads_text(size: int) -> Step:
    return lambda machine: machine.push(machine.text(machine.number(size)))


def _reads_line(machine: _Machine) -> None:
    machine.push(machine.line().strip("'\""))


def _reads_number_line(machine: _Machine) -> None:
    line = machine.line().strip().removesuffix("L")
    machine.push(int(line) if line.isascii() and line.lstrip("-").isdecimal() and len(line) < 20 else 0)


def _reads_long(size: int) -> Step:
    def step(machine: _Machine) -> None:
        piece = machine.take(machine.number(size))
        machine.push(int.from_bytes(piece[:16], "little", signed=True))

    return step


def _skips(size: int) -> Step:
    def step(machine: _Machine) -> None:
        machine.take(size)

    return step


def _frame(machine: _Machine) -> None:
    size = machine.number(8)
    if machine.at - 9 < machine.frame_ends_at:
        machine.course.is_doubtful = True
    machine.frame_ends_at = machine.at + size


def _float(machine: _Machine) -> None:
    machine.take(8)
    machine.push(0.0)


def _mark(machine: _Machine) -> None:
    machine.marks.append(len(machine.stack))


def _stop(machine: _Machine) -> None:
    machine.pop()
    machine.stopped = True


def _pop(machine: _Machine) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.pop()


def _pop_mark(machine: _Machine) -> None:
    machine.since_mark()


def _dup(machine: _Machine) -> None:
    machine.push(machine.top())


def _tuple(size: int) -> Step:
    def step(machine: _Machine) -> None:
        machine.push(tuple([machine.pop() for _ in range(size)][::-1]))

    return step


def _of_mark(make: Callable[[Sequence[object]], object]) -> Step:
    return lambda machine: machine.push(make(machine.since_mark()))


def _put(read: Callable[[_Machine], int]) -> Step:
    def step(machine: _Machine) -> None:
        machine.memo[read(machine)] = machine.top()

    return step


def _get(read: Callable[[_Machine], int]) -> Step:
    def step(machine: _Machine) -> None:
        number = read(machine)
        if number not in machine.memo:
            raise _EndError("nothing in the memo")
        machine.push(machine.memo[number])

    return step


def _numbered(machine: _Machine) -> int:
    start = machine.at
    line = machine.line()
    if machine.at - start > _LONGEST_NUMBER:
        machine.course.is_doubtful = True
        raise _EndError("a number without an end")
    try:
        return int(line)
    except ValueError as e:
        raise _EndError("no number of a memo") from e


def _memoize(machine: _Machine) -> None:
    machine.memo[len(machine.memo)] = machine.top()


def _append(machine: _Machine) -> None:
    machine.pop()
    machine.touch(machine.top())


def _adds(machine: _Machine) -> None:
    machine.since_mark()
    machine.touch(machine.top())


def _set_item(machine: _Machine) -> None:
    value, name = machine.pop(), machine.pop()
    machine.touch(machine.top())
    _store(machine.top(), [name, value])


def _set_items(machine: _Machine) -> None:
    given = machine.since_mark()
    machine.touch(machine.top())
    _store(machine.top(), given)


def _store(target: object, given: Sequence[object]) -> None:
    if isinstance(target, dict):
        target.update(_pairs(given))


def _pairs(given: Sequence[object]) -> dict[object, object]:
    return {name: value for name, value in zip(given[::2], given[1::2], strict=False) if isinstance(name, str | int)}


def _empty_dict(machine: _Machine) -> None:
    machine.push(dict[object, object]())


def _global(machine: _Machine) -> None:
    module = machine.line()
    machine.name(module, machine.line())


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.name(module, name)


def _extension(size: int) -> Step:
    def step(machine: _Machine) -> None:
        machine.push(found := Named("copyreg", f"extension_{machine.number(size)}"))
        machine.course.named.append(found)

    return step


def _inst(machine: _Machine) -> None:
    module = machine.line()
    machine.name(module, machine.line())
    what = machine.pop()
    machine.call(what, tuple(machine.since_mark()))


def _obj(machine: _Machine) -> None:
    given = machine.since_mark()
    if not given:
        raise _EndError("nothing to call")
    machine.call(given[0], tuple(given[1:]))


def _reduce(machine: _Machine) -> None:
    arguments, what = machine.pop(), machine.pop()
    machine.call(what, arguments)


def _new_object_with_names(machine: _Machine) -> None:
    machine.pop()
    _reduce(machine)


def _build(machine: _Machine) -> None:
    state, target = machine.pop(), machine.pop()
    machine.touch(target)  # nothing becomes of it where there is no state to take
    machine.push(Called(target.what, target.arguments, state) if isinstance(target, Called) else target)
    if machine.by_joblib and isinstance(target, Called) and target.what == _ARRAY and isinstance(state, dict):
        _pass_array(machine, state)


def _pass_array(machine: _Machine, state: dict[object, object]) -> None:
    """Pass over the numbers that joblib writes into the middle of a pickle."""
    kind = state.get("dtype")
    given = kind.arguments if isinstance(kind, Called) else None
    size = array_size(state, given[0] if isinstance(given, tuple) and given else None)
    if size is None:
        raise _EndError("an array of which nobody says how long it is")
    if is_padded(state):
        machine.take(machine.number(1))
    machine.take(size)


def _persistent_line(machine: _Machine) -> None:
    machine.line()
    machine.push(_UNKNOWN)


def _persistent(machine: _Machine) -> None:
    machine.pop()
    machine.push(_UNKNOWN)


def _read_only(machine: _Machine) -> None:
    machine.top()


def _one(machine: _Machine) -> int:
    return machine.number(1)


def _four(machine: _Machine) -> int:
    return machine.number(4)


_STEPS: Mapping[int, Step] = {
    ord("("): _mark, ord("."): _stop, ord("0"): _pop, ord("1"): _pop_mark, ord("2"): _dup,
    ord("F"): _reads_number_line, ord("I"): _reads_number_line, ord("L"): _reads_number_line,
    ord("J"): _reads(4, signed=True), ord("K"): _reads(1), ord("M"): _reads(2), ord("N"): _pushes(None),
    ord("P"): _persistent_line, ord("Q"): _persistent, ord("R"): _reduce,
    ord("S"): _reads_line, ord("V"): _reads_line, ord("T"): _reads_text(4), ord("U"): _reads_text(1),
    ord("X"): _reads_text(4), ord("a"): _append, ord("b"): _build, ord("c"): _global, ord("d"): _of_mark(_pairs),
    ord("}"): _empty_dict, ord("e"): _adds, ord("g"): _get(_numbered), ord("h"): _get(_one), ord("i"): _inst,
    ord("j"): _get(_four), ord("l"): _of_mark(list), ord("]"): _container, ord("o"): _obj, ord("p"): _put(_numbered),
    ord("q"): _put(_one), ord("r"): _put(_four), ord("s"): _set_item, ord("t"): _of_mark(tuple), ord(")"): _tuple(0),
    ord("u"): _set_items, ord("G"): _float, ord("B"): _reads_text(4), ord("C"): _reads_text(1),
    0x80: _skips(1), 0x81: _reduce, 0x82: _extension(1), 0x83: _extension(2), 0x84: _extension(4),
    0x85: _tuple(1), 0x86: _tuple(2), 0x87: _tuple(3), 0x88: _pushes(value=True), 0x89: _pushes(value=False),
    0x8A: _reads_long(1), 0x8B: _reads_long(4), 0x8C: _reads_text(1), 0x8D: _reads_text(8), 0x8E: _reads_text(8),
    0x8F: _container, 0x90: _adds, 0x91: _of_mark(list), 0x92: _new_object_with_names, 0x93: _stack_global,
    0x94: _memoize, 0x95: _frame, 0x96: _reads_text(8), 0x97: _pushes(_UNKNOWN), 0x98: _read_only,
}  # fmt: skip
