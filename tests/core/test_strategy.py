"""Which strategies mean something? Those that only go up, come to an end, and cannot be promoted without numbers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.difference import strategy_words
from lockgate.core.strategy import (
    ALPHA,
    MAX_METRICS,
    MAX_STEPS,
    Analysis,
    Envoy,
    OnAlert,
    Pause,
    Prometheus,
    Sequential,
    SetWeight,
    Strategy,
    Threshold,
    check_strategy,
    open_strategy,
    unmet,
)
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.strategies import (
    ALERT,
    BLUE_GREEN,
    CANARY,
    DEMANDS,
    ERRORS,
    JUDGED,
    MCP,
    SLOW,
    STICKY,
    TRIED,
    USERS,
    canary,
    judged_by,
)


def steps(*weights_and_others):
    return canary(steps=tuple(SetWeight(one) if isinstance(one, int) else one for one in weights_and_others))


def spoilt(metric, **changes):
    return judged_by(ERRORS if metric is not ERRORS else SLOW, replace(metric, test=replace(metric.test, **changes)))


def stuck(*metrics, header="x-user"):
    """Let callers stay with a release, and judge by these metrics too."""
    return judged_by(SLOW, *metrics, sticky_by=header)


def written(changes):
    return canonical.encode({**canonical.parse_object(plain.encode(CANARY)), **changes})


def reasons_of(strategy):
    with pytest.raises(DeniedError) as caught:
        check_strategy(strategy)
    return caught.value.reasons


@pytest.mark.parametrize(
    "strategy",
    [
        CANARY,
        BLUE_GREEN,
        steps(100),
        steps(1, 2, 99, 100),
        steps(Pause(1), 100),
        steps(*[Pause()] * (MAX_STEPS - 1), 100),
        judged_by(ERRORS),
        judged_by(MCP),
        judged_by(ERRORS, spoilt(TRIED, alpha="0.01").metrics[1]),
        spoilt(ERRORS, alpha="0.01", margin="1"),
        spoilt(ERRORS, margin="10", source=Prometheus("bad", "total")),
        spoilt(SLOW, quantile="0.5", bound="-1", least_requests=1, failure_limit=0),
        canary(max_seconds=30 * 86_400),
        canary(patience_seconds=1, no_data_seconds=1),
        canary(patience_seconds=86_400, no_data_seconds=86_400),
        STICKY,
        stuck(JUDGED),
        replace(stuck(JUDGED), steps=(SetWeight(99), SetWeight(100))),
        stuck(replace(ERRORS, dry_run=True)),
        stuck(header="x-forwarded-for"),
        stuck(header="x" * 63),
    ],
)
def test_a_strategy_at_the_edge_is_one(strategy):
    check_strategy(strategy)
    document = plain.encode(strategy)

    assert open_strategy(document, strategy.digest) == strategy and Digest.of(document) == strategy.digest


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        (steps(), "a strategy has 1 to 64 steps, not 0"),
        (steps(*[Pause()] * MAX_STEPS, 100), "a strategy has 1 to 64 steps, not 65"),
        (steps(0, 100), "step 1 sets the weight 0, which is not 1 to 100"),
        (steps(-5, 100), "step 1 sets the weight -5, which is not 1 to 100"),
        (steps(5, 101), "step 2 sets the weight 101, which is not 1 to 100"),
        (steps(5, 20, 10, 100), "step 3 lowers the weight from 20 to 10: it never falls"),
        (steps(100, 5), "step 2 lowers the weight from 100 to 5: it never falls"),
        (steps(5, Pause(1), 5, 100), "step 3 sets the weight 5 again, which changes nothing"),
        (steps(5, 50), "the weights end at 50, and must end at 100"),
        (steps(Pause(1)), "the weights end at 0, and must end at 100"),
        (steps(Pause(0), 100), "step 1 pauses for 0 s, not for 1 s to 30 days"),
        (steps(Pause(-1), 100), "step 1 pauses for -1 s"),
        (steps(Pause(30 * 86_400 + 1), 100), "step 1 pauses for 2592001 s"),
        (steps(Analysis(()), 100), "step 1 waits for no metric"),
        (steps(Analysis((Name("errorz"),)), 100), "step 1 waits for errorz, and no metric is called so"),
        (steps(Analysis((Name("jailbreak"),)), 100), "step 1 waits for jailbreak, which brings no data that counts"),
        (steps(Analysis((Name("tried"),)), 100), "step 1 waits for tried, which brings no data that counts"),
        (steps(Analysis((Name("mcp"),) * 2), 100), "step 1 names a metric twice"),
        (judged_by(), "no metric brings data that counts, so nothing could ever be promoted"),
        (judged_by(ALERT, TRIED), "no metric brings data that counts"),
        (judged_by(ERRORS, ERRORS), "2 metrics are called errors"),
        (judged_by(*[replace(MCP, name=Name(f"m{n}")) for n in range(MAX_METRICS + 1)]), "at most 32 metrics, not 33"),
        (judged_by(replace(ERRORS, interval_seconds=0)), "metric errors: the interval is 0 s, not 1 s to 1 h"),
        (judged_by(replace(ERRORS, interval_seconds=3601)), "the interval is 3601 s"),
        (spoilt(ERRORS, alpha="0"), "metric errors: alpha is '0', not a number above 0 and at most 0.01"),
        (spoilt(ERRORS, alpha="-0.001"), "alpha is '-0.001'"),
        (spoilt(ERRORS, alpha="0.011"), "alpha is '0.011'"),
        (spoilt(ERRORS, alpha="little"), "alpha is 'little'"),
        (spoilt(ERRORS, alpha="NaN"), "alpha is 'NaN'"),
        (spoilt(ERRORS, margin="0.9"), "the odds margin is '0.9', not a number from 1 to 10"),
        (spoilt(ERRORS, margin="10.1"), "the odds margin is '10.1'"),
        (spoilt(ERRORS, margin=""), "the odds margin is ''"),
        (spoilt(ERRORS, source=Prometheus("bad")), "there is no data: a sequential test needs a query"),
        (spoilt(ERRORS, source=Prometheus(" ", "total")), "there is no data: a sequential test needs a query"),
        (
            judged_by(
                *(replace(ERRORS, name=Name(f"e{n}"), test=Sequential("errors", "0.004", "1", Envoy())) for n in "abc")
            ),
            "the alphas add up to 0.012, more than 0.01",
        ),
        (spoilt(SLOW, bound="slow"), "metric slow: the bound is 'slow', which is no number"),
        (spoilt(SLOW, least_requests=0), "there are failures without a request"),
        (spoilt(SLOW, failure_limit=-1), "a count is negative"),
        (spoilt(SLOW, missing_limit=1_000_001), "a count is negative or too large"),
        (spoilt(SLOW, quantile=None), "a quantile goes with latency"),
        (spoilt(SLOW, event="errors"), "a quantile goes with latency"),
        (spoilt(SLOW, quantile="1"), "the quantile is '1', not a number between 0 and 1"),
        (spoilt(SLOW, quantile="0"), "the quantile is '0'"),
        (spoilt(SLOW, quantile="most"), "the quantile is 'most'"),
        (spoilt(SLOW, event=None, quantile=None), "there is no data: it says neither an event"),
        (spoilt(MCP, source=Prometheus("")), "metric mcp: there is no data: a threshold needs one query"),
        (spoilt(MCP, source=Prometheus("x", "y")), "a threshold needs one query"),
        (spoilt(MCP, event="errors"), "neither event nor quantile goes with it"),
        (judged_by(ERRORS, replace(ALERT, dry_run=True)), "metric jailbreak: an alert that decides nothing is none"),
        (canary(max_seconds=0), "maxDuration is 0 s, not 1 s to 30 days"),
        (canary(max_seconds=30 * 86_400 + 1), "maxDuration is 2592001 s"),
        (canary(patience_seconds=-1), "patience is -1 s"),
        (canary(no_data_seconds=0), "noData is 0 s"),
        (canary(patience_seconds=3601), "patience is at most noData, and noData at most maxDuration"),
        (canary(no_data_seconds=86_401), "patience is at most noData, and noData at most maxDuration"),
        (canary(max_seconds=360, patience_seconds=60, no_data_seconds=60), "the pauses take 360 s, and all of it may"),
        (replace(BLUE_GREEN, steps=(SetWeight(5), SetWeight(100))), "blue-green goes to 100 at once, not by 5, 100"),
        *(
            (stuck(header=header), "stickyBy is no header of callers, in lower case")
            for header in ("", "x user", "x" * 64, "x-usér", "X-User", "host", "x-release", "x-envoy-a", "1x")
        ),
        (stuck(ERRORS), "metric errors: where callers stay with a release their requests are not independent"),
        (stuck(replace(TRIED, dry_run=False)), "metric tried: where callers stay"),
        (stuck(replace(USERS, test=Sequential("errors", "0.004", "1", Prometheus("a", "b")))), "errors: where callers"),
        (spoilt(ERRORS, unit="user"), "metric errors: the gateway tells users apart by a header, and stickyBy names"),
        (stuck(JUDGED, header="X-User"), "stickyBy is no header of callers"),
        (
            replace(stuck(JUDGED), steps=(Pause(1), SetWeight(100))),
            "metric errors: at no step both releases have users",
        ),
        (replace(BLUE_GREEN, metrics=(JUDGED,), sticky_by="x-user"), "at no step both releases have users"),
        *(
            (stuck(spoilt(JUDGED, event=event).metrics[1]), f"who had an error: {reason}")
            for event, reason in (
                ("latency", "one slow request of many makes no slow user"),
                ("guardrail", "what a guardrail said it does not see"),
                ("tool", "calls of tools it does not see"),
            )
        ),
    ],
)
def test_a_strategy_that_could_not_mean_what_its_author_wanted_is_refused(strategy, reason):
    assert [found for found in reasons_of(strategy) if reason in found]
    with pytest.raises(DeniedError, match=r"."):
        open_strategy(plain.encode(strategy), strategy.digest)


def test_every_reason_is_given_at_once():
    bad = canary(steps=(SetWeight(120), Pause(-1), SetWeight(50)), metrics=(), max_seconds=0)

    assert len(reasons_of(bad)) == 7


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"{}", "wanted type strategy/v1"),
        (written({"more": 1}), "unknown member 'more'"),
        (written({"steps": [{"type": "jump"}]}), "found type 'jump'"),
        (written({"on_failure": "ignore"}), "wanted one of rollback, pause"),
    ],
)
def test_what_is_no_strategy_is_not_read_as_one(document, reason):
    with pytest.raises(VerificationError, match=reason):
        open_strategy(document, Digest.of(document))


def test_a_strategy_with_another_digest_is_another_one():
    with pytest.raises(VerificationError, match=f"the strategy is {CANARY.digest}, not {BLUE_GREEN.digest}"):
        open_strategy(plain.encode(CANARY), BLUE_GREEN.digest)


def test_a_policy_that_demands_what_the_strategy_does_has_nothing_against_it():
    assert list(unmet(CANARY, DEMANDS)) == []


@pytest.mark.parametrize(
    ("strategy", "demands", "reason"),
    [
        (CANARY, {"first_weight": 4}, "the candidate begins with 5 % of the traffic, the policy allows 4 %"),
        (BLUE_GREEN, {}, "the candidate begins with 100 % of the traffic, the policy allows 5 %"),
        (CANARY, {"least_seconds": 301}, "the pauses before 100 % take 300 s, the policy demands 301 s"),
        (CANARY, {"window_seconds": 86_399}, "the rollout may take 86400 s, the policy allows 86399 s"),
        (CANARY, {"metrics": ("guardrail",)}, "the policy demands a metric for guardrail"),
        (judged_by(MCP), {"metrics": ("tool",)}, "the policy demands a metric for tool"),
    ],
)
def test_what_a_policy_demands_and_a_strategy_does_not_do_is_said(strategy, demands, reason):
    assert reason in list(unmet(strategy, replace(DEMANDS, **demands)))


def test_a_strategy_is_said_in_words():
    assert list(strategy_words(CANARY)) == [
        "canary, at most 1 days from the first step to the last",
        "step 1: 5 % of new traffic goes to the candidate",
        "step 2: wait 5 min",
        "step 3: wait until errors passed",
        "step 4: 50 % of new traffic goes to the candidate",
        "step 5: wait until a person goes on",
        "step 6: 100 % of new traffic goes to the candidate",
        "step 7: wait 1 min",
        (
            "metric errors: fails when errors of the candidate are shown to be worse than those of the stable release "
            "by more than 1.5 times the odds (alpha 0.004), every 5 s, as the gateway counts"
        ),
        (
            "metric slow: fails when the 0.99 quantile of latency in ms > 800 in more than 2 intervals of 20 requests "
            "or more; 4 without an answer and 10 without data are borne, every 5 s, as the gateway counts"
        ),
        (
            "metric mcp: fails when the result > 0.05 in more than 0 intervals of 20 requests or more; 4 without an "
            "answer and 10 without data are borne, every 1 min, by the query 'rate(x)'"
        ),
        (
            "metric tried: fails when guardrail of the candidate are shown to be worse than those of the stable "
            "release by more than 1 times the odds (alpha 0.004), every 5 s, as the gateway counts; a dry run, which "
            "decides nothing"
        ),
        "metric jailbreak: fails at once by an alert of kind jailbreak, high or worse",
        "if a metric fails, all traffic goes back to the stable release",
        (
            "without evidence for 10 min a person is asked; without data for 1 h all traffic goes back to the stable "
            "release"
        ),
    ]
    assert list(strategy_words(STICKY))[-1] == "who sends the same x-user gets the same release"
    assert "by the query failed_users of users, where one user counts once" in "".join(strategy_words(STICKY))


@pytest.mark.parametrize("name", [field for field in Strategy.__dataclass_fields__ if field != "type"])
def test_words_differ_where_strategies_differ(name):
    others = {
        "kind": "blue-green",
        "steps": (SetWeight(100),),
        "metrics": (ERRORS,),
        "on_failure": "pause",
        "sticky_by": "x-user",
    }
    other = canary(**{name: others.get(name, 7200)})

    assert list(strategy_words(other)) != list(strategy_words(CANARY))


_WEIGHTS = st.lists(st.one_of(st.integers(-1, 102), st.none()), max_size=8)


@given(_WEIGHTS)
def test_what_is_accepted_rises_from_nothing_to_everything(written):
    strategy = canary(steps=tuple(Pause() if one is None else SetWeight(one) for one in written))
    weights = [one for one in written if one is not None]
    good = bool(weights) and weights == sorted(set(weights)) and weights[0] > 0 and weights[-1] == 100
    try:
        check_strategy(strategy)
    except DeniedError:
        assert not good
    else:
        assert good


@given(st.lists(st.decimals("0.0001", "0.01", places=4), min_size=1, max_size=6))
def test_healthy_candidates_are_never_blamed_more_often_than_agreed(alphas):
    metrics = tuple(
        replace(ERRORS, name=Name(f"m{n}"), test=replace(ERRORS.test, alpha=str(alpha)))
        for n, alpha in enumerate(alphas)
    )
    try:
        check_strategy(judged_by(*metrics))
    except DeniedError:
        assert sum(alphas) > ALPHA
    else:
        assert sum(alphas) <= ALPHA


def test_alerts_and_thresholds_spend_no_alpha():
    check_strategy(judged_by(replace(ERRORS, test=replace(ERRORS.test, alpha="0.01")), SLOW, MCP, ALERT))
    assert isinstance(ALERT.test, OnAlert) and isinstance(MCP.test, Threshold)
