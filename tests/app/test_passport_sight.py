"""Does a passport show what was seen of provider models, all of it, and does a host judge that by itself?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.issue_passport import logged_at, passport_for
from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.core.appearance import Observed, Shows
from lockgate.core.evidence import Verdict
from lockgate.core.journal import appearances_subject
from lockgate.core.passport import parse_passport
from lockgate.core.sight import Seen, Sight, sign_sight
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.core.test_provider import OPEN, written
from tests.exceptional import lenient_world, overridden
from tests.obligations.test_provider_change_reevaluation import look, resumed
from tests.world import PROD, key

HOUR = timedelta(hours=1)
UNLIKE, CHANGED = Shows(region="us-east-1"), Shows(snapshot="fp_2")


def hosting(appearances):
    """Let a release with a hosted model serve under a policy that wants appearances shown, heeded, or neither."""
    world = lenient_world(appearances=appearances)
    return world, world.serve(hosted=written(OPEN))


def seen(world, release, *shows):
    for one in shows:
        world.now += HOUR
        look(world, release, one)
    return passport_for(world.installation, PROD)


def reshown(passport, **changes):
    return replace(passport, case=replace(passport.case, seen=replace(passport.case.seen, **changes)))


def reworded(passport, signer="prod-vsa", **changes):
    said = plain.decode(Sight, dsse.parse(passport.case.seen.word.encode()).payload)
    return reshown(passport, word=sign_sight(replace(said, **changes), key(signer)))


def refused(world, passport, reason, error=VerificationError):
    with pytest.raises(error, match=reason):
        world.admit(passport)


def test_that_nothing_was_seen_is_said_and_signed():
    world, _ = hosting("shown")
    passport = passport_for(world.installation, PROD)

    assert passport.case.seen.entries == ()
    assert world.admit(parse_passport(plain.encode(passport))).appearances == ()


def test_what_was_seen_is_shown_with_proof_and_the_host_comes_to_the_same():
    world, release = hosting("shown")
    passport = seen(world, release, Shows("a", "eu-west-1", snapshot="fp_1"), CHANGED, UNLIKE)

    (found,) = world.admit(parse_passport(plain.encode(passport))).appearances
    assert len(passport.case.seen.entries) == 3
    assert found == world.memory.find(appearances_subject(PROD)).seen[0]
    assert found.unlike and found.shows == Shows("a", "us-east-1", snapshot="fp_2")


def test_only_the_entries_that_matter_are_shown():
    world, release = hosting("shown")
    passport = seen(world, release, *(Shows(snapshot=f"fp_{number}") for number in range(6)))

    assert len(passport.case.seen.entries) == 1
    assert world.admit(passport).appearances[0].changed_at == world.now


@pytest.mark.parametrize("appearances", ["shown", "heeded"])
def test_a_passport_that_leaves_it_out_is_refused_where_the_policy_asks(appearances):
    world, _ = hosting(appearances)
    passport = passport_for(world.installation, PROD)

    refused(world, replace(passport, case=replace(passport.case, seen=None)), "and the passport does not")


def test_where_no_policy_asks_a_passport_is_what_it_was():
    world, release = hosting(None)
    passport = seen(world, release, UNLIKE)

    assert b'"seen"' not in plain.encode(passport)
    assert world.admit(passport).appearances == ()


def test_a_release_without_a_hosted_model_shows_nothing_and_needs_nothing():
    world = lenient_world(appearances="heeded")
    world.serve()

    assert passport_for(world.installation, PROD).case.seen is None
    assert world.admit().appearances == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"entries": ()},
        {"release": Digest.of(b"other")},
        {"endpoint": Endpoint.parse("prod/other")},
        {"size": 3},
        {"root": Digest.of(b"other")},
        {"origin": "other.example/changes"},
    ],
)
def test_a_word_about_something_else_is_none(changes):
    world, release = hosting("shown")
    passport = seen(world, release, UNLIKE)

    assert world.admit(reworded(passport)).appearances
    refused(world, reworded(passport, **changes), "about another release, head, or other entries")


@pytest.mark.parametrize("signer", ["results", "prod-checkpoint", "components", "alice"])
def test_only_the_key_of_decisions_gives_that_word(signer):
    world, release = hosting("shown")

    refused(world, reworded(seen(world, release, UNLIKE), signer), ".")


def test_entries_are_neither_left_out_nor_added_nor_turned_round():
    world, release = hosting("shown")
    passport = seen(world, release, Shows("a", snapshot="fp_1"), CHANGED)
    first, last = passport.case.seen.entries

    for entries in ((), (first,), (last,)):
        refused(world, reshown(passport, entries=entries), "or other entries")
    refused(world, reshown(passport, entries=(last, first)), "not in the order of the log")
    refused(world, reshown(passport, entries=(first, first, last)), "not in the order of the log")
    refused(world, reshown(passport, entries=(passport.registered, last)), "not provider.observed/v1")
    refused(world, reshown(passport, entries=(replace(first, entry="{}"), last)), ".")


def test_what_was_true_under_an_older_head_is_not_shown_under_a_newer_one():
    world, release = hosting("shown")
    before = passport_for(world.installation, PROD)
    after = seen(world, release, UNLIKE)

    hidden = replace(after, case=replace(after.case, seen=before.case.seen))
    refused(world, hidden, "or other entries")
    mixed = replace(after, case=replace(after.case, seen=Seen(after.case.seen.entries, before.case.seen.word)))
    refused(world, mixed, "or other entries")


def test_entries_are_proved_under_the_head_of_the_passport():
    world, release = hosting("shown")
    before = seen(world, release, UNLIKE)
    world.register("1.1.0", weights=b"new")
    after = passport_for(world.installation, PROD)

    refused(world, reshown(after, entries=before.case.seen.entries), "different log heads")


def test_entries_about_another_release_or_what_is_no_model_of_it_are_none():
    world, release = hosting("shown")
    seen(world, release, UNLIKE)
    index = world.memory.size() - 1
    world.serve("1.1.0", hosted=written(OPEN), weights=b"new")
    passport = passport_for(world.installation, PROD)
    foreign = logged_at(world.installation, index, publish_checkpoint(world.installation))
    refused(world, reworded(reshown(passport, entries=(foreign,)), entries=(index,)), "another release or endpoint")

    stable = world.endpoint().stable.release
    odd = Observed(PROD, stable, Name("weights"), Shows("a"), (), (), Name("guard"), Digest.of(b"order"))
    with world.installation.ledger.transaction() as tx:
        tx.append([odd], actor="guard", key=Digest.of(b"once"), at=world.now)
    refused(world, passport_for(world.installation, PROD), "which is no provider model of it")


@pytest.mark.parametrize(("shows", "reason"), [(UNLIKE, "is pinned to 'eu-west-1'"), (CHANGED, "did not begin after")])
def test_a_host_heeds_what_changed_since_where_the_policy_says_so(shows, reason):
    world, release = hosting("heeded")
    world.admit(seen(world, release, Shows("a", "eu-west-1", snapshot="fp_1")))

    refused(world, seen(world, release, shows), reason, DeniedError)


def test_after_new_results_and_a_new_change_it_is_admitted_again():
    world, release = hosting("heeded")
    seen(world, release, Shows(snapshot="fp_1"), CHANGED)
    world.now += HOUR
    world.attest(release, replace(world.ran(), started_at=world.now))
    resumed(world, release)

    admission = world.admit()
    assert admission.appearances[0].changed and admission.decision.observed


def test_a_host_judges_by_itself_what_was_seen_before_the_activation():
    world, release = hosting("shown")
    seen(world, release, Shows(snapshot="fp_1"), CHANGED)
    world.now += HOUR
    world.attest(release, replace(world.ran(), started_at=world.now))
    resumed(world, release)
    passport = passport_for(world.installation, PROD)

    assert world.admit(passport).decision.observed
    refused(world, reworded(reshown(passport, entries=()), entries=()), "names other entries about provider models")


def test_what_was_overridden_stays_so_and_what_comes_later_is_not():
    world, release = hosting("heeded")
    seen(world, release, Shows(snapshot="fp_1"), CHANGED)
    world.now += HOUR
    world.shut_down()
    number = world.open(release, resumes=True)
    overridden(world, number)
    world.approve(number)
    world.activate(number)
    assert world.admit().permit.aside

    refused(world, seen(world, release, Shows(snapshot="fp_3")), "did not begin after", DeniedError)


def test_a_revoked_key_is_not_hidden_by_a_model_that_changed():
    from lockgate.app.find_revoked import revoked_of

    world, release = hosting("heeded")
    seen(world, release, UNLIKE)
    assert revoked_of(world.installation, PROD, world.endpoint().stable, candidate=False) == ()
    world.revoke("components")

    assert revoked_of(world.installation, PROD, world.endpoint().stable, candidate=False)


def test_what_was_forgotten_is_not_said_to_be_nothing():
    world, release = hosting("shown")
    passport = seen(world, release, UNLIKE)
    assert passport.case.seen
    subject = appearances_subject(PROD)
    known, *places = world.memory.states[subject]
    world.memory.states[subject] = (replace(known, seen=(), forgotten=True), *places)

    refused(world, passport_for(world.installation, PROD), "and the passport does not")


def test_a_failed_result_is_no_way_round():
    world, release = hosting("heeded")
    seen(world, release, CHANGED)
    world.attest(release, world.ran(Verdict.FAILED))

    assert world.admit().appearances
