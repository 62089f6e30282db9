"""What does bad input about a rollout do to the traffic? Nothing, and every reason is said."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.raise_alert import raise_alert
from lockgate.core.intent import Intent, sign_intent
from lockgate.core.journal import alerts_subject
from lockgate.core.strategy import Analysis, Prometheus, SetWeight
from lockgate.errors import DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import canonical
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.strategies import ERRORS, SLOW, canary
from tests.rolling import begin, go_on, open_rollout, order, weights
from tests.world import PROD, key

SHARES = {"magika@1.0.0": 95, "magika@1.1.0": 5}


@contextmanager
def untouched(world, error, *reasons):
    """Something is refused for all of these reasons, and neither traffic nor log notice."""
    before = world.memory.size(), weights(world), world.endpoint()
    with pytest.raises(LockgateError) as caught:
        yield
    assert type(caught.value) is error
    assert not [reason for reason in reasons if reason not in str(caught.value)], str(caught.value)
    assert (world.memory.size(), weights(world), world.endpoint()) == before


def spoilt(metric, **changes):
    return replace(metric, test=replace(metric.test, **changes))


@pytest.fixture
def rolling(world):
    """A candidate that has 5 % of the traffic."""
    begin(world)
    go_on(world)
    assert weights(world) == SHARES
    return world


@pytest.mark.parametrize(
    ("strategy", "reasons"),
    [
        (
            canary(steps=(SetWeight(50), SetWeight(5))),
            ["lowers the weight from 50 to 5", "end at 5, and must end at 100"],
        ),
        (canary(steps=(SetWeight(50), SetWeight(120))), ["sets the weight 120", "end at 120"]),
        (canary(steps=(SetWeight(5),), max_seconds=2**31), ["the weights end at 5", "maxDuration is 2147483648 s"]),
        (
            canary(steps=(Analysis((Name("errorz"),)), SetWeight(100)), metrics=(replace(ERRORS, dry_run=True),)),
            ["waits for errorz, and no metric is called so", "no metric brings data that counts"],
        ),
        (
            canary(metrics=(ERRORS, spoilt(SLOW, source=Prometheus("")))),
            ["metric slow: there is no data", "neither event nor quantile goes with it"],
        ),
        (canary(sticky_by="Host"), ["stickyBy is no header of callers", "alpha would be no promise"]),
        (
            canary(metrics=(spoilt(ERRORS, alpha="0", margin="11"),)),
            ["alpha is '0'", "the odds margin is '11', not a number from 1 to 10"],
        ),
    ],
)
def test_a_strategy_that_means_nothing_is_refused_with_every_reason(world, strategy, reasons):
    world.serve("1.0.0")
    release = world.register("1.1.0")

    with untouched(world, DeniedError, *reasons):
        open_rollout(world, release, strategy)
    assert weights(world) == {"magika@1.0.0": 100}


def test_a_change_from_a_stale_epoch_is_refused(rolling):
    stale = rolling.endpoint().epoch - 1
    order(rolling, "abort")
    other = rolling.register("1.2.0")

    with untouched(rolling, DeniedError, f"stands at entry {rolling.endpoint().epoch}, not {stale}"):
        open_rollout(rolling, other, epoch=stale)


def raised(world, signer, *, claims="guard", of=None, nonce="nonce-alert-0001"):
    event = {"specversion": "1.0", "id": "1", "source": "x", "type": "alert/v1", "subject": str(PROD)}
    event |= {"data": {"kind": "jailbreak", "severity": "critical"} | ({"release": str(of)} if of else {})}
    said = Intent(
        "alert.raise",
        str(PROD),
        of,
        Digest.of(canonical.encode(event)),
        Name(claims),
        nonce,
        world.now + timedelta(hours=1),
    )
    raise_alert(world.installation, event, sign_intent(said, key(signer)), world.now)


@pytest.mark.parametrize(
    ("signer", "changes", "error"),
    [
        ("mallory", {}, VerificationError),
        ("host-1", {}, VerificationError),
        ("host-1", {"claims": "host-1"}, DeniedError),
        ("alice", {"claims": "alice"}, DeniedError),
        ("mallory", {"claims": "mallory"}, VerificationError),
        ("guard", {"of": Digest.of(b"another")}, DeniedError),
    ],
)
def test_a_forged_alert_ends_no_rollout(rolling, signer, changes, error):
    with untouched(rolling, error):
        raised(rolling, signer, **changes)

    assert rolling.memory.find(alerts_subject(PROD)) is None and weights(rolling) == SHARES
    raised(rolling, "guard")  # what it was made to look like
    assert rolling.memory.find(alerts_subject(PROD)) is not None


def test_nobody_rolls_back_to_what_is_revoked_or_no_longer_whole(world):
    world.serve("1.0.0")
    world.serve("1.1.0")
    lost = world.blobs.blobs.pop(Digest.of(b"weights 1.0.0"))
    with untouched(world, UnavailableError):
        world.roll_back()
    world.blobs.blobs[Digest.of(b"weights 1.0.0")] = lost
    world.revoke("magika@1.0.0")

    with untouched(world, DeniedError, "magika@1.0.0 is revoked"):
        world.roll_back()
    assert weights(world) == {"magika@1.1.0": 100}
