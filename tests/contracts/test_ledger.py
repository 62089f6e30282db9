"""Does every ledger append once, all or nothing, and only to what was read?"""

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.app.ports import Catalog, Checkpoints, History, Ledger, Receipt
from lockgate.core.journal import read_fact, replay
from lockgate.drivers.memory import Memory
from lockgate.drivers.postgres import Postgres
from lockgate.errors import ConflictError, LockgateError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.tlog.merkle import leaf_hashes, tree_root
from tests.contracts.samples import (
    NOW,
    SECOND,
    SOURCE,
    activated,
    append,
    approved,
    at_endpoint,
    attested,
    denied,
    digest,
    of_change,
    of_release,
    opened,
    registered,
    suspended,
    withdrawn,
)


def fills_the_ports(driver: Memory | Postgres) -> tuple[Ledger, Catalog, History, Checkpoints]:
    """Show the type checker which ports the drivers fill."""
    return driver, driver, driver, driver


def everything(log):
    return log.size(), log.root(), list(log.entries(0, 1000)), [*states(log)]


def states(log):
    for kind in ("release", "change", "endpoint", "rulebook"):
        yield from log.listing(kind)


def check(log):
    """Re-derive the tree and all state from the entries."""
    entries = list(log.entries(0, log.size()))
    assert log.root() == (len(entries), tree_root(leaf_hashes(entries)))
    derived = replay(entries)
    assert {subject: log.find(subject) for subject in derived} == derived
    assert len([*states(log)]) == len(derived)


def test_an_append_says_where_it_is(log):
    assert append(log, registered("a@1.0.0")) == Receipt(0, 1)
    assert append(log, attested("a@1.0.0"), suspended("x")) == Receipt(1, 3)
    assert log.size() == 3
    check(log)


def test_an_entry_says_who_when_why_and_where(log):
    append(log, suspended("x"), key=digest("order"))

    envelope, event = read_fact(next(log.entries(0, 1)))
    said = (envelope.actor, envelope.time, envelope.intent, envelope.source, envelope.subject)
    assert said == ("ann", NOW, digest("order"), SOURCE, "endpoint/prod/x")
    assert event == suspended("x")


def test_two_entries_never_share_a_salt_or_an_id(log):
    append(log, suspended("x"), suspended("x"))
    append(log, suspended("x"))

    envelopes = [read_fact(entry)[0] for entry in log.entries(0, 3)]
    assert len({each.salt for each in envelopes}) == len({each.id for each in envelopes}) == 3
    assert all(len(bytes.fromhex(each.salt)) == 16 for each in envelopes)


def test_several_events_of_one_append_may_be_about_one_object(log):
    append(log, registered("a@1.0.0"), attested("a@1.0.0"), attested("a@1.0.0"))

    assert len(log.find(of_release("a@1.0.0")).evidence) == 2
    check(log)


def test_an_append_may_go_on_from_an_object_that_it_did_not_load(log):
    append(log, registered("a@1.0.0"))

    append(log, attested("a@1.0.0"))

    assert len(log.find(of_release("a@1.0.0")).evidence) == 1


def test_a_change_is_called_by_the_index_of_its_opening(log):
    append(log, denied(), opened("x"), opened("y"))

    assert [each.number for each in log.listing("change")] == [1, 2]
    assert log.find(of_change(2)).endpoint.name.text == "y"
    check(log)


def test_an_event_without_state_is_logged_all_the_same(log):
    append(log, denied("nul \x00, quote ', snowman ☃"))

    assert read_fact(next(log.entries(0, 1)))[1] == denied("nul \x00, quote ', snowman ☃")
    check(log)


def test_the_same_key_appends_once(log):
    first = append(log, suspended("x"), suspended("y"), key=digest("once"))

    assert append(log, suspended("x"), suspended("y"), key=digest("once")) == first
    assert log.size() == 2


def test_the_same_key_is_answered_even_if_what_was_read_has_changed_since(log):
    first = append(log, suspended("x"), key=digest("once"), load=[at_endpoint("x")])
    append(log, activated("x"))

    assert append(log, suspended("x"), key=digest("once"), load=[at_endpoint("x")]) == first


def test_a_key_that_was_used_while_we_thought_gives_its_receipt_not_a_conflict(log):
    with log.transaction() as tx:
        tx.load(at_endpoint("x"))
        first = append(log, suspended("x"), key=digest("once"), load=[at_endpoint("x")])

        assert tx.append([suspended("x")], actor="ann", key=digest("once"), at=NOW) == first
    assert log.size() == 1


def test_a_receipt_is_found_by_its_key_and_only_by_it(log):
    first = append(log, suspended("x"), key=digest("once"))

    assert log.receipt(digest("once")) == first
    assert log.receipt(digest("never")) is None


def test_an_object_that_changed_since_it_was_read_is_a_conflict(log):
    append(log, suspended("x"))
    with log.transaction() as tx:
        tx.load(at_endpoint("x"))
        append(log, activated("x"))
        before = everything(log)

        with pytest.raises(ConflictError, match="endpoint/prod/x changed since it was read"):
            tx.append([suspended("x")], actor="ann", key=digest("late"), at=NOW)

    assert everything(log) == before
    assert log.receipt(digest("late")) is None


def test_an_object_that_came_to_be_since_it_was_not_found_is_a_conflict(log):
    with log.transaction() as tx:
        assert tx.load(of_release("a@1.0.0")) is None
        append(log, registered("a@1.0.0"))

        with pytest.raises(ConflictError):
            tx.append([registered("a@1.0.0")], actor="ann", key=digest("late"), at=NOW)
    assert log.size() == 1


def test_an_object_that_was_only_read_counts_as_much_as_one_that_is_written(log):
    append(log, registered("a@1.0.0"), opened("x"))
    with log.transaction() as tx:
        tx.load(of_release("a@1.0.0"))
        append(log, attested("a@1.0.0"))

        with pytest.raises(ConflictError):
            tx.append([approved(1)], actor="ann", key=digest("late"), at=NOW)


def test_what_happens_to_other_objects_is_no_conflict(log):
    with log.transaction() as tx:
        tx.load(at_endpoint("x"))
        append(log, suspended("y"))

        assert tx.append([suspended("x")], actor="ann", key=digest("late"), at=NOW) == Receipt(1, 2)


def test_what_changed_between_two_readings_is_a_conflict(log):
    append(log, registered("a@1.0.0"), activated("x"))
    with log.transaction() as tx:
        tx.load(of_release("a@1.0.0"))
        append(log, attested("a@1.0.0"))
        tx.load(at_endpoint("x"))

        with pytest.raises(ConflictError, match=r"release/a@1\.0\.0 changed"):
            tx.append([suspended("x")], actor="ann", key=digest("late"), at=NOW)


def test_what_happens_to_others_between_two_readings_is_no_conflict(log):
    append(log, registered("a@1.0.0"), activated("x"))
    with log.transaction() as tx:
        tx.load(of_release("a@1.0.0"))
        append(log, activated("y"))
        tx.load(at_endpoint("x"))

        assert tx.append([suspended("x")], actor="ann", key=digest("late"), at=NOW) == Receipt(3, 4)
    check(log)


def test_an_act_sees_an_object_as_it_was_when_it_first_looked(log):
    append(log, activated("x"))
    with log.transaction() as tx:
        seen = tx.load(at_endpoint("x"))
        append(log, suspended("x"))

        with pytest.raises(ConflictError):
            tx.append([suspended("x")], actor="ann", key=digest("late"), at=NOW)
    assert not seen.suspended


def test_a_conflict_is_over_when_the_act_is_done_again(log):
    append(log, activated("x"))
    with pytest.raises(ConflictError), log.transaction() as tx:
        tx.load(at_endpoint("x"))
        append(log, suspended("x"))
        tx.append([activated("x")], actor="ann", key=digest("again"), at=NOW)

    assert append(log, activated("x"), key=digest("again"), load=[at_endpoint("x")]) == Receipt(2, 3)


def test_an_act_that_fails_before_it_appends_changes_nothing(log):
    with pytest.raises(ZeroDivisionError), log.transaction() as tx:
        kept = tx.keep(b"a document")
        tx.load(at_endpoint("x"))
        raise ZeroDivisionError

    assert everything(log)[0] == 0
    with pytest.raises(UnavailableError):
        log.document(kept)


def test_an_entry_that_is_too_large_takes_the_whole_append_with_it(log):
    append(log, suspended("x"))
    before = everything(log)

    with pytest.raises(VerificationError, match="log entry has"):
        append(log, suspended("y"), denied("x" * 17_000), key=digest("large"), keep=[b"a document"])

    assert everything(log) == before
    assert log.receipt(digest("large")) is None
    with pytest.raises(UnavailableError):
        log.document(Digest.of(b"a document"))


def test_a_clock_that_goes_back_does_not_take_the_log_with_it(log):
    append(log, suspended("x"), at=NOW)
    append(log, suspended("y"), at=NOW - 3600 * SECOND)
    append(log, suspended("z"), at=NOW + SECOND)

    times = [read_fact(entry)[0].time for entry in log.entries(0, 3)]
    assert times == [NOW, NOW, NOW + SECOND]


def test_an_instant_keeps_its_microseconds_and_loses_its_zone(log):
    there = datetime(2026, 11, 21, 13, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))

    append(log, suspended("x"), at=there)
    append(log, suspended("x"), at=there)

    assert {read_fact(entry)[0].time for entry in log.entries(0, 2)} == {there.astimezone(UTC)}
    check(log)


def test_a_document_is_kept_once_however_often_it_is_kept(log):
    documents = [b"", b"\x00\xff", b"x" * 3_000_000, b"\x00\xff"]
    append(log, suspended("x"), keep=documents)
    append(log, suspended("x"), keep=documents)

    assert [log.document(Digest.of(each)) for each in documents] == documents


def test_an_act_can_read_what_it_is_about_to_keep_and_what_was_kept(log):
    append(log, suspended("x"), keep=[b"old"])
    with log.transaction() as tx:
        new = tx.keep(b"new")

        assert (tx.document(new), tx.document(Digest.of(b"old"))) == (b"new", b"old")
        with pytest.raises(UnavailableError):
            tx.document(Digest.of(b"other"))


def test_withdrawing_and_approving_at_once_is_for_one_of_them(log):
    append(log, opened("x"))
    outcomes = race(
        lambda: append(log, withdrawn(0), key=digest("w"), load=[of_change(0)]),
        lambda: append(log, approved(0), key=digest("a"), load=[of_change(0)]),
    )

    assert log.size() == 1 + len([each for each in outcomes if isinstance(each, Receipt)])
    assert all(isinstance(each, Receipt | ConflictError) for each in outcomes)
    check(log)


def test_many_who_append_at_once_all_get_places_of_their_own(log):
    def write(who):
        return [append(log, suspended(f"x{who}"), activated(f"x{who}"), key=digest((who, n))) for n in range(10)]

    receipts = [each for mine in race(*(lambda who=who: write(who) for who in range(4))) for each in mine]

    assert sorted(each.first for each in receipts) == list(range(0, 80, 2))
    check(log)


def race(*acts):
    """Run all acts at once; return what each returned or raised."""
    outcomes: list = [None] * len(acts)
    start = threading.Barrier(len(acts))

    def run(place, act):
        start.wait()
        try:
            outcomes[place] = act()
        except LockgateError as e:
            outcomes[place] = e

    threads = [threading.Thread(target=run, args=each) for each in enumerate(acts)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return outcomes


steps = st.lists(
    st.tuples(
        st.lists(st.sampled_from([suspended("x"), activated("x"), suspended("y"), opened("x"), denied()]), min_size=1),
        st.integers(0, 3),  # which of four keys
        st.integers(-5, 5),  # the clock
        st.lists(st.binary(max_size=8), max_size=2),
        st.booleans(),  # somebody else appends between
    ),
    max_size=8,
)


@pytest.mark.live
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_memory_and_postgres_agree_on_every_history(postgres_cluster, steps):
    _, app = postgres_cluster.database()
    memory, postgres = Memory(SOURCE), Postgres(app, SOURCE, connections=2)

    outcomes = [list(played(log, steps)) for log in (memory, postgres)]

    assert outcomes[0] == outcomes[1]
    assert [*states(memory)] == [*states(postgres)]
    check(memory)
    check(postgres)
    postgres.close()


def played(log, steps):
    for events, key, clock, documents, disturbed in steps:
        try:
            with log.transaction() as tx:
                yield tx.load(at_endpoint("x"))
                if disturbed:
                    append(log, suspended("x"), at=NOW)
                kept = [tx.keep(each) for each in documents]
                yield tx.append(events, actor="ann", key=digest(key), at=NOW + clock * SECOND)
                yield [log.document(each) for each in kept]
        except (ConflictError, UnavailableError) as e:
            yield type(e)
