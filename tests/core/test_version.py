"""Which version may a release take? One as far from its neighbours as it differs from them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.release import Contract, Kind, Part, Serve
from lockgate.core.version import Bump, bump_between, check_version, least_bump, predecessor_of, successor_of
from lockgate.errors import DeniedError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Version
from tests.core.dossiers import submission
from tests.world import NOW

V = Version.parse
A, B = Digest.of(b"a"), Digest.of(b"b")
OLD = replace(submission()[2], contract=Contract(("bytes", "text"), ("label", "score"), ("a", "b"), ("t",)))


def components(**changes):
    found = {**OLD.components, **changes}
    return {"components": {name: part for name, part in found.items() if part is not None}}


def contract(**changes):
    return {"contract": replace(OLD.contract, **changes)}


def part(kind, digest=A, bundle=A):
    return Part(Kind(kind), digest, bundle)


WEIGHTS, CONFIG = OLD.components["weights"], OLD.components["config"]
MAJOR = [
    *(contract(**{field: getattr(OLD.contract, field)[1:]}) for field in ("inputs", "outputs", "labels", "tools")),
    contract(inputs=("bytes", "video")),
    {"license": "MIT"},
    {"license": "MIT", **contract(inputs=("bytes", "text", "video"))},
]
MINOR = [
    contract(inputs=("bytes", "text", "video")),
    contract(outputs=("label", "score", "why")),
    contract(labels=("a", "b", "c")),
    contract(tools=("t", "u")),
    components(weights=replace(WEIGHTS, digest=B)),
    components(guard=part("guardrail")),
    components(weights=None),
    components(config=None),
    components(config=replace(CONFIG, kind=Kind.PROMPT)),
    components(weights=replace(WEIGHTS, kind=Kind.CONFIG, digest=B)),
    components(weights=replace(WEIGHTS, kind=Kind.CONFIG)),
    components(weights=None, model=WEIGHTS),
]
PATCH = [
    {},
    {"authors": (Name("eve"),)},
    {"created_at": NOW.replace(year=2027)},
    {"serve": Serve(("other",), {"A": "1"}, A)},
    components(config=replace(CONFIG, digest=B)),
    components(weights=replace(WEIGHTS, bundle=B)),
]
CRITERIA = [
    (Bump[name], change) for name, listed in (("MAJOR", MAJOR), ("MINOR", MINOR), ("PATCH", PATCH)) for change in listed
]
STEPS = {"1.0.1": Bump.PATCH, "1.1.0": Bump.MINOR, "2.0.0": Bump.MAJOR}


@pytest.mark.parametrize(("least", "change"), CRITERIA)
def test_the_difference_demands_the_bump_of_the_table(least, change):
    bump, why = least_bump(OLD, replace(OLD, **change))

    assert bump is least and why


@pytest.mark.parametrize(("least", "change"), CRITERIA)
@pytest.mark.parametrize("version", STEPS)
def test_a_smaller_step_than_the_difference_demands_is_denied(least, change, version):
    new = replace(OLD, version=V(version), **change)

    if STEPS[version] >= least:
        check_version(OLD, new)
    else:
        with pytest.raises(
            DeniedError, match=f"is a {STEPS[version].name} step from magika@1.0.0, but {least.name} is"
        ):
            check_version(OLD, new)


@pytest.mark.parametrize("version", ["1.0.0", "0.9.9", "0.0.1"])
def test_an_equal_or_a_lower_version_is_denied(version):
    with pytest.raises(DeniedError, match=r"is a NONE step from magika@1\.0\.0, but PATCH is owed"):
        check_version(OLD, replace(OLD, version=V(version)))


def test_the_first_release_takes_any_version():
    check_version(None, OLD)


@pytest.mark.parametrize(
    ("old", "new", "bump"),
    [
        ("1.2.3", "1.2.3", "NONE"),
        ("1.2.3", "1.2.2", "NONE"),
        ("1.2.3", "1.1.9", "NONE"),
        ("1.2.3", "0.9.9", "NONE"),
        ("1.2.3", "1.2.4", "PATCH"),
        ("1.2.3", "1.2.10", "PATCH"),
        ("1.2.3", "1.3.0", "MINOR"),
        ("1.2.3", "1.10.3", "MINOR"),
        ("1.2.3", "2.0.0", "MAJOR"),
        ("1.9.9", "10.9.9", "MAJOR"),
    ],
)
def test_the_distance_of_two_versions(old, new, bump):
    assert bump_between(V(old), V(new)) is Bump[bump]


def test_the_reasons_say_what_changed():
    assert least_bump(OLD, replace(OLD, **contract(tools=()), license="MIT"))[1] == (
        "contract narrowed: tool t is gone",
        "licence changed from Apache-2.0 to MIT",
    )
    assert least_bump(OLD, replace(OLD, **components(guard=part("guardrail"), weights=None)))[1] == (
        "component guard was added",
        "component weights was removed",
    )
    assert least_bump(OLD, replace(OLD, **components(weights=replace(WEIGHTS, digest=B))))[1] == (
        "component weights (weights) changed",
    )
    assert least_bump(OLD, replace(OLD, **contract(labels=("a", "b", "c"))))[1] == (
        "contract extended: label c is new",
    )


@pytest.mark.parametrize(
    ("new", "before", "after"),
    [("1.5.0", "1.2.0", "2.0.0"), ("0.1.0", None, "1.0.0"), ("3.0.0", "2.0.0", None), ("1.2.0", "1.0.0", "2.0.0")],
)
def test_a_version_has_a_neighbour_on_each_side(new, before, after):
    existing = [V(text) for text in ("2.0.0", "1.0.0", "1.2.0")]

    assert predecessor_of(V(new), existing) == (V(before) if before else None)
    assert successor_of(V(new), existing) == (V(after) if after else None)


WORDS = st.sets(st.sampled_from("abcd")).map(lambda words: tuple(sorted(words)))
PARTS = st.dictionaries(
    st.sampled_from(["one", "two"]),
    st.builds(part, st.sampled_from(["weights", "config"]), st.sampled_from([A, B])),
    min_size=1,
)
MANIFESTS = st.builds(
    lambda words, parts, license_: replace(OLD, contract=Contract(*words), components=parts, license=license_),
    st.tuples(WORDS, WORDS, WORDS, WORDS),
    PARTS,
    st.sampled_from(["MIT", "Apache-2.0"]),
)


@given(MANIFESTS, MANIFESTS)
def test_the_facts_of_a_difference_are_the_same_from_both_sides(one, other):
    there, back = least_bump(one, other)[0], least_bump(other, one)[0]

    same = (one.contract, one.components, one.license) == (other.contract, other.components, other.license)
    assert (there is Bump.PATCH) == (back is Bump.PATCH)
    assert not same or there is Bump.PATCH
    if one.contract != other.contract or one.license != other.license:
        assert Bump.MAJOR in (there, back)


@given(MANIFESTS, MANIFESTS)
def test_a_major_step_is_always_enough_and_no_step_never(one, other):
    check_version(one, replace(other, version=V("2.0.0")))
    with pytest.raises(DeniedError):
        check_version(one, replace(other, version=one.version))
