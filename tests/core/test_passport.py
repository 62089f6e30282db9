"""Does a host admit only what it can follow from the first entry to the last? Each part is spoiled, or another's."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.evidence import CLOCK_SKEW
from lockgate.core.passport import MAX_PASSPORT, parse_passport
from lockgate.core.policy import Approvals
from lockgate.core.rights import Role
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.canonical import MAX_BYTES
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from tests.core.dossiers import (
    AT,
    MINUTE,
    NUMBER,
    REGISTERED,
    TICK,
    dossier,
    good,
    release,
    ruling,
    run,
    statement,
    submission,
    trusting,
)
from tests.core.passports import (
    HERE,
    NOW,
    THEN,
    activated,
    admitted,
    decision,
    entry,
    forge,
    logged,
    order,
    recased,
    registered,
    rolled_back,
    subject,
)
from tests.world import policy, trust

OTHER = Endpoint.parse("prod/other")
TAG = Tag.parse("magika@9.9.9")
NOBODY = Digest.of(b"")
MIXED = "about another release, endpoint or decision"
ROLLED = "the rollback in the log is not the one that was ordered"
UNORDERED = "not in the order: registered, opened, activated"
HEADS = "proved by different log heads"


def refused(reason, passport, error=VerificationError, **changes):
    with pytest.raises(error, match=reason):
        admitted(passport, **changes)


def test_the_good_passport_is_admitted():
    admission = admitted(forge())

    assert admission.permit.release.digest == release().digest and admission.permit.at == AT
    assert admission.decision.change == NUMBER and admission.checkpoint.size == 16
    assert admission.epoch == HERE["activated"]


def test_the_good_passport_after_a_rollback_is_admitted():
    admission = admitted(forge(said=order()))

    assert admission.permit.release.digest == release().digest and admission.epoch == HERE["rolled_back"]


def test_a_passport_reads_back_as_it_was_written():
    passport = forge(said=order())

    assert parse_passport(plain.encode(passport)) == passport


def test_a_passport_may_be_large_but_not_without_end():
    large = replace(forge(), evidence=("x" * (MAX_BYTES + 1),))
    endless = replace(forge(), evidence=("x" * MAX_PASSPORT,))

    assert parse_passport(canonical.encode(plain.to_plain(large))) == large
    with pytest.raises(VerificationError):
        parse_passport(canonical.encode(plain.to_plain(endless)))


@pytest.mark.parametrize("spoilt", [b"", b"[]", b"{}", plain.encode(forge())[:-1], plain.encode(forge()) + b" {}"])
def test_what_is_no_passport_is_refused(spoilt):
    with pytest.raises(VerificationError):
        parse_passport(spoilt)


def test_a_passport_for_no_endpoint_admits_nothing():
    refused("the passport is for no endpoint", replace(forge(), case=None))


@pytest.mark.parametrize(
    ("name", "document"),
    [("trust", {"trusted": replace(trust(), expires=NOW)}), ("policy", {"ruled": replace(policy(), expires=NOW)})],
)
def test_documents_must_be_current_now_not_only_when_it_was_activated(name, document):
    refused(f"the {name} document expired", forge(), DeniedError, **document)
    admitted(forge(), now=NOW - TICK, **document)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trusted": trusting("bob", until=AT)}, "nobody called bob may act"),
        ({"trusted": trusting("ci-results", until=AT)}, "no provenance"),
        ({"trusted": trusting("ci-components", until=REGISTERED)}, "does not verify"),
        ({"trusted": trust("dev")}, "none of the 1 signatures is by one of"),
        ({"ruled": policy("dev")}, "policy of dev"),
        ({"ruled": ruling(approvals=Approvals(3, Role.APPROVER))}, "2 of 3 approvals"),
        ({"endpoint": OTHER}, "does not name prod/other"),
    ],
)
def test_the_host_judges_with_what_it_holds_itself(changes, reason):
    refused(reason, forge(), (DeniedError, VerificationError), **changes)


def other():
    return dossier(version="1.1.0")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"manifest": submission("1.1.0")[0].decode()}, "does not verify"),
        ({"bundles": {}}, "no bundle, or no component, named"),
        ({"bundles": {name: bundle.decode() for name, bundle in other().bundles.items()}}, "component weights"),
        ({"evidence": ()}, "no provenance"),
        ({"evidence": tuple(document.decode() for document in other().evidence)}, "no provenance"),
        ({"registration": other().registration}, "the intent says object magika@1.1.0"),
    ],
)
def test_parts_of_another_release_are_refused(changes, reason):
    refused(reason, replace(forge(), **changes), DeniedError)


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"number": NUMBER + 1}, DeniedError, "the intent says object change/7"),
        ({"content": other().content}, DeniedError, "the change is for"),
        ({"opening": other().opening}, DeniedError, "the intent says after"),
        ({"approvals": other().approvals}, DeniedError, "0 of 2 approvals"),
        ({"approvals": good().approvals[:1]}, DeniedError, "1 of 2 approvals"),
        ({"decision": decision(change=8)}, VerificationError, MIXED),
        ({"activated": forge().registered}, VerificationError, "is release.registered/v1, not endpoint.activated/v1"),
        ({"rolled_back": forge().case.activated}, VerificationError, "holds no order for it"),
        ({"rolled_back": forge(said=order()).case.rolled_back}, VerificationError, "holds no order for it"),
        ({"rolled_back": forge().case.activated, "order": order()}, VerificationError, "not endpoint.rolled_back/v1"),
    ],
)
def test_parts_of_another_change_are_refused(changes, error, reason):
    refused(reason, recased(forge(), **changes), error)


def test_evidence_that_the_server_did_not_decide_on_is_refused():
    later = statement(release(), run(harness="another")).decode()
    fewer = forge(decided=decision(evidence=()))

    refused("not that on which the server decided", replace(forge(), evidence=(*forge().evidence, later)))
    refused("not that on which the server decided", fewer)


@pytest.mark.parametrize(
    ("name", "event"),
    [
        *(("registered", registered(**{field: spoilt})) for field, spoilt in (("tag", TAG), ("release", NOBODY))),
        ("registered", registered(registration=NOBODY)),
        ("activated", activated(endpoint=OTHER)),
        ("activated", activated(tag=TAG)),
        ("activated", activated(release=NOBODY)),
        ("activated", activated(before=NOBODY)),
        ("activated", activated(change=NUMBER - 1)),
        ("activated", activated(decision=NOBODY)),
    ],
)
def test_an_entry_about_something_else_is_refused(name, event):
    refused(MIXED, forge(events={name: event}))


@pytest.mark.parametrize(
    ("name", "about"), [("registered", "release/magika@1.0.1"), ("activated", "endpoint/prod/other")]
)
def test_an_entry_whose_envelope_says_another_subject_is_refused(name, about):
    refused("says that it is about", forge(subjects={name: subject(about)}))


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ({"signer": "mallory"}, "none of the 1 signatures is by one of 1 known keys"),
        ({"signer": "prod-vsa"}, "none of the 1 signatures"),
        ({"origin": "dev.example/changes"}, "none of the 1 signatures"),
    ],
)
def test_a_log_that_the_trust_document_does_not_name_proves_nothing(log, reason):
    refused(reason, forge(log=log))


def test_a_log_key_counts_until_its_time_is_over():
    refused("none of the 1 signatures", forge(), trusted=trusting("server-checkpoint", until=NOW))
    admitted(forge(), trusted=trusting("server-checkpoint", until=NOW + TICK))


@pytest.mark.parametrize("part", ["registered", "activated"])
def test_an_entry_that_the_log_does_not_hold_is_refused(part):
    passport = forge()
    held = passport.registered if part == "registered" else passport.case.activated
    altered = replace(held, entry=held.entry.replace('"actor":"dave"', '"actor":"erin"'))
    spoilt = replace(passport, registered=altered) if part == "registered" else recased(passport, activated=altered)

    assert altered != held
    refused("inclusion proof gives root", spoilt)


def elsewhere(said=None):
    return forge(said=said, log={"size": 17})


def rolled_back_elsewhere():
    said = order()
    return recased(forge(said=said), rolled_back=elsewhere(said).case.rolled_back)


@pytest.mark.parametrize(
    "passport",
    [
        replace(forge(), registered=elsewhere().registered),
        recased(forge(), activated=elsewhere().case.activated),
        rolled_back_elsewhere(),
    ],
)
def test_one_log_head_must_prove_all_entries(passport):
    refused(HEADS, passport)


@pytest.mark.parametrize(
    ("here", "then"),
    [
        ({"registered": NUMBER}, {}),
        ({"registered": NUMBER + 1}, {}),
        ({"activated": NUMBER}, {}),
        ({"activated": NUMBER - 1}, {}),
        ({"registered": 10}, {}),
        ({}, {"registered": AT + TICK}),
    ],
)
def test_entries_out_of_their_order_are_refused(here, then):
    refused(UNORDERED, forge(here=here, then=then))


@pytest.mark.parametrize("here", [{"registered": NUMBER - 1}, {"activated": NUMBER + 1}])
def test_entries_just_in_their_order_are_admitted(here):
    admitted(forge(here=here, then={"registered": AT - TICK}))
    admitted(forge(here=here, then={"registered": AT}))


def test_an_entry_of_a_time_to_come_is_refused():
    early = AT - CLOCK_SKEW

    admitted(forge(), now=early)
    refused("later than now", forge(), now=early - TICK)


@pytest.mark.parametrize(
    ("decided", "reason"),
    [
        (decision(vsa="mallory"), "no key that is trusted for this has signed it"),
        (decision(vsa="prod-lease"), "no key that is trusted for this has signed it"),
        (decision(endpoint=OTHER), "the decision says another endpoint"),
        (decision(tag=TAG), "not a verification summary about this release"),
        (decision(release=NOBODY), "not a verification summary about this release"),
        (decision(change=NUMBER + 1), "the decision says another change"),
        (decision(authorized_by=(Name("bob"),)), "the decision says another authorized_by"),
        (decision(components={}), "the decision says another components"),
    ],
)
def test_a_decision_that_does_not_follow_is_refused(decided, reason):
    refused(reason, forge(decided=decided))


@pytest.mark.parametrize(
    ("said", "error", "reason"),
    [
        (order("alice"), DeniedError, "alice has no right to endpoint.roll-back"),
        (order("bob"), DeniedError, "bob has no right to endpoint.roll-back"),
        (order("nobody"), VerificationError, "nobody called nobody"),
        (order(signer="mallory"), VerificationError, "no key that is trusted"),
        (order(act="endpoint.suspend"), DeniedError, "the intent says act endpoint.suspend"),
        (order(object_=OTHER), DeniedError, "the intent says object prod/other"),
        (order(before=None), DeniedError, "the intent says before None"),
        (order(before=NOBODY), DeniedError, "the intent says before sha256:e3b0"),
        (order(after=NOBODY), DeniedError, "the intent says after sha256:e3b0"),
        (order(expires=THEN["rolled_back"]), DeniedError, "the word of dave to endpoint.roll-back .* expired"),
    ],
)
def test_a_rollback_that_nobody_had_the_right_to_order_is_refused(said, error, reason):
    refused(reason, forge(said=said), error)


@pytest.mark.parametrize("said", [order("olivia"), order(expires=THEN["rolled_back"] + TICK)])
def test_a_rollback_that_somebody_just_might_order_is_admitted(said):
    admitted(forge(said=said))


@pytest.mark.parametrize("spoilt", [{"endpoint": OTHER}, {"tag": TAG}, {"release": NOBODY}, {"order": NOBODY}])
def test_a_rollback_other_than_the_ordered_one_is_refused(spoilt):
    said = order()

    refused(ROLLED, forge(said=said, events={"rolled_back": rolled_back(said, **spoilt)}))


@pytest.mark.parametrize(
    ("here", "then"), [({"rolled_back": 8}, {}), ({}, {"rolled_back": AT - TICK})], ids=["place", "time"]
)
def test_a_rollback_from_before_the_activation_is_refused(here, then):
    refused("older than the activation", forge(said=order(), here=here, then=then))


def test_a_rollback_at_the_instant_of_the_activation_is_admitted():
    admitted(forge(said=order(), here={"rolled_back": 10}, then={"rolled_back": AT}))


def test_an_operator_who_left_may_have_rolled_back_before():
    left = THEN["rolled_back"]

    admitted(forge(said=order()), trusted=trusting("dave", until=left + TICK))
    refused("nobody called dave", forge(said=order()), trusted=trusting("dave", until=left))


def test_the_story_is_good_for_ever_though_its_people_and_keys_are_gone():
    trusted = replace(trusting("bob", until=AT + MINUTE, roles=(Role.APPROVER,)), version=2)

    assert admitted(forge(), trusted=trusted, now=NOW + timedelta(days=300)).permit.at == AT


def test_one_entry_cannot_stand_for_two():
    proofs = logged({9: entry(activated(), 9, AT)})

    refused("is endpoint.activated/v1, not release.registered/v1", replace(forge(), registered=proofs[9]))
