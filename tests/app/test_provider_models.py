"""How does a model that somebody else serves go through the gate?"""

from dataclasses import replace

import pytest

from lockgate.app.activate import assess
from lockgate.app.issue_passport import export, passport_for, passport_of
from lockgate.app.register import register
from lockgate.core.decision import decision_of, open_decision, sign_decision
from lockgate.core.passport import parse_passport
from lockgate.core.provider import Pin
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from tests.app.test_adopt import adopt
from tests.core.dossiers import ruling
from tests.core.test_provider import OPEN, WHY, model, written
from tests.world import PROD, key

LEFT_OPEN = f"provider-model provider-model: the provider gives no version pin: {WHY}"


def test_what_is_not_pinned_is_said_by_record_decision_and_passport(world):
    world.serve(hosted=written(OPEN))

    record = world.record("magika@1.0.0")
    assert world.memory.document(record.providers["provider-model"]) == written(OPEN)
    admission = world.admit()
    assert admission.permit.providers == {"provider-model": model(OPEN)}
    assert admission.decision.providers == {"provider-model": model(OPEN)}
    assert admission.decision.unpinned == (LEFT_OPEN,)


def test_a_release_without_one_says_nothing(world):
    world.serve()

    assert world.record("magika@1.0.0").providers is None
    assert passport_for(world.installation, PROD).providers is None
    assert (world.admit().decision.providers, world.admit().decision.unpinned) == (None, None)


def told(world, **changes):
    found = replace(passport_for(world.installation, PROD), **changes)
    return parse_passport(plain.encode(found))


@pytest.mark.parametrize(
    ("providers", "reason"),
    [
        (None, "no provider.json"),
        ({}, "no provider.json"),
        ({"provider-model": written().decode()}, "not the one that was signed"),
        ({"provider-model": written(OPEN).decode(), "weights": written().decode()}, "named 'weights'"),
    ],
)
def test_a_passport_with_another_document_is_refused_by_a_host(world, providers, reason):
    world.serve(hosted=written(OPEN))

    with pytest.raises(DeniedError, match=reason):
        world.admit(told(world, providers=providers))


@pytest.mark.parametrize(
    ("providers", "reason"),
    [
        (None, "no provider.json"),
        ({"provider-model": written().decode()}, "not the one that was signed"),
        ({"provider-model": written(OPEN).decode(), "config": "{}"}, "named 'config'"),
    ],
)
def test_a_registry_takes_no_release_without_the_document_that_was_signed(world, providers, reason):
    submitted, manifest = world.submission(hosted=written(OPEN))
    said = world.say("alice", "release.register", manifest.tag, after=Digest.of(plain.encode(manifest)))

    with pytest.raises(VerificationError, match=reason):
        register(world.installation, replace(submitted, providers=providers), said, world.now)


def test_nor_one_that_leaves_something_open_without_saying_so(world):
    with pytest.raises(VerificationError, match="neither pinned"):
        world.register(hosted=written(version=None))


@pytest.mark.parametrize(("pins", "allowed"), [((), True), ((Pin.REGION,), True), ((Pin.REGION, Pin.VERSION), False)])
def test_the_policy_of_an_endpoint_may_want_pins(world, pins, allowed):
    world.policy = replace(ruling(provider_pins=pins or None), version=2)
    adopt(world, world.policy)
    release = world.register(hosted=written(OPEN))
    world.attest(release)
    number = world.open(release)
    world.approve(number)

    if allowed:
        assert assess(world.installation, number, world.now).providers
        world.activate(number)
    else:
        with pytest.raises(DeniedError, match="the policy wants one") as denied:
            world.activate(number)
        assert denied.value.reasons == (f"{LEFT_OPEN}, and the policy wants one",)


@pytest.mark.parametrize("changed", ["provider", "model", "version", "region", "routing", "snapshot"])
def test_another_model_is_a_minor_step(world, changed):
    world.register("1.0.0", hosted=written(), weights=b"the same")
    other = written(**{changed: "other"})

    with pytest.raises(DeniedError, match=r"MINOR is owed: component provider-model \(provider-model\) changed"):
        world.register("1.0.1", hosted=other, weights=b"the same")
    world.register("1.1.0", hosted=other, weights=b"the same")


def test_it_crosses_into_another_environment(world):
    release = world.serve(hosted=written(OPEN))

    crossing = export(world.installation, release.manifest.tag)

    assert crossing.providers == {"provider-model": written(OPEN).decode()}
    assert passport_of(world.installation, release.manifest.tag).providers == crossing.providers


@pytest.mark.parametrize("spoilt", [{"providers": None}, {"unpinned": None}, {"unpinned": ()}, {"providers": {}}])
def test_a_decision_that_hides_what_is_open_is_refused(world, spoilt):
    world.serve(hosted=written(OPEN))
    permit, number = world.admit().permit, world.endpoint().stable.change
    decision = decision_of(permit, number)
    assert open_decision(sign_decision(decision, key("prod-vsa")), permit, number, world.trust) == decision

    hiding = sign_decision(replace(decision, **spoilt), key("prod-vsa"))
    with pytest.raises(VerificationError, match=f"another {next(iter(spoilt))}"):
        open_decision(hiding, permit, number, world.trust)
