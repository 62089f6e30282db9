"""Does a signed record tell of each release who authorised it, its data, tests, signatures and time?"""

from dataclasses import replace

import pytest

from lockgate.app.issue_passport import passport_for
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.world import NOW, PROD, SUITE, World, key

TRAINED_ON = {"files-2024": Digest.of(b"corpus")}


def served(world: World, data: dict[str, Digest] | None) -> None:
    release = world.register()
    world.attest(release, replace(world.built(), training_data=data), world.ran())
    number = world.open(release)
    world.approve(number)
    world.activate(number)


def test_the_record_tells_who_what_when_and_by_which_tests(world: World) -> None:
    served(world, TRAINED_ON)

    record = world.admit().decision
    assert record.authorized_by == (Name("bob"), Name("carol")) and record.authors == (Name("alice"),)
    assert record.training_data.known and record.training_data.checksums == TRAINED_ON
    assert [(run.suite, run.result, dict(run.metrics)) for run in record.test_results] == [
        (SUITE, "PASSED", {"accuracy": "0.99"})
    ]
    assert {part.key for part in record.components.values()} == {key("components").public.key_id}
    assert (record.created_at, record.endpoint) == (NOW, PROD)


def test_unknown_training_data_is_said_to_be_unknown_and_not_invented(world: World) -> None:
    served(world, None)

    record = world.admit().decision
    assert not record.training_data.known and record.training_data.checksums == {}


def test_a_release_without_provenance_goes_nowhere(world: World) -> None:
    release = world.register()
    world.attest(release, world.ran())
    number = world.open(release)
    world.approve(number)

    with pytest.raises(DeniedError, match="the release has no provenance by a trusted signer"):
        world.activate(number)


def test_a_record_that_was_reworded_is_refused(world: World) -> None:
    served(world, TRAINED_ON)
    passport = passport_for(world.installation, PROD)
    assert passport.case is not None
    envelope = dsse.parse(passport.case.decision.encode())
    spoilt = replace(envelope, payload=envelope.payload.replace(b'"bob"', b'"eve"')).encode().decode()

    with pytest.raises(VerificationError):
        world.admit(replace(passport, case=replace(passport.case, decision=spoilt)))
