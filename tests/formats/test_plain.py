from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag, Version


class Colour(StrEnum):
    BLUE = "blue"
    GREEN = "green"


@dataclass(frozen=True, slots=True)
class Shut:
    type: ClassVar[str] = "door.shut/v1"
    by: Name


@dataclass(frozen=True, slots=True)
class Opened:
    type: ClassVar[str] = "door.opened/v1"
    wide: int


@dataclass(frozen=True, slots=True)
class Inner:
    number: int


@dataclass(frozen=True, slots=True)
class Everything:
    text: str
    number: int
    flag: bool
    at: datetime
    digest: Digest
    endpoint: Endpoint
    tag: Tag
    colour: Colour
    level: Literal[1, 2, "many"]
    sure: Literal[True]
    inner: Inner
    names: tuple[Name, ...]
    inners: tuple[Inner, ...]
    labels: Mapping[str, str]
    digests: Mapping[Name, Digest]
    counts: dict[str, int]
    event: Shut | Opened
    maybe_event: Shut | Opened | None
    maybe_digest: Digest | None
    rest: Any
    some: object
    note: str | None = None
    limits: tuple[int, ...] | None = None
    size: int = field(default=3)


names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,9}", fullmatch=True).map(Name)
texts = st.text(max_size=6)
ascii_texts = st.text(st.characters(max_codepoint=127), max_size=6)
numbers = st.integers(-(2**53) + 1, 2**53 - 1)
digests = st.binary(max_size=4).map(Digest.of)
inners = st.builds(Inner, numbers)
events = st.builds(Shut, names) | st.builds(Opened, numbers)
everything = st.builds(
    Everything,
    text=texts,
    number=numbers,
    flag=st.booleans(),
    at=st.datetimes(timezones=st.just(UTC)),
    digest=digests,
    endpoint=st.builds(Endpoint, names, names),
    tag=st.builds(Tag, names, st.builds(Version, *[st.integers(0, 99)] * 3)),
    colour=st.sampled_from(Colour),
    level=st.sampled_from([1, 2, "many"]),
    sure=st.just(value=True),
    inner=inners,
    names=st.lists(names, max_size=3).map(tuple),
    inners=st.lists(inners, max_size=3).map(tuple),
    labels=st.dictionaries(ascii_texts, texts, max_size=3),
    digests=st.dictionaries(names, digests, max_size=3),
    counts=st.dictionaries(ascii_texts, numbers, max_size=3),
    event=events,
    maybe_event=events | st.none(),
    maybe_digest=digests | st.none(),
    rest=st.none() | texts | st.lists(numbers, max_size=2),
    some=st.none() | st.dictionaries(ascii_texts, st.booleans(), max_size=2),
    note=texts | st.none(),
    limits=st.lists(numbers, max_size=2).map(tuple) | st.none(),
    size=numbers,
)

EXAMPLE = Everything(
    text="é",
    number=7,
    flag=True,
    at=datetime(2026, 11, 21, 22, 11, 52, tzinfo=UTC),
    digest=Digest.of(b""),
    endpoint=Endpoint.parse("prod/magika"),
    tag=Tag.parse("magika@1.2.3"),
    colour=Colour.BLUE,
    level=1,
    sure=True,
    inner=Inner(1),
    names=(Name("a"), Name("b")),
    inners=(Inner(1), Inner(2)),
    labels={"x": "y"},
    digests={Name("a"): Digest.of(b"a")},
    counts={"n": 1},
    event=Shut(Name("mara")),
    maybe_event=Opened(2),
    maybe_digest=Digest.of(b"b"),
    rest=[1],
    some={"a": 1},
    note="n",
    limits=(1,),
)


@given(everything)
def test_value_survives_its_bytes(value):
    read = plain.decode(Everything, plain.encode(value))

    assert read == value
    assert [type(event) for event in (read.event, read.maybe_event)] == [type(value.event), type(value.maybe_event)]
    assert type(read.level) is type(value.level)
    assert type(read.colour) is Colour
    assert plain.encode(read) == plain.encode(value)


def test_value_is_written_by_its_hints():
    digest = Digest.of(b"")

    assert plain.to_plain(EXAMPLE) == {
        "text": "é",
        "number": 7,
        "flag": True,
        "at": "2026-11-21T22:11:52.000000Z",
        "digest": f"sha256:{digest.hex}",
        "endpoint": "prod/magika",
        "tag": "magika@1.2.3",
        "colour": "blue",
        "level": 1,
        "sure": True,
        "inner": {"number": 1},
        "names": ["a", "b"],
        "inners": [{"number": 1}, {"number": 2}],
        "labels": {"x": "y"},
        "digests": {"a": str(Digest.of(b"a"))},
        "counts": {"n": 1},
        "event": {"type": "door.shut/v1", "by": "mara"},
        "maybe_event": {"type": "door.opened/v1", "wide": 2},
        "maybe_digest": str(Digest.of(b"b")),
        "rest": [1],
        "some": {"a": 1},
        "note": "n",
        "limits": [1],
        "size": 3,
    }


DOCUMENT: Any = plain.to_plain(EXAMPLE)

WRONG: dict[str, Any] = {  # for each member what it must not be, and where and why it is refused
    "text": ([None, 1, True, [], {}], "everything.text: found .*, wanted str"),
    "number": ([None, "7", True, False, [7], {}], "everything.number: found .*, wanted int"),
    "flag": ([None, 0, 1, "true", []], "everything.flag: found .*, wanted bool"),
    "at": ([None, 0, "2026-11-21", "", {}], "everything.at: "),
    "digest": ([None, 0, Digest.of(b"").hex, "", {"hex": Digest.of(b"").hex}], "everything.digest: "),
    "endpoint": (
        ["prod", None, {"environment": "prod", "name": "magika"}, ["prod", "magika"]],
        "everything.endpoint: ",
    ),
    "tag": (["magika", "magika@1.2", None, 1], "everything.tag: "),
    "colour": (
        ["BLUE", "Blue", "red", "", None, 0, ["blue"], {"blue": 1}],
        "everything.colour: .*wanted one of blue, green",
    ),
    "level": ([True, False, 0, 3, "1", "2", "Many", None, [1]], "everything.level: .*wanted one of 1, 2, many"),
    "sure": ([False, 1, "true", "True", None], "everything.sure: .*wanted one of True"),
    "inner": (
        [None, 1, [], {}, {"number": "1"}, {"number": 1, "x": 1}, {"type": "inner", "number": 1}],
        "everything.inner",
    ),
    "names": ([None, "a", {"a": 1}, ["A"], [1], [["a"]], ["a", None]], r"everything.names"),
    "inners": ([None, {"number": 1}, [1], [{}], [{"number": 1}, {"number": True}]], "everything.inners"),
    "labels": ([None, [], "x", {"x": 1}, {"x": None}, {"x": {}}], "everything.labels"),
    "digests": ([None, [], {"A": str(Digest.of(b""))}, {"": str(Digest.of(b""))}, {"a": "b"}], "everything.digests"),
    "counts": ([None, [], {"n": "1"}, {"n": True}], "everything.counts"),
    "event": (
        [
            None,
            {},
            [],
            "door.shut/v1",
            {"by": "mara"},
            {"type": "door.shut/v2", "by": "mara"},
            {"type": "Shut", "by": "mara"},
            {"type": None, "by": "mara"},
            {"type": ["door.shut/v1"], "by": "mara"},
            {"type": "door.opened/v1", "by": "mara"},
            {"type": "door.shut/v1", "wide": 1},
            {"type": "door.shut/v1", "by": "mara", "wide": 1},
            {"type": "door.shut/v1", "by": "Mara"},
            {"type": "door.opened/v1", "wide": True},
        ],
        "everything.event",
    ),
    "maybe_event": ([{}, False, 0, "", {"type": "x"}], "everything.maybe_event"),
    "maybe_digest": (["", 0, False, [], "sha256:"], "everything.maybe_digest"),
    "note": ([0, False, [], {}], "everything.note: found .*, wanted str"),
    "limits": (["1", 1, ["1"], [None], [True]], "everything.limits"),
    "size": ([None, "3"], "everything.size: found .*, wanted int"),
}


@pytest.mark.parametrize(("member", "value"), [(m, value) for m, (values, _) in WRONG.items() for value in values])
def test_mistyped_member_is_refused_by_name(member, value):
    document = {**DOCUMENT, member: value}

    with pytest.raises(VerificationError, match=f"^{WRONG[member][1]}"):
        plain.from_plain(Everything, document)


def test_each_member_is_spoiled_above():
    assert {*WRONG, "rest", "some"} == DOCUMENT.keys()


@pytest.mark.parametrize("member", sorted(DOCUMENT))
def test_missing_member_is_refused_unless_none_is_its_default(member):
    document = dict(DOCUMENT)
    del document[member]

    if member in ("note", "limits"):
        assert getattr(plain.from_plain(Everything, document), member) is None
    else:
        with pytest.raises(VerificationError, match=f"^everything: member '{member}' is missing"):
            plain.from_plain(Everything, document)


@pytest.mark.parametrize("member", ["extra", "", "Text", "text ", "__class__", "type"])
def test_unknown_member_is_refused(member):
    with pytest.raises(VerificationError, match=f"^everything: unknown member '{member}'"):
        plain.from_plain(Everything, {**DOCUMENT, member: "x"})


@pytest.mark.parametrize("value", [None, [], "", 1, True])
def test_document_that_is_no_object_is_refused(value):
    with pytest.raises(VerificationError, match=r"^everything: found .*, wanted an object"):
        plain.from_plain(Everything, value)


def test_class_with_a_type_wants_it():
    assert plain.from_plain(Opened, {"type": "door.opened/v1", "wide": 1}) == Opened(1)
    for near_miss in ({}, {"type": "door.shut/v1"}, {"type": None}, {"type": 1}):
        with pytest.raises(VerificationError, match=r"^opened: wanted type door\.opened/v1"):
            plain.from_plain(Opened, {**near_miss, "wide": 1})


def test_place_of_a_mistake_is_its_whole_path():
    spoiled: list[tuple[str, Any, str]] = [
        ("inners", [{"number": 1}, {"number": ""}], r"deed\.inners\[1\]\.number: found str"),
        ("digests", {"a": "x"}, r"deed\.digests\.a: not a sha256"),
        ("digests", {"A": "x"}, r"deed\.digests: not a name"),
        ("event", {"type": "door.shut/v1", "by": 1}, r"deed\.event\.by: found int"),
    ]

    for member, value, where in spoiled:
        with pytest.raises(VerificationError, match=f"^{where}"):
            plain.from_plain(Everything, {**DOCUMENT, member: value}, "deed")


@given(st.data())
def test_any_json_is_read_or_refused(data):
    leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
    junk = st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=5
    )
    document = {**DOCUMENT, data.draw(st.sampled_from(sorted(WRONG))): data.draw(junk)}
    try:
        read = plain.from_plain(Everything, document)
    except VerificationError:
        return
    assert plain.to_plain(read) == {"note": None, "limits": None, **document}


def test_decode_refuses_what_is_not_json_or_too_long():
    assert plain.decode(Inner, b' {"number": 1} ') == Inner(1)
    for junk in (b"", b"{", b'{"number":1,"number":1}', b'{"number":1.0}', b"\xff"):
        with pytest.raises(VerificationError):
            plain.decode(Inner, junk)
    with pytest.raises(VerificationError, match="more than the 5"):
        plain.decode(Inner, b'{"number":1}', limit=5)


def bad_hint(hint):
    return dataclass(type("Bad", (), {"__annotations__": {"member": hint}}))


@pytest.mark.parametrize("hint", [list[int], frozenset[int], set[str], float, bytes, dict, list, type(None)])
def test_hint_that_says_nothing_about_json_is_our_bug(hint):
    with pytest.raises(TypeError, match="no form in JSON"):
        plain.from_plain(bad_hint(hint), {"member": 1})


@pytest.mark.parametrize("hint", [tuple[int, str], tuple[int, int]])
def test_tuple_of_fixed_size_is_our_bug(hint):
    with pytest.raises(AssertionError, match="any number of one kind"):
        plain.from_plain(bad_hint(hint), {"member": [1, 1]})


@pytest.mark.parametrize("value", [1.5, b"x", {1, 2}, object()])
def test_value_that_has_no_form_is_our_bug(value):
    with pytest.raises((TypeError, VerificationError)):
        plain.encode(value)
