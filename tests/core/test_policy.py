"""Which rules mean something? Those that demand something of everybody, for a time that is one."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.binding import Bound
from lockgate.core.measure import decimal
from lockgate.core.policy import (
    POLICY,
    Approvals,
    Evaluation,
    Lease,
    Scans,
    check_policy,
    check_rules,
    check_suites,
    open_policy,
)
from lockgate.core.provider import Pin
from lockgate.core.rights import Role
from lockgate.core.trial import LAYERS
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical, dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.core.dossiers import TICK, ruling
from tests.core.strategies import DEMANDS
from tests.world import CONTENT, NOW, PROD, agreed, key, policy, rules, trust

ROOT = trust().root


def suite(**changes):
    return {"evaluations": (replace(rules().evaluations[0], **changes),)}


def rollout(**changes):
    return {"rollout": replace(DEMANDS, **changes)}


def scans(**changes):
    return {"scans": replace(Scans(30), **changes)}


def bound(count):
    return {Name(f"tool-{number}"): Bound("webhook") for number in range(count)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"components": ()}, "no component is required"),
        ({"approvals": Approvals(0, Role.APPROVER)}, "0 approvals would let a change through unseen"),
        ({"approvals": Approvals(-1, Role.APPROVER)}, "-1 approvals would let a change through unseen"),
        ({"lease": Lease(1, "stop")}, "a lease lasts 2 to 3600 seconds, not 1"),
        ({"lease": Lease(3601, "stop")}, "a lease lasts 2 to 3600 seconds, not 3601"),
        ({"lease": Lease(30, "grace")}, "grace_seconds goes with on_silence: grace"),
        ({"lease": Lease(30, "stop", 5)}, "grace_seconds goes with on_silence: grace"),
        ({"lease": Lease(30, "grace", -1)}, "a span of time is not positive"),
        ({"rollback_seconds": 0}, "a span of time is not positive"),
        ({"provider_pins": (Pin.REGION, Pin.REGION)}, "provider_pins names something twice"),
        (rollout(first_weight=0), "a rollout begins with 1 to 100 %, not 0 %"),
        (rollout(first_weight=101), "a rollout begins with 1 to 100 %, not 101 %"),
        (rollout(metrics=("errors", "errors")), "rollout.metrics names something twice"),
        (rollout(window_seconds=0, least_seconds=0), "a rollout lasts 1 s to 30 days, not 0 s"),
        (rollout(window_seconds=30 * 86_400 + 1), "a rollout lasts 1 s to 30 days, not 2592001 s"),
        (rollout(least_seconds=-1), "rollout.least_seconds is 0 or more, and less than window_seconds"),
        (rollout(least_seconds=86_400), "rollout.least_seconds is 0 or more, and less than window_seconds"),
        ({"bindings": {}}, "bindings names 1 to 32 of them, not 0"),
        ({"bindings": bound(33)}, "bindings names 1 to 32 of them, not 33"),
        (suite(metrics={}), "suite file-types demands no metric"),
        (suite(max_age_days=0), "suite file-types demands no metric, or not 1 to 3650 days"),
        (suite(max_age_days=3651), "suite file-types demands no metric, or not 1 to 3650 days"),
        (suite(metrics={"accuracy": "high"}), "suite file-types demands of accuracy: not a decimal number: 'high'"),
        (
            suite(metrics={"accuracy": "NaN"}),
            "suite file-types demands of accuracy: not a decimal number: 'NaN'",
        ),
        (suite(metrics={"accuracy": "0"}), "suite file-types demands 0 of accuracy, which is to demand nothing"),
        (suite(metrics={"accuracy": "0.000"}), "demands 0.000 of accuracy, which is to demand nothing"),
        (suite(metrics={"accuracy": "-0.1"}), "demands -0.1 of accuracy, which is to demand nothing"),
        (suite(metrics={"accuracy": "1.01"}, least={"accuracy": 5}), "1.01 of accuracy, which no count reaches"),
        (suite(least={"accuracy": 0}), "suite file-types demands 0 samples of accuracy, not 1 to 1000000000"),
        (suite(least={"accuracy": -1}), "demands -1 samples of accuracy, not 1 to"),
        (suite(least={"accuracy": 10**9 + 1}), "demands 1000000001 samples of accuracy, not 1 to"),
        (suite(least={"recall": 5}), "demands 5 samples of recall, and no threshold"),
        (suite(metrics={"security": "1"}), "suite file-types demands security without utility"),
        (suite(metrics={"security-x": "1", "a-utility": "1"}), "suite file-types demands security without utility"),
        (suite(digests=()), "suite file-types lists no content that it may have, or one twice"),
        (suite(digests=(CONTENT, CONTENT)), "suite file-types lists no content that it may have, or one twice"),
        (suite(versions="1.0.0"), "not a range of versions like '>=1.2.0 <2.0.0': '1.0.0'"),
        (suite(versions=""), "not a range of versions"),
        (suite(isolation=("docker",)), "demands isolation by something else than namespaces, seccomp, landlock"),
        (suite(isolation=("limits", "limits")), "demands isolation by something else than .*, or twice"),
        (suite(trials=0), "suite file-types allows 0 trials, not 1 to 100"),
        (suite(trials=101), "suite file-types allows 101 trials, not 1 to 100"),
        ({"evaluations": rules().evaluations * 2}, "evaluations names a suite twice"),
        (suite(suite="scan"), "suite scan is a scan: demand it by scans"),
        (suite(suite="scan/second"), "suite scan/second is a scan: demand it by scans"),
        (suite(metrics={"accuracy": "1_0"}), "demands of accuracy: not a decimal number: '1_0'"),
        (scans(max_age_days=0), "scans are 1 to 3650 days old, not 0"),
        (scans(max_age_days=3651), "scans are 1 to 3650 days old, not 3651"),
        (scans(rules=()), "scans.rules lists no rule set, or one twice"),
        (scans(rules=(CONTENT, CONTENT)), "scans.rules lists no rule set, or one twice"),
        (scans(exceptions=("pickle", "pickle")), "scans.exceptions lists something twice, or what is no name"),
        (scans(exceptions=("Pickle",)), "scans.exceptions lists something twice, or what is no name"),
        (scans(also=("a", "a")), "scans.also lists something twice, or what is no name"),
        (scans(also=("scan/a",)), "scans.also lists something twice, or what is no name"),
    ],
)
def test_rules_that_could_not_mean_what_their_author_wanted_are_refused(changes, reason):
    with pytest.raises(VerificationError, match=f"{PROD}: .*{reason}|^{reason}"):
        check_rules(str(PROD), replace(rules(), **changes))
    with pytest.raises(VerificationError, match=reason):
        open_policy(agreed(ruling(**changes), POLICY), ROOT, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"approvals": Approvals(1, Role.SECURITY_AUTHORITY)},
        {"lease": Lease(2, "stop")},
        {"lease": Lease(3600, "grace", 0)},
        {"rollback_seconds": 1},
        {"provider_pins": ()},
        {"provider_pins": tuple(Pin)},
        {"evaluations": ()},
        rollout(),
        rollout(first_weight=1, least_seconds=0, metrics=(), window_seconds=1),
        rollout(first_weight=100, window_seconds=30 * 86_400),
        {"bindings": bound(1)},
        {"bindings": bound(32)},
        suite(metrics={"accuracy": "1"}, least={"accuracy": 1}),
        suite(metrics={"loss": "1.5"}),
        suite(metrics={"security-x": "1", "utility": "0.1"}),
        suite(metrics={"accuracy": "1"}, least={}, isolation=(), served=False),
        suite(versions=">=1.0.0 <2.0.0", isolation=LAYERS, trials=1, served=True),
        suite(digests=None, trials=100, least={"accuracy": 10**9}),
        scans(),
        scans(max_age_days=3650, rules=(CONTENT,), exceptions=("pickle", "native-code"), also=("second",)),
        scans(exceptions=(), also=()),
        suite(max_age_days=1),
        suite(max_age_days=3650),
    ],
)
def test_rules_at_the_edge_are_rules(changes):
    found = ruling(**changes)

    opened = open_policy(agreed(found, POLICY), ROOT, NOW)
    assert opened.document == found and opened.digest == Digest.of(plain.encode(found))


SECURE = "suite file-types demands security without utility: what answers nothing is secure"


def test_all_that_is_wrong_is_said_at_once():
    spoilt = ruling(**suite(metrics={"security": "0"}, least={"security": 0}, trials=0), **scans(max_age_days=0))
    spoilt = replace(spoilt, rule_changes=Approvals(-1, Role.AUDITOR), expires=NOW)

    with pytest.raises(VerificationError) as caught:
        check_policy(spoilt, NOW)
    assert str(caught.value).split("; ") == [
        "prod/magika: suite file-types demands 0 of security, which is to demand nothing",
        f"prod/magika: {SECURE}. Demand a measure called utility… too",
        "prod/magika: suite file-types demands 0 samples of security, not 1 to 1000000000",
        "prod/magika: suite file-types allows 0 trials, not 1 to 100",
        "prod/magika: scans are 1 to 3650 days old, not 0",
        "rule_changes: -1 approvals would let one person change the rules",
        "rule_changes: the role auditor may approve nothing",
        f"policy of prod version 1 expired at {NOW}",
    ]


@pytest.mark.parametrize("place", ["rule_changes", "approvals"])
def test_an_unknown_role_is_refused(place):
    written = plain.to_plain(policy())
    (written if place == "rule_changes" else written["endpoints"][str(PROD)])[place]["role"] = "boss"

    with pytest.raises(VerificationError, match=f"{place}.role: found 'boss', wanted one of viewer, author"):
        open_policy(dsse.sign(canonical.encode(written), POLICY, [key("root1"), key("root2")]).encode(), ROOT, NOW)


def asking(*suites):
    return ruling(evaluations=tuple(Evaluation(name, {"a": "1"}, 1, pinned) for name, pinned in suites))


@pytest.mark.parametrize(
    ("wanted", "added"),
    [
        (policy(), ()),
        (asking(("agentic", (CONTENT,))), ()),
        (asking(("agentic", None)), ["agentic"]),
        (asking(("baseline", None), ("scan", None), ("scan/second", None), ("reward-hacking", None)), ()),
        (asking(), ()),
    ],
)
def test_a_suite_is_ours_pinned_or_added(wanted, added):
    check_suites(wanted, added)


@pytest.mark.parametrize(
    ("name", "added"), [("agentic", ()), ("agentic", ["agentic2"]), ("scan/", ()), ("basline", ())]
)
def test_a_suite_that_nobody_knows_is_refused_with_the_way_out(name, added):
    with pytest.raises(DeniedError, match=f"nobody knows the suite '{name}': pin its content by `digests`, or add it"):
        check_suites(asking((name, None), ("other", (CONTENT,))), added)


def test_every_suite_that_nobody_knows_is_named():
    with pytest.raises(DeniedError) as caught:
        check_suites(asking(("one", None), ("two", None), ("baseline", None)), ["three"])
    assert [reason[:28] for reason in caught.value.reasons] == [
        "nobody knows the suite 'one'",
        "nobody knows the suite 'two'",
    ]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Approvals(0, Role.APPROVER), "0 approvals would let one person change the rules"),
        (Approvals(-1, Role.APPROVER), "-1 approvals would let one person change the rules"),
        *((Approvals(1, role), f"the role {role} may approve nothing") for role in Role if role is not Role.APPROVER),
    ],
)
def test_rules_that_one_person_or_nobody_could_change_are_refused(wanted, reason):
    with pytest.raises(VerificationError, match=f"rule_changes: {reason}"):
        open_policy(agreed(replace(policy(), rule_changes=wanted), POLICY), ROOT, NOW)
    open_policy(agreed(replace(policy(), rule_changes=Approvals(1, Role.APPROVER)), POLICY), ROOT, NOW)


def test_a_policy_without_its_rule_changes_is_refused():
    written = {name: value for name, value in plain.to_plain(policy()).items() if name != "rule_changes"}

    with pytest.raises(VerificationError, match="member 'rule_changes' is missing"):
        open_policy(dsse.sign(canonical.encode(written), POLICY, [key("root1"), key("root2")]).encode(), ROOT, NOW)


@pytest.mark.parametrize(
    ("bindings", "reason"),
    [
        ({"Memory": {"kind": "redis"}}, "not a name"),
        ({"../memory": {"kind": "redis"}}, "not a name"),
        ({"memory": {"kind": "postgresql"}}, "wanted one of postgres, redis, webhook, credential, mcp"),
        ({"memory": {"kind": "redis", "address": "127.0.0.1"}}, "unknown member 'address'"),
        ({"memory": {}}, "member 'kind' is missing"),
        (["memory"], "wanted an object"),
    ],
)
def test_a_near_miss_of_a_binding_is_refused(bindings, reason):
    written = plain.to_plain(ruling())
    written["endpoints"][str(PROD)]["bindings"] = bindings

    with pytest.raises(VerificationError, match=reason):
        open_policy(dsse.sign(canonical.encode(written), POLICY, [key("root1"), key("root2")]).encode(), ROOT, NOW)


def test_a_policy_rules_in_its_own_environment():
    elsewhere = replace(policy(), endpoints={"dev/magika": rules()})

    with pytest.raises(VerificationError, match="the policy of prod names dev/magika"):
        open_policy(agreed(elsewhere, POLICY), ROOT, NOW)


@pytest.mark.parametrize("name", ["prod", "prod/", "prod/Magika", "../magika", "prod/magika/x"])
def test_a_policy_names_endpoints(name):
    with pytest.raises(VerificationError):
        open_policy(agreed(replace(policy(), endpoints={name: rules()}), POLICY), ROOT, NOW)


def test_a_policy_is_good_until_it_expires():
    document = agreed(policy(), POLICY)

    open_policy(document, ROOT, policy().expires - TICK)
    with pytest.raises(VerificationError, match="policy of prod version 1 expired"):
        open_policy(document, ROOT, policy().expires)


def test_there_is_no_default_for_an_endpoint_that_the_policy_does_not_name():
    assert policy().rules_for(PROD) == rules()
    for name in ("prod/other", "prod/magika2", "dev/magika"):
        with pytest.raises(DeniedError, match=f"does not name {name}, so nothing may serve there"):
            policy().rules_for(Endpoint.parse(name))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one",
        "NaN",
        "-Infinity",
        "sNaN",
        "0.95.1",
        "1_0",
        " 1",
        "1 ",
        "1\n",
        "+1",
        ".5",
        "5.",
        "\u0661",
        "\u00a01",
        "9" * 41,
        "1e" + "9" * 39,
        "0x1",
    ],
)
def test_what_is_no_finite_decimal_number_is_refused(text):
    with pytest.raises(VerificationError, match=r"not a (finite )?decimal number"):
        decimal(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_a_decimal_number_is_read_exactly(number):
    assert decimal(str(number)) == number and isinstance(decimal(str(number)), Decimal)


def test_forty_digits_are_read():
    assert decimal("9" * 40) == Decimal("9" * 40)
