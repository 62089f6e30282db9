"""How does a person, or a controller, roll something out in the world of the tests?"""

from dataclasses import replace
from datetime import timedelta

from lockgate.app import roll_out
from lockgate.app.decide_change import open_change
from lockgate.app.grant_leases import grant_leases
from lockgate.app.issue_passport import passport_for
from lockgate.app.ports import Receipt
from lockgate.app.publish_updates import deny_list
from lockgate.core.change import Content
from lockgate.core.intent import SignedIntent
from lockgate.core.lease import Granted, Request, Want, open_grant, sign_request
from lockgate.core.passport import Admission, Passport, admit_candidate
from lockgate.core.policy import Demands
from lockgate.core.release import Release, Serve
from lockgate.core.rollout import Rollout, Signals
from lockgate.core.strategy import Strategy
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.strategies import CANARY
from tests.retold import tell
from tests.world import PROD, World, key

PASSED = Signals({Name(name): "passed" for name in ("errors", "slow", "mcp")})
FAILED = Signals({Name("errors"): "failed"})
NOTHING = Signals({})
EVIDENCE = b'{"type":"analysis/v1"}'


def content(world: World, release: Release, strategy: Strategy | None = CANARY, **changes: object) -> Content:
    """Write down a change that rolls `release` out."""
    state = world.endpoint()
    before = state.stable.release if state.stable else None
    digest = strategy.digest if strategy else None
    policy = Digest.of(plain.encode(world.policy))
    asked = Content(
        "normal",
        PROD,
        release.manifest.tag,
        release.digest,
        before,
        state.epoch,
        state.suspended,
        policy,
        "why",
        digest,
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


def open_rollout(world: World, release: Release, strategy: Strategy | None = CANARY, **changes: object) -> int:
    """Open such a change; return its number."""
    asked = content(world, release, strategy, **changes)
    said = world.say("alice", "change.open", PROD, before=asked.before, after=asked.digest)
    document = plain.encode(strategy) if strategy else None
    return open_change(world.installation, asked, said, world.now, document).first


def begin(world: World, version: str = "1.1.0", strategy: Strategy = CANARY, serve: Serve | None = None) -> int:
    """Let a candidate begin beside release 1.0.0, which serves; return the number of its change."""
    return tell(world, ("begin", version, strategy.digest), lambda: _begin(world, version, strategy, serve))


def _begin(world: World, version: str, strategy: Strategy, serve: Serve | None) -> int:
    if world.endpoint().stable is None:
        world.serve("1.0.0")
    release = world.register(version, serve=serve) if serve else world.register(version)
    world.attest(release)
    number = open_rollout(world, release, strategy)
    world.approve(number)
    world.activate(number)
    return number


def go_on(world: World, signals: Signals = PASSED, *, after: int = 0, fresh: bool = True) -> Receipt | None:
    """Let a controller look, some seconds later; the candidate has just sent data unless it is said not to have."""
    world.now += timedelta(seconds=after)
    known = replace(signals, data_at=world.now) if fresh else signals
    return roll_out.go_on(world.installation, PROD, known, EVIDENCE, world.now)


def order(world: World, act: str, who: str = "dave") -> Receipt:
    """Pause, resume, promote or abort the rollout."""
    do = {each.__name__: each for each in (roll_out.pause, roll_out.resume, roll_out.promote, roll_out.abort)}[act]
    return do(world.installation, PROD, said(world, f"rollout.{act}", who), world.now)


def step(world: World, seen: int, who: str = "dave") -> Receipt:
    """Go one step on by hand."""
    return roll_out.step(world.installation, PROD, seen, said(world, "rollout.step", who), world.now)


def said(world: World, act: str, who: str = "dave") -> SignedIntent:
    """Sign an intent about the rollout."""
    state = world.endpoint()
    before = state.stable.release if state.stable else None
    return world.say(who, act, PROD, before=before, after=state.rollout.candidate.release if state.rollout else None)


def rollout(world: World) -> Rollout:
    """Return the rollout in flight."""
    found = world.endpoint().rollout
    assert found is not None
    return found


def try_candidate(world: World, passport: Passport | None = None) -> Admission:
    """Judge the passport of a candidate as a host does that is to try one."""
    held = world.installation
    found = passport or passport_for(held, PROD, candidate=True)
    return admit_candidate(found, PROD, held.written_trust(), held.policy(), deny_list(held), world.now)


def demand(world: World, demands: Demands) -> None:
    """Put a policy into force that demands something of rollouts."""
    rules = replace(world.policy.endpoints[str(PROD)], rollout=demands)
    world.policy = replace(world.policy, version=world.policy.version + 1, endpoints={str(PROD): rules})
    world.adopt(world.trust, world.policy)


def asked(world: World, *tags: str) -> dict[str, Granted]:
    """Ask for leases as a host; return what was granted, by version."""
    wants = tuple(Want(PROD, world.record(tag).release) for tag in tags)
    request = Request(Name("host-1"), "0123456789abcdef", wants, "sealed")
    document = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)
    grant = open_grant(document, request, world.trust, world.now)
    return {tag: one for tag in tags for one in grant.granted if one.release == world.record(tag).release}


def weights(world: World) -> dict[str, int | None]:
    """Say which share of the traffic each release is granted."""
    return {tag: one.weight for tag, one in asked(world, "magika@1.0.0", "magika@1.1.0").items()}
