"""Which words pin a model that somebody else serves, and what is said of those that do not?"""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.component import Component
from lockgate.core.provider import (
    MAX_BYTES,
    Pin,
    ProviderModel,
    left_open,
    missing_pins,
    open_providers,
    parse_provider,
    provider_differences,
)
from lockgate.core.release import Kind, Part
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from tests.world import World, file_digest, key

PINNED = {
    "type": "provider-model/v1",
    "provider": "acme",
    "model": "acme-large",
    "version": "2026-08-07",
    "region": "eu-west-1",
    "routing": "direct",
    "unpinned": {},
}
WHY = "the provider names no versions"
OPEN = {**PINNED, "version": None, "unpinned": {"version": WHY}}


def written(base=PINNED, /, **changes):
    found = {name: value for name, value in {**base, **changes}.items() if value is not ...}
    return json.dumps(found).encode()


def model(base=PINNED, /, **changes):
    return parse_provider(written(base, **changes))


def test_a_model_is_pinned_or_says_why_not():
    assert model() == ProviderModel("acme", "acme-large", {}, "2026-08-07", "eu-west-1", "direct")
    assert [model().lacks(pin) for pin in (Pin.VERSION, Pin.REGION, Pin.ROUTING)] == [None] * 3
    assert model(OPEN).lacks(Pin.VERSION) == f"the provider gives no version pin: {WHY}"
    assert model(snapshot="fp_1").lacks(Pin.SNAPSHOT) is None
    assert model(version=..., unpinned={"version": WHY}) == model(OPEN)
    assert parse_provider(b" \n" + written()) == model()
    assert parse_provider(plain.encode(model(OPEN))) == model(OPEN)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": None}, "version is neither pinned, nor does `unpinned` say why"),
        ({"region": None}, "region is neither pinned"),
        ({"routing": None}, "routing is neither pinned"),
        ({"version": ...}, "version is neither pinned"),
        ({"unpinned": {"version": WHY}}, "version is pinned to '2026-08-07', and called unpinned"),
        ({"unpinned": {"snapshot": WHY}, "snapshot": "fp"}, "snapshot is pinned to 'fp', and called unpinned"),
        ({"unpinned": ...}, "'unpinned' is missing"),
        ({"unpinned": None}, "found NoneType, wanted an object"),
        ({"unpinned": {"provider": WHY}}, "wanted one of version, region, routing, snapshot"),
        ({"version": None, "unpinned": {"version": ""}}, "unpinned.version is one line"),
        ({"version": None, "unpinned": {"version": " "}}, "unpinned.version is one line"),
        ({"version": None, "unpinned": {"version": None}}, "wanted str"),
        ({"version": None, "unpinned": {"version": True}}, "wanted str"),
        ({"version": None, "unpinned": {"version": "two\nlines"}}, "unpinned.version is one line"),
        ({"version": None, "unpinned": {"version": "x" * 401}}, "unpinned.version is one line"),
        ({"provider": None}, "found NoneType, wanted str"),
        ({"provider": ...}, "'provider' is missing"),
        ({"model": ...}, "'model' is missing"),
        ({"provider": ""}, "provider is one line"),
        ({"model": " acme"}, "model is one line"),
        ({"model": "acme\u200b"}, "model is one line"),
        ({"model": "\u0430cme"}, "model has letters that are not ASCII"),
        ({"model": "x" * 201}, "model is one line"),
        ({"version": 2}, "found int, wanted str"),
        ({"version": True}, "found bool, wanted str"),
        ({"version": ["2026-08-07"]}, "found list, wanted str"),
        ({"type": "provider-model/v2"}, "wanted type provider-model/v1"),
        ({"type": ...}, "wanted type provider-model/v1"),
        ({"temperature": "0"}, "unknown member 'temperature'"),
    ],
)
def test_what_leaves_something_open_without_saying_so_is_refused(changes, reason):
    with pytest.raises(VerificationError, match=reason):
        model(**changes)


MOVES = [
    "latest",
    "LATEST",
    "acme:latest",
    "acme-large-latest",
    "v1_latest",
    "default",
    "auto",
    "any",
    "unknown",
    "none",
    "Unpinned",
    "n/a",
    "tbd",
    "current",
    "automatic",
    "*",
    "-",
    "?",
    "...",
    "1.*",
    "^1.2",
    "~1",
    ">=1",
    "<2",
    "1|2",
]


@pytest.mark.parametrize("text", MOVES)
@pytest.mark.parametrize("pin", list(Pin))
def test_a_word_that_moves_is_no_pin(pin, text):
    with pytest.raises(VerificationError, match=f"{pin} .* is no pin"):
        model(**{pin.value: text})


@pytest.mark.parametrize("text", ["1", "2026-08-07", "v1.2", "latest-2026", "autobahn", "any-cast", "default2", "eu"])
def test_words_that_only_look_so_are_pins(text):
    assert model(version=text).version == text


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        written() + b"x",
        written()[:-1] + b',"version":"1"}',
        written().replace(b'"unpinned": {}', b'"unpinned": {"version": "a", "version": "b"}'),
        b" " * MAX_BYTES + written(),
    ],
)
def test_what_is_no_such_document_is_refused(document):
    with pytest.raises(VerificationError):
        parse_provider(document)


@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_junk_raises_nothing_else(junk):
    with pytest.raises(VerificationError):
        parse_provider(junk)


def part_of(kind=Kind.PROVIDER_MODEL):
    return Part(kind, Digest.of(b"dir"), Digest.of(b"bundle"))


def opened(documents, files=("provider.json",), content=None, kind=Kind.PROVIDER_MODEL):
    """Open the documents of a release with a provider model `gpt`, whose signer signed these files."""
    _, manifest = World().submission()
    manifest = replace(manifest, components={"gpt": part_of(kind), "config": part_of(Kind.CONFIG)})
    signed = tuple(file_digest(name, content or written()) for name in files)
    component = Component(signed, Digest.of(b"dir"), Digest.of(b"bundle"), None, key("components").public)
    return open_providers(manifest, {"gpt": component, "config": component}, documents)


def test_a_release_brings_the_document_that_was_signed():
    assert opened({"gpt": written()}) == {"gpt": model()}


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ({"documents": {}}, "no provider.json, or no provider model, named 'gpt'"),
        ({"documents": {"gpt": written(), "config": written()}}, "named 'config'"),
        ({"documents": {"gpt": written(), "": written()}}, "named ''"),
        ({"documents": {"gpt": written()}, "kind": Kind.CONFIG}, "named 'gpt'"),
        ({"documents": {"gpt": written(version="2")}}, "is not the one that was signed"),
        ({"documents": {"gpt": written() + b" "}}, "is not the one that was signed"),
        ({"documents": {"gpt": written()}, "files": ()}, "is one file, provider.json, and nothing else"),
        ({"documents": {"gpt": written()}, "files": ("other.json",)}, "is one file"),
        ({"documents": {"gpt": written()}, "files": ("x/provider.json",)}, "is one file"),
        ({"documents": {"gpt": written()}, "files": ("Provider.json",)}, "is one file"),
        ({"documents": {"gpt": written()}, "files": ("provider.json", "weights.bin")}, "is one file"),
        ({"documents": {"gpt": b"{}"}, "content": b"{}"}, "component gpt: provider.json: .*wanted type"),
    ],
)
def test_and_nothing_else(case, reason):
    with pytest.raises(VerificationError, match=reason):
        opened(**case)


def test_what_is_left_open_is_said_of_each_model():
    found = {
        "b": model(OPEN),
        "a": model(OPEN, region=None, unpinned={"version": WHY, "region": "anycast"}),
        "c": model(),
    }

    assert left_open(found) == (
        f"provider-model a: the provider gives no version pin: {WHY}",
        "provider-model a: the provider gives no region pin: anycast",
        f"provider-model b: the provider gives no version pin: {WHY}",
    )
    assert left_open({"c": model()}) == left_open({}) == ()


def test_only_missing_pins_that_are_wanted_are_reasons():
    found = {"a": model(OPEN), "b": model()}

    assert missing_pins(found, ()) == missing_pins(found, (Pin.REGION, Pin.ROUTING)) == ()
    assert missing_pins(found, (Pin.REGION, Pin.VERSION)) == (
        f"provider-model a: the provider gives no version pin: {WHY}, and the policy wants one",
    )
    assert len(missing_pins(found, (Pin.SNAPSHOT,))) == 2
    assert missing_pins({"a": model(snapshot="fp")}, tuple(Pin)) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"provider": "zenith"}, ["provider changes from 'acme' to 'zenith'"]),
        ({"model": "acme-small"}, ["model changes from 'acme-large' to 'acme-small'"]),
        ({"version": "2026-09-01"}, ["version changes from '2026-08-07' to '2026-09-01'"]),
        ({"region": "us-east-1"}, ["region changes from 'eu-west-1' to 'us-east-1'"]),
        ({"routing": "proxy"}, ["routing changes from 'direct' to 'proxy'"]),
        ({"snapshot": "fp"}, ["snapshot changes from unpinned to 'fp'"]),
        (OPEN, ["version changes from '2026-08-07' to unpinned"]),
    ],
)
def test_every_difference_is_said(changes, said):
    found = provider_differences({"gpt": model()}, {"gpt": model(**changes), "new": model()})

    assert list(found) == [f"provider-model gpt: {sentence}" for sentence in said]


def test_another_reason_is_a_difference():
    other = model(OPEN, unpinned={"version": "they move it"})

    assert provider_differences({"gpt": model(OPEN)}, {"gpt": other}) == (
        "provider-model gpt: version is not pinned for another reason: they move it",
    )
