"""What does a thief get who has the database, the store, one approver's key or the token of the CI? See `test_thefts`.

The database is a real PostgreSQL, of which the thief is the superuser, and the server and its store are real as well.
"""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from lockgate.core.change import Change
from lockgate.core.endpoint import State
from lockgate.core.intent import Intent, sign_intent
from lockgate.core.journal import Rulebook
from lockgate.core.policy import POLICY
from lockgate.core.rights import Role
from lockgate.core.trust import TRUST, Actor, Root
from lockgate.errors import DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import plain, segments
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.loader.opening import open_release
from tests.live.serving import speak
from tests.live.test_gate_over_http import AT, Site
from tests.world import PROD, agreed, key


@pytest.fixture(scope="module")
def site(postgres_cluster, tmp_path_factory):
    """A site with a release in service, and what its thieves may touch."""
    site = Site(postgres_cluster.database()[1], tmp_path_factory.mktemp("site"))
    site.owner = psycopg.conninfo.make_conninfo(
        postgres_cluster.owner, dbname=psycopg.conninfo.conninfo_to_dict(site.conninfo)["dbname"]
    )
    site.versions = iter(f"1.{number}.0" for number in range(100))
    assert loaded(site, site.serve(next(site.versions)))
    yield site
    site.end()


def loaded(site, release):
    """Load what the server says should serve; tell whether it is `release`."""
    host, connection = site.host()
    opened = open_release(host, PROD, connection=connection, mounts=None)
    opened.files.close()
    return opened.admission.permit.release.digest == release.digest


def wanted(site):
    """Have an author want another release, which is good; return it and its change."""
    release = site.register(next(site.versions))
    site.attest(release)
    return release, site.open(release)


def brought_in(site):
    """Bring another release into service."""
    return site.serve(next(site.versions))


class Superuser:
    """Who owns the database, and is held by none of its rules."""

    def __init__(self, site):
        self.site = site
        self.changed = []

    def ask(self, query, *parameters):
        with psycopg.connect(self.site.owner, autocommit=True) as connection:
            for table in ("entry", "document", "head", "checkpoint"):
                connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            done = connection.execute(query, parameters)
            found = done.fetchall() if done.description else []
            for table in ("entry", "document", "head", "checkpoint"):
                connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
            return found

    def keep(self, *documents):
        """Put documents in, and return their digests."""
        for document in documents:
            row = (Digest.of(document).raw, document)
            self.ask("INSERT INTO document VALUES (%s, %s) ON CONFLICT DO NOTHING", *row)
        return [Digest.of(document) for document in documents]

    def state(self, kind, name, of_type):
        ((stored,),) = self.ask("SELECT state FROM object WHERE kind = %s AND key = %s", kind, str(name))
        return plain.decode(of_type, bytes(stored))

    def say(self, kind, name, state):
        """Say of an object what its log does not say; `put_back` takes it back."""
        self.changed.append((kind, name, self.state(kind, name, type(state))))
        where = (plain.encode(state), kind, str(name))
        self.ask("UPDATE object SET state = %s WHERE kind = %s AND key = %s", *where)

    def put_back(self):
        while self.changed:
            self.say(*self.changed.pop())
            self.changed.pop()


@pytest.fixture
def superuser(site):
    thief = Superuser(site)
    yield thief
    thief.put_back()


def rules_of_the_thiefs(site, superuser):
    """Show the server a trust document in which the thief's friends approve, signed by roots of the thief's."""
    names, kept = ("mallory", "eve"), site.world
    friends = tuple(Actor(Name(name), (Role.APPROVER,), (key(name).public,)) for name in names)
    root = Root(2, (key("thief-1").public, key("thief-2").public))
    trust = replace(kept.trust, actors=(*kept.trust.actors, *friends), root=root)
    held = superuser.state("rulebook", "prod", Rulebook)
    signed = (agreed(trust, TRUST, "thief-1", "thief-2"), agreed(kept.policy, POLICY, "thief-1", "thief-2"))
    trusted, ruled = superuser.keep(*signed)
    said = Digest.of(plain.encode(trust))
    superuser.say("rulebook", "prod", replace(held, trust=said, trust_envelope=trusted, policy_envelope=ruled))
    _, change = wanted(site)
    site.people |= {name: speak(site.port, name) for name in names}
    for name in names:
        site.decide(name, "approve", "approvals", change)
    site.decide("dave", "activate", "activation", change)  # the server believes all of it


def another_release_in_the_slot(site, superuser):
    release, _ = wanted(site)
    held = superuser.state("endpoint", PROD, State)
    other = replace(held.slots[-1], tag=release.manifest.tag, release=release.digest)
    superuser.say("endpoint", PROD, replace(held, slots=(*held.slots[:-1], other)))


def a_change_that_was_never_carried_out(site, superuser):
    release, (number, _) = wanted(site)
    held = superuser.state("endpoint", PROD, State)
    other = replace(held.slots[-1], tag=release.manifest.tag, release=release.digest, change=number)
    superuser.say("endpoint", PROD, replace(held, slots=(*held.slots[:-1], other)))


def a_former_release_in_the_slot(site, superuser):
    brought_in(site)
    held = superuser.state("endpoint", PROD, State)
    assert site.judge()
    superuser.say("endpoint", PROD, replace(held, slots=held.slots[:-1], epoch=held.slots[-2].index))


DATABASE = [
    (rules_of_the_thiefs, "nobody called mallory may act in prod"),
    (another_release_in_the_slot, "the change is for sha256:"),
    (a_change_that_was_never_carried_out, "about another release, endpoint or decision|approvals"),
    (a_former_release_in_the_slot, "this host has seen entry"),
]


@pytest.mark.parametrize(("steals", "says"), DATABASE, ids=[steals.__name__ for steals, _ in DATABASE])
def test_a_superuser_of_the_database_brings_nothing_into_service(site, superuser, steals, says):
    steals(site, superuser)

    with pytest.raises((DeniedError, VerificationError), match=says):
        site.judge()

    superuser.put_back()
    assert loaded(site, brought_in(site))


def test_a_superuser_of_the_database_makes_no_approval(site, superuser):
    release, change = wanted(site)
    held = superuser.state("change", change[0], Change)
    ends = datetime.now(UTC) + timedelta(hours=1)
    forged = [
        sign_intent(
            Intent("change.approve", f"change/{change[0]}", None, change[1], Name(who), "n" * 16, ends), key("x")
        )
        for who in ("bob", "carol")
    ]
    kept = superuser.keep(*(plain.encode(each) for each in forged))
    site.decide("bob", "approve", "approvals", change)
    real = superuser.state("change", change[0], Change).approvals[0]
    pairs = zip(kept, ("bob", "carol"), strict=True)
    approvals = tuple(replace(real, approval=one, by=Name(who)) for one, who in pairs)
    superuser.say("change", change[0], replace(held, approvals=approvals))

    with pytest.raises(DeniedError, match="0 of 2 approvals"):
        site.decide("dave", "activate", "activation", change)
    assert site.judge().permit.release.digest != release.digest


def test_a_superuser_of_the_database_can_still_lift_a_shutdown_at_the_server(site, superuser):
    admission = site.judge()
    site.act("olivia", f"{AT}/shutdown", "endpoint.suspend", PROD)
    with pytest.raises(DeniedError, match="suspended"):
        site.lease(admission)
    held = superuser.state("endpoint", PROD, State)
    lifted = replace(held, suspended=False, epoch=admission.epoch)

    superuser.say("endpoint", PROD, lifted)
    site.register(next(site.versions))  # leases are granted from what was read when the log had grown last

    assert site.lease(site.judge())  # for what was approved, and nothing else
    superuser.put_back()
    with pytest.raises(DeniedError, match="suspended"):
        site.judge()
    superuser.say("endpoint", PROD, lifted)
    superuser.changed.clear()  # for the next test: resuming takes a change


def file_of(site, content):
    """Say where the store has a file, and its wraps."""
    name = Digest.of(content).hex
    (place,) = (path for path in (site.folder / "blobs").rglob(name) if path.is_file())
    return place, place.with_name(f"{name}.wraps")


def spoil(place, content):
    place.chmod(0o600)
    place.write_bytes(content)


def replaced(site, weights, _before):
    place, _ = file_of(site, weights)
    own = segments.encrypt(
        [b"weights 6.6.6"], bytes(segments.KEY), Digest.of(weights), segments.make_header(bytes(segments.RANDOM)),
        watch=len,
    )  # fmt: skip
    spoil(place, b"".join(bytes(piece) for piece in own))


def swapped(site, weights, _before):
    (one, one_wraps), (other, other_wraps) = file_of(site, weights), file_of(site, b"{}")
    for here, there in ((one, other), (one_wraps, other_wraps)):
        away = here.with_name("away")
        here.rename(away)
        there.rename(here)
        away.rename(there)


def rolled_back(site, weights, before):
    (place, wraps), (old, old_wraps) = file_of(site, weights), file_of(site, before)
    spoil(place, old.read_bytes())
    shutil.rmtree(wraps)
    shutil.copytree(old_wraps, wraps)


def wrapped_for_another(site, weights, before):
    (_, wraps), (_, other) = file_of(site, weights), file_of(site, before)
    stolen = next(iter(other.glob("release-*"))).read_bytes()
    for path in wraps.iterdir():
        spoil(path, stolen)


STORE = [
    (replaced, "is not the last segment of this file under this key"),
    (swapped, "but no keys to read its files with"),
    (rolled_back, "is not the last segment of this file under this key|but no keys to read its files with"),
    (wrapped_for_another, "but no keys to read its files with"),
]


@pytest.mark.parametrize(("steals", "says"), STORE, ids=[steals.__name__ for steals, _ in STORE])
def test_a_thief_of_the_store_brings_nothing_into_service(site, tmp_path, steals, says):
    before, release = brought_in(site), brought_in(site)
    store, kept = site.folder / "blobs", tmp_path / "kept"
    shutil.copytree(store, kept)

    steals(site, *(b"weights " + str(one.manifest.tag.version).encode() for one in (release, before)))

    with pytest.raises((VerificationError, UnavailableError), match=says):
        loaded(site, release)
    shutil.rmtree(store)
    shutil.copytree(kept, store)
    assert loaded(site, release)


def test_a_thief_of_the_store_can_still_stop_what_is_new_and_see_how_long_files_are_and_which(site):
    release = brought_in(site)
    weights = b"weights " + str(release.manifest.tag.version).encode()
    place, _ = file_of(site, weights)
    content = place.read_bytes()
    assert weights not in content and len(content) == segments.encrypted_size(len(weights))

    place.unlink()

    with pytest.raises(LockgateError):
        loaded(site, release)
    place.write_bytes(content)
    assert loaded(site, release)


def bob_alone(site, change):
    site.decide("bob", "approve", "approvals", change)
    site.decide("dave", "activate", "activation", change)


def bob_twice(site, change):
    for _ in range(2):
        site.decide("bob", "approve", "approvals", change)


def bob_as_carol(site, change):
    number, content = change
    bob = site.people["bob"]
    said = replace(bob.intend("change.approve", f"change/{number}", after=content), actor=Name("carol"))
    bob.act(f"/api/v1/changes/{number}/approvals", said)


def bob_carries_it_out(site, change):
    site.decide("bob", "activate", "activation", change)


def bob_goes_back(site, _change):
    state = site.people["bob"].find(AT)
    after = Digest.parse(state["slots"][-2]["release"])
    before = Digest.parse(state["slots"][-1]["release"])
    site.act("bob", f"{AT}/rollback", "endpoint.roll-back", PROD, before=before, after=after)


def ci_approves(site, change):
    site.decide("ci", "approve", "approvals", change)


def ci_says_that_all_is_well(site, change):
    site.decide("dave", "activate", "activation", change)


def ci_wants_it(site, _change):
    alice, site.people["alice"] = site.people["alice"], site.people["ci"]
    try:
        site.open(site.register(next(site.versions)))
    finally:
        site.people["alice"] = alice


PEOPLE = [
    (bob_alone, "1 of 2 approvals"),
    (bob_twice, "bob has approved change .* already"),
    (bob_as_carol, "the intent is of carol, the session of bob"),
    (bob_carries_it_out, "bob has no right to change.activate"),
    (bob_goes_back, "bob has no right to endpoint.roll-back"),
    (ci_approves, "ci has no right to change.approve"),
    (ci_wants_it, "ci has no right to change.open"),
    (ci_says_that_all_is_well, "^0 of 2 approvals by somebody with the role approver who is no author$"),
]


@pytest.mark.parametrize(("steals", "says"), PEOPLE, ids=[steals.__name__ for steals, _ in PEOPLE])
def test_a_thief_of_one_approvers_key_or_of_the_ci_brings_nothing_into_service(site, steals, says):
    release, change = wanted(site)

    with pytest.raises((DeniedError, VerificationError), match=says):
        steals(site, change)

    assert site.judge().permit.release.digest != release.digest
    assert loaded(site, brought_in(site))


def test_a_thief_of_one_approvers_key_can_still_reject(site):
    _, change = wanted(site)
    site.decide("bob", "reject", "rejections", change)

    with pytest.raises(DeniedError, match="is rejected, not opened"):
        site.decide("carol", "approve", "approvals", change)


def test_a_thief_of_the_ci_can_still_have_what_is_bad_seem_good_so_that_only_the_approvers_are_left(site):
    release, change = wanted(site)  # signed and tested by the CI alone: an author has registered it
    for who in ("bob", "carol"):
        site.decide(who, "approve", "approvals", change)
    site.decide("dave", "activate", "activation", change)

    assert loaded(site, release)
