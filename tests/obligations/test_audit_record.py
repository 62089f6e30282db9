"""Does every change leave a record with who, when and what, that nobody can alter, drop or reorder unnoticed?"""

from itertools import pairwise

import pytest

from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.core.endpoint import Activated
from lockgate.core.journal import read_fact
from lockgate.drivers.memory import Memory
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.tlog.merkle import leaf_hash
from lockgate.tlog.proof import LogProof
from lockgate.tlog.tiles import inclusion_proof
from tests.world import World


def entries(world: World) -> list[bytes]:
    return list(world.memory.entries(0, world.memory.size()))


def rewrite(world: World, log: list[bytes]) -> None:
    """Do what somebody may do who owns the database."""
    assert isinstance(world.memory, Memory)
    world.memory.log[:] = log
    world.memory.hashes[:] = [leaf_hash(entry) for entry in log]


def test_an_activation_is_recorded_with_actor_time_intent_and_states(world: World) -> None:
    first = world.serve("1.0.0")
    second = world.serve("1.1.0")

    facts = [read_fact(entry) for entry in entries(world)]
    envelope, event = next((one, fact) for one, fact in reversed(facts) if isinstance(fact, Activated))
    assert isinstance(event, Activated)
    assert (envelope.actor, envelope.time, envelope.subject) == ("dave", world.now, "endpoint/prod/magika")
    assert (event.before, event.release, event.change) == (
        first.digest,
        second.digest,
        world.endpoint().slots[-1].change,
    )
    assert envelope.intent is not None and len({one.id for one, _ in facts}) == len(facts)
    assert all(one.time <= other.time for (one, _), (other, _) in pairwise(facts))


def test_every_entry_is_proved_by_the_signed_head(world: World) -> None:
    world.serve()
    note = publish_checkpoint(world.installation)
    verifier = world.heads.signer.verifier
    size = world.memory.size()

    for index, entry in enumerate(entries(world)):
        proof = LogProof(index, inclusion_proof(index, size, world.memory.tile), note)
        assert proof.verify(entry, [verifier]).size == size
        with pytest.raises(VerificationError):
            proof.verify(entry.replace(b'"specversion"', b'"Specversion"'), [verifier])


def altered(log: list[bytes]) -> list[bytes]:
    return [entry.replace(b'"actor":"alice"', b'"actor":"carol"') for entry in log]


def dropped(log: list[bytes]) -> list[bytes]:
    return [*log[:3], *log[4:], log[-1]]


def reordered(log: list[bytes]) -> list[bytes]:
    return [*log[:2], log[3], log[2], *log[4:]]


@pytest.mark.parametrize("spoil", [altered, dropped, reordered])
def test_who_owns_the_database_cannot_change_the_past_unnoticed(spoil) -> None:
    world = World()
    world.serve()
    publish_checkpoint(world.installation)
    log = entries(world)
    rewrite(world, [*spoil(log), log[-1]])

    assert spoil(log) != log
    with pytest.raises(UnavailableError, match="frozen: consistency proof"):
        publish_checkpoint(world.installation)


def test_a_log_that_lost_entries_is_not_signed_again() -> None:
    world = World()
    world.serve()
    publish_checkpoint(world.installation)
    rewrite(world, entries(world)[:-1])

    with pytest.raises(UnavailableError, match=r"frozen: .* it was put back, or it lost some"):
        publish_checkpoint(world.installation)


def test_what_failed_leaves_no_entry_and_what_succeeded_one_for_each_fact(world: World) -> None:
    release = world.serve()
    size = world.memory.size()

    with pytest.raises(Exception, match="registered already"):
        world.register("1.0.0")
    assert world.memory.size() == size
    world.shut_down()
    assert world.memory.size() == size + 1 and release.digest == world.endpoint().slots[-1].release


def test_documents_that_an_entry_names_are_kept_as_they_were(world: World) -> None:
    world.serve()
    record = world.record("magika@1.0.0")

    for digest in (record.manifest, record.registration, *record.bundles.values(), *record.evidence):
        assert Digest.of(world.memory.document(digest)) == digest
