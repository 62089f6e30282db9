import os
import random
import threading
from contextlib import nullcontext

import pytest

from lockgate.app.activate import activate
from lockgate.app.grant_leases import grant_leases
from lockgate.app.issue_passport import passport_for
from lockgate.app.shut_down import shut_down
from lockgate.core.journal import change_subject
from lockgate.core.lease import Grant, Request, Want, sign_request
from lockgate.drivers.postgres import Postgres
from lockgate.drivers.postgres.act import Act
from lockgate.errors import ConflictError, DeniedError, LockgateError
from lockgate.formats import dsse, plain
from lockgate.formats.names import Name
from tests.world import PROD, World, key, trust

ROUNDS = 1000 if os.environ.get("LOCKGATE_SOAK") else 80
TRIES = 200  # until the race is lost where nothing is checked


class Forgetful(Act):
    """An act that does not compare what it read with what is true when it appends."""

    def append(self, events, **rest):
        self._read.clear()
        self._heads.clear()
        return super().append(events, **rest)


class Careless(Postgres):
    def transaction(self):
        return nullcontext(Forgetful(self._connections, self._source))


@pytest.fixture
def prod(postgres_database):
    postgres = Postgres(postgres_database[1], trust().origin, connections=6)
    world = World(log=postgres)
    yield world
    world.check()
    postgres.close()


class Lead:
    """How much later a shutdown begins: longer after one that was first, shorter after one that was second."""

    seconds = 0.006

    def learn(self, ended):
        self.seconds = max(1e-4, self.seconds * (1.2 if isinstance(ended, LockgateError) else 0.83))


def race(world, number, lead):
    """Let a shutdown and an activation begin together; return how the activation ended."""
    go = threading.Barrier(2)
    stop = world.say("olivia", "endpoint.suspend", PROD)
    activation = world.say("dave", "change.activate", change_subject(number), after=world.change(number).content)
    ended: list[object] = []

    def act():
        go.wait()
        threading.Event().wait(random.random() * 0.004)
        try:
            ended.append(activate(world.installation, number, activation, world.now))
        except LockgateError as e:
            ended.append(e)

    thread = threading.Thread(target=act)
    thread.start()
    go.wait()
    threading.Event().wait(random.random() * 2 * lead.seconds)
    shut_down(world.installation, PROD, stop, world.now)
    thread.join()
    lead.learn(ended[0])
    return ended[0]


def may_serve(world):
    """Ask for a lease of what is stable, as a host would."""
    request = Request(Name("host-1"), "nonce-of-the-race-01", (Want(PROD, world.endpoint().stable.release),), "sealed")
    answer = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)
    return plain.decode(Grant, dsse.parse(answer).payload).granted


@pytest.mark.slow
def test_a_shutdown_that_races_an_activation_never_leaves_the_endpoint_serving(prod):
    releases = [prod.serve("1.0.0"), prod.register("1.1.0")]
    prod.attest(releases[1])
    outcomes, lead = [], Lead()

    for number in range(ROUNDS):
        change = prod.open(releases[(number + 1) % 2])
        prod.approve(change)
        outcomes.append(race(prod, change, lead))

        assert prod.endpoint().suspended
        assert not may_serve(prod)
        with pytest.raises(DeniedError, match="suspended"):
            passport_for(prod.installation, PROD)
        with pytest.raises(DeniedError):
            prod.activate(change)
        resume = prod.open(releases[number % 2], resumes=True)
        prod.approve(resume)
        prod.activate(resume)
        assert may_serve(prod)

    lost = [outcome for outcome in outcomes if isinstance(outcome, LockgateError)]
    assert 0 < len(lost) < ROUNDS, "only one order was ever tried"
    assert all(isinstance(outcome, DeniedError | ConflictError) for outcome in lost)


@pytest.mark.slow
def test_without_the_check_of_what_was_read_the_same_race_is_lost(postgres_database):
    postgres = Careless(postgres_database[1], trust().origin, connections=6)
    world = World(log=postgres)
    release, lead = world.serve("1.0.0"), Lead()

    for _ in range(TRIES):
        change = world.open(release)
        world.approve(change)
        race(world, change, lead)
        if may_serve(world):
            break
        resume = world.open(release, resumes=True)
        world.approve(resume)
        world.activate(resume)

    assert may_serve(world), "the race was never close enough to show anything"
    postgres.close()
