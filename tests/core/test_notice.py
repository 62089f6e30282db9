"""Which entries are told, in which words, and what can words of others do there?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core import change, concession, delegation, endpoint, release, restoration, rollout
from lockgate.core.appearance import Observed, Shows
from lockgate.core.binding import Severed
from lockgate.core.danger import Danger, Severity
from lockgate.core.detection import Alerted
from lockgate.core.halt import Halt
from lockgate.core.journal import EVENT_TYPES
from lockgate.core.notice import QUIET, asked, frozen, kept_together, notice_of, quoted, still_open, tried
from lockgate.core.override import Aside, Overridden
from lockgate.core.policy import PolicyAdopted
from lockgate.core.preservation import Examined, Flaw
from lockgate.core.revocation import KeyRevoked, Offboarded, ReleaseRevoked
from lockgate.core.sharing import Shared
from lockgate.core.tie import Ties
from lockgate.core.trust import TrustAdopted
from lockgate.formats import canonical
from lockgate.formats.names import Name
from tests.core.dossiers import content_of
from tests.core.dossiers import release as release_of_dossier
from tests.core.test_journal import ALICE, EVENTS, PROD_NAME, TAG, A, B, entry
from tests.world import NOW, PROD

TOLD = (
    change.Opened,
    change.Proposed,
    delegation.Named,
    delegation.Recalled,
    Overridden,
    concession.Made,
    concession.Lapsed,
    concession.Missed,
    concession.Reviewed,
    TrustAdopted,
    PolicyAdopted,
    endpoint.Suspended,
    endpoint.Tripped,
    endpoint.Flagged,
    rollout.Paused,
    rollout.Aborted,
    restoration.Overdue,
    release.KeysOpened,
    ReleaseRevoked,
    KeyRevoked,
    Offboarded,
    Alerted,
    Observed,
    Examined,
)


def told(event, reason="'why'", index=7):
    return notice_of(entry(event, index), index, "prod", lambda _: reason)


def test_every_event_is_told_or_left_out_on_purpose():
    assert {kind.type for kind in (*TOLD, *QUIET)} == set(EVENT_TYPES)
    for event in EVENTS:
        assert (told(event) is None) == isinstance(event, QUIET)


@pytest.mark.parametrize(
    ("event", "title", "sentence"),
    [
        (
            change.Proposed(PROD_NAME, "policy", A, B, ALICE),
            "policy proposed",
            "alice proposes another policy for prod, because 'why'; it waits for approval: lockgate change approve 7",
        ),
        (
            change.Proposed(PROD_NAME, "trust", A, B, ALICE),
            "trust proposed",
            "alice proposes another trust for prod, because 'why'; it waits for approval: lockgate change approve 7",
        ),
        (
            change.Opened(PROD, A, B, ALICE),
            "approval needed",
            "alice asks 'why'; it waits for approval: lockgate change approve 7",
        ),
        (
            delegation.Named(Name("bob"), Name("ann"), NOW, A),
            "delegate named",
            "alice lets ann approve in the place of bob until 2026-11-21T12:00:00.000000Z",
        ),
        (
            Overridden(7, ALICE, (Aside("evaluation", "<@all>"), Aside("scan", "scan")), A, NOW, B, A),
            "override",
            "alice overrides 'evaluation: all , scan:scan' for change 7 until 2026-11-21T12:00:00.000000Z",
        ),
        (
            concession.Made(7, PROD, TAG, A, (), NOW, ()),
            "let through",
            "alice let magika@1.0.0 through at prod/magika by change 7, as an emergency, to be reviewed",
        ),
        (
            concession.Made(7, PROD, TAG, A, (), None, ()),
            "let through",
            "alice let magika@1.0.0 through at prod/magika by change 7, against what was overridden",
        ),
        (
            concession.Lapsed(7, PROD, TAG, NOW),
            "override expired",
            "alice finds that an override has expired for change 7, and magika@1.0.0 still serves at prod/magika",
        ),
        (
            concession.Missed(7, PROD, TAG, NOW),
            "review overdue",
            "alice finds that nobody has reviewed the emergency of change 7 (magika@1.0.0 at prod/magika); it was due",
        ),
        (
            concession.Reviewed(7, "rejected", ALICE, A, B, A),
            "review rejected",
            "alice reviewed the emergency of change 7: rejected",
        ),
        (
            delegation.Recalled(Name("bob"), Name("bob")),
            "delegate recalled",
            "bob lets nobody approve in the place of bob any more",
        ),
        (TrustAdopted(PROD_NAME, 3, A, B), "trust changed", "alice put version 3 of the trust into force"),
        (
            PolicyAdopted(PROD_NAME, 2, A, B, 40),
            "policy changed",
            "alice put version 2 of the policy into force, by change 40",
        ),
        (endpoint.Suspended(PROD, ALICE, A), "shutdown", f"alice shut {PROD} down"),
        (
            endpoint.Tripped(PROD, Name("storm"), A, B),
            "breaker tripped",
            "alice shut prod/magika down: the breaker storm of the policy tripped",
        ),
        (
            endpoint.Flagged(PROD, Name("storm"), A, B),
            "breaker flagged",
            "alice flagged prod/magika: the breaker storm tripped; it goes on serving",
        ),
        (
            rollout.Paused(PROD, 7, "inconclusive", A),
            "rollout paused",
            "alice paused change 7 at prod/magika as it is inconclusive: a person decides",
        ),
        (
            rollout.Paused(PROD, 7, "step", A),
            "rollout paused",
            "alice paused change 7 at prod/magika as its strategy says: a person decides",
        ),
        (
            rollout.Aborted(PROD, TAG, A, 7, "metric:errors", suspends=False, why=B),
            "rolled back",
            "alice aborted magika@1.0.0 at prod/magika and gave all traffic back, because of 'metric:errors'",
        ),
        (
            rollout.Aborted(PROD, TAG, A, 7, "@all", suspends=True, why=B),
            "rolled back",
            "alice aborted magika@1.0.0 at prod/magika and shut it down, because of 'all'",
        ),
        (
            restoration.Overdue(PROD, A, 7, 60, (Name("host-1"),)),
            "rollback overdue",
            "alice finds that 60 s after the rollback at prod/magika the former release is not back: not at host-1",
        ),
        (
            restoration.Overdue(PROD, A, 7, 60, (Name("host-1"), Name("host-2")), (Name("host-2"),)),
            "rollback overdue",
            (
                "alice finds that 60 s after the rollback at prod/magika the former release is not back: "
                "not at host-1, host-2; nothing is heard of host-2"
            ),
        ),
        (
            Examined(PROD, TAG, A, "damaged", (Flaw("gone", "a: gone"),), 1),
            "way back damaged",
            "alice finds that magika@1.0.0, to which prod/magika would go back, is not whole: 'a: gone'",
        ),
        (
            Examined(PROD, TAG, A, "unknown", (Flaw("unknown", "no answer"),), 1),
            "way back not proved",
            "alice cannot tell whether magika@1.0.0, to which prod/magika would go back, is whole: 'no answer'",
        ),
        (
            Examined(PROD, TAG, A, "whole", (), 0),
            "way back whole again",
            "alice finds that magika@1.0.0, to which prod/magika would go back, is whole again",
        ),
        (
            restoration.Overdue(PROD, A, 7, 60, ()),
            "rollback overdue",
            "alice finds that 60 s after the rollback at prod/magika the former release is not back: no host reports",
        ),
        (
            Offboarded(PROD_NAME, Name("mallory"), "she left", ALICE, A),
            "off-boarded",
            "alice off-boarded mallory, because 'she left'",
        ),
        (
            ReleaseRevoked(TAG, A, (B,), "it tells @everyone lies", ALICE, A),
            "release revoked",
            "alice revoked the release magika@1.0.0, because 'it tells everyone lies'",
        ),
        (
            KeyRevoked(PROD_NAME, A, "stolen", ALICE, A),
            "key revoked",
            f"alice revoked the key {A.hex[:16]} of prod, because 'stolen'",
        ),
        (
            Alerted(PROD, Danger.JAILBREAK, Severity.HIGH, None, B, ALICE, A),
            "high alert",
            f"alice raised a high jailbreak alert about {PROD}",
        ),
        (
            Observed(PROD, A, Name("gpt"), Shows("v"), ("snapshot was 'a', and is 'b'",), ("version is v",), ALICE, A),
            "provider changed",
            f"alice saw another gpt at {PROD}: 'version is v; snapshot was 'a', and is 'b''",
        ),
        (
            Alerted(PROD, Danger.TOOL, Severity.CRITICAL, A, B, ALICE, A),
            "critical alert",
            f"alice raised a critical tool alert about {PROD}, release {A.hex[:16]}",
        ),
        (
            release.KeysOpened(TAG, A, Name("bob"), A),
            "keys opened",
            "bob got the keys of magika@1.0.0, to read its files and take them elsewhere",
        ),
    ],
)
def test_one_sentence_names_who_what_and_which_entry(event, title, sentence):
    found = told(event)

    assert found.title == f"Lockgate prod: {title}"
    assert found.text == f"{sentence} (entry 7, 2026-11-21T12:00:00.000000Z)."
    assert found.entry == 7


@pytest.mark.parametrize("severity", [Severity.LOW, Severity.MEDIUM])
def test_nobody_is_woken_for_a_minor_alert(severity):
    assert told(Alerted(PROD, Danger.TOOL, severity, None, B, ALICE, A)) is None


def test_a_provider_that_is_what_it_was_wakes_nobody():
    assert told(Observed(PROD, A, Name("gpt"), Shows("v"), (), (), ALICE, A)) is None


def test_what_is_not_known_is_told_as_such():
    later = entry(EVENTS[0], 7).replace(b"release.registered/v1", b"release.melted/v9")

    assert "an entry that this version of Lockgate cannot read (entry 7)" in notice_of(later, 7, "prod", str).text
    assert notice_of(b"\xff", 8, "prod", str).text == (
        "somebody wrote an entry that this version of Lockgate cannot read (entry 8)."
    )


def test_a_log_is_frozen_and_no_longer_frozen():
    assert frozen("prod", "has 7 entries, not 9").text == (
        "The log of prod is frozen, so nothing is granted and nothing is signed: 'has 7 entries, not 9'."
    )
    assert "no longer frozen" in frozen("prod", None).text
    assert frozen("prod", None).entry is None
    assert "prod" in tried("prod").title


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cause found, and fixed (twice)", "'cause found, and fixed (twice)'"),
        ("@everyone <!channel> look", "'everyone !channel look'"),
        ("see https://evil.example/x", "'see https: evil.example x'"),
        ("[here](http://evil)", "'here (http: evil)'"),
        ("*bold* _it_ `code` ~no~ |x| #h", "'bold it code no x h'"),
        ("two\nlines\r\n\ttabs", "'two lines tabs'"),
        ("${HOME} {{x}} $(id) \\n %s", "'HOME x (id) n %s'"),
        ("<b>html</b> &amp; &#64;", "'b html b amp; 64;'"),
        ("\x1b[31mred\x00 \u202eback", "'31mred back'"),
        (":smile:", "':smile:'"),
        ("", "no reason that can be read"),
        ("\u200b@<>", "no reason that can be read"),
        ("größer ÄÖ 好", "'größer ÄÖ 好'"),
        ("x" * 500, f"'{'x' * 240} (and more)'"),
    ],
)
def test_words_of_others_are_words_and_nothing_else(text, says):
    assert quoted(text) == says


@given(st.text(max_size=600))
def test_whatever_it_is_it_stays_one_harmless_line(text):
    found = quoted(text)

    assert len(found) <= 260
    assert found.isprintable()
    assert not set(found) & set('<>[]{}*_`~|\\@#&$/"')


def test_an_actor_that_no_trust_would_name_does_no_harm():
    odd = canonical.parse_object(entry(EVENTS[14], 7))
    odd["actor"] = "<@everyone> [x](http://y)"

    found = notice_of(canonical.encode(odd), 7, "prod", str)

    assert found.text.startswith("everyone x (http: y) put version 1 of the trust")


def test_what_is_not_cut_is_told_without_what_others_could_write_into_it():
    severed = Severed(Name("crm"), "webhook", "open", NOW, NOW, "see <https://evil.example> @all")
    halt = Halt(Name("host-1"), PROD, (), "none", None, NOW, (severed,))

    notice = still_open("prod", halt)

    assert notice.entry is None and "crm is open" in notice.text and "prod/magika" in notice.text
    assert "<" not in notice.text and "@" not in notice.text


def test_what_two_releases_share_is_told_in_words_alone():
    shared = Shared(PROD, (A, B), "file", "/tmp/<b>@all</b>")
    notice = kept_together("prod", Ties(Name("host-1"), NOW, (), (shared,)))

    assert "host-1" in notice.text and "prod/magika" in notice.text and "file" in notice.text
    assert not set("<>@/") & set(notice.text.replace("prod/magika", ""))


def test_who_shall_approve_is_told_where_to_look():
    opened = entry(change.Opened(PROD, A, B, ALICE), 7)

    found = notice_of(opened, 7, "prod", lambda _: "to serve it", "https://lockgate.example")

    assert "lockgate change approve 7, https://lockgate.example/api/v1/changes/7 (entry 7" in found.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "to serve magika@1.0.0 at prod/magika where nothing serves yet, all at once, because 'why'"),
        ({"resumes": True}, "to resume magika@1.0.0 at prod/magika where nothing serves yet, all at once"),
        ({"reason": "<@all> now"}, "because 'all now'"),
    ],
)
def test_what_a_change_asks_for_is_said_in_one_sentence(changes, says):
    assert says in asked(content_of(release_of_dossier(), **changes), "where nothing serves yet", ", all at once")
