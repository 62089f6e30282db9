"""Whatever people ask for, in any order: does what may serve stay approved, validated, unaltered and stoppable?"""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from lockgate.app.decide_change import reject, withdraw
from lockgate.app.grant_leases import grant_leases
from lockgate.app.issue_passport import passport_for
from lockgate.core.evidence import TestRun, Verdict
from lockgate.core.journal import change_subject
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.errors import DeniedError, LockgateError
from lockgate.formats.names import Name
from tests.world import PEOPLE, PROD, World, key

SOMEBODY = st.sampled_from(sorted(PEOPLE))
WRITER = st.sampled_from(["alice", "alice", "ci", "dave", "bob"])
PASSED = st.sampled_from([Verdict.PASSED, Verdict.PASSED, Verdict.WARNED, Verdict.FAILED])


class Life(RuleBasedStateMachine):
    """A company of which anybody may ask for anything; what it was granted is written down beside it."""

    releases = Bundle("releases")
    changes = Bundle("changes")

    def __init__(self):
        super().__init__()
        self.world = World()
        self.bound = {}  # tag: digest of the release
        self.authors = {}  # digest of the release: who made it
        self.opened = {}  # number: (release, who opened it, resumes)
        self.approved = {}  # number: {who: until}
        self.over = set()  # numbers
        self.stack = []  # of (release, number)
        self.suspended_at = None

    def attempt(self, act, entries):
        """Try; if it is allowed, the log has grown by `entries`, else by nothing."""
        before = self.world.memory.size()
        try:
            found = act()
        except LockgateError:
            assert self.world.memory.size() == before
            return None
        assert self.world.memory.size() == before + entries
        return found

    @initialize(target=releases)
    def begin(self):
        return self.register("1.0.0", "alice")

    @rule(target=releases, version=st.sampled_from(["1.0.0", "1.0.1", "1.1.0", "1.2.0", "2.0.0"]), who=WRITER)
    def register(self, version, who):
        release = self.attempt(lambda: self.world.register(version, who), 1)
        if release is None:
            return multiple()
        assert release.manifest.tag not in self.bound
        assert {"author", "ci"} & {str(role) for role in PEOPLE[who]}
        self.bound[release.manifest.tag] = release.digest
        self.authors[release.digest] = {Name(who), Name("alice")}
        return release

    @rule(release=releases, result=PASSED, accuracy=st.sampled_from(["0.99", "0.95", "0.9"]))
    def attest(self, release, result, accuracy):
        self.attempt(lambda: self.world.attest(release, self.world.built()), 1)
        self.attempt(lambda: self.world.attest(release, self.world.ran(result, accuracy)), 1)

    @rule(target=changes, release=releases, who=WRITER, resumes=st.booleans())
    def open(self, release, who, resumes):
        number = self.attempt(lambda: self.world.open(release, who, resumes=resumes), 1)
        if number is None:
            return multiple()
        self.opened[number] = (release.digest, Name(who), resumes)
        self.approved[number] = {}
        return number

    @rule(number=changes, who=SOMEBODY, hours=st.sampled_from([1, 1, 48]))
    def approve(self, number, who, hours):
        lasts = timedelta(hours=hours)
        before = self.world.memory.size()
        self.attempt(lambda: self.world.approve(number, who, lasts=lasts), 1)
        if self.world.memory.size() > before:
            release, opener, _ = self.opened[number]
            assert number not in self.over and Name(who) not in self.authors[release] | {opener}
            assert self.approved[number].get(Name(who), self.world.now) <= self.world.now
            self.approved[number][Name(who)] = self.world.now + lasts

    @rule(number=changes)
    def approve_by_both(self, number):
        for who in ("bob", "carol"):
            self.approve(number, who, 1)

    @rule(number=changes, who=SOMEBODY, act=st.sampled_from([("change.reject", reject), ("change.withdraw", withdraw)]))
    def end(self, number, who, act):
        name, carry_out = act
        said = self.world.say(who, name, change_subject(number), after=self.world.change(number).content)
        if self.attempt(lambda: carry_out(self.world.installation, number, said, self.world.now), 1):
            assert number not in self.over and (name == "change.reject" or Name(who) == self.opened[number][1])
            self.over.add(number)

    @rule(number=changes, who=st.sampled_from(["dave", "dave", "dave", "alice", "bob"]))
    def activate(self, number, who):
        if self.attempt(lambda: self.world.activate(number, who), 3) is None:
            return
        release, opener, resumes = self.opened[number]
        in_force = {name for name, until in self.approved[number].items() if until > self.world.now}
        assert number not in self.over and who == "dave"
        assert len(in_force - self.authors[release] - {opener}) >= 2
        assert self.suspended_at is None or (resumes and number > self.suspended_at)
        self.over.add(number)
        self.stack.append((release, number))
        self.suspended_at = None

    @rule(who=st.sampled_from(["dave", "olivia", "alice", "ann"]))
    def roll_back(self, who):
        if self.attempt(lambda: self.world.roll_back(who), 1):
            assert self.suspended_at is None and who in ("dave", "olivia")
            self.stack.pop()

    @rule(who=st.sampled_from([*sorted(PEOPLE), "alice", "bob", "carol"]))
    def shut_down(self, who):
        done = self.attempt(lambda: self.world.shut_down(who), 1)
        assert (done is not None) == (who in ("dave", "olivia", "ann"))
        self.suspended_at = done.first if done else self.suspended_at

    @rule(
        release=releases, resumes=st.booleans(), spoil=st.sampled_from(["", "", "", "attest", "approve", "wait", "end"])
    )
    def promote(self, release, resumes, spoil):
        self.attest(release, Verdict.FAILED if spoil == "attest" else Verdict.PASSED, "0.99")
        number = self.open(release, "alice", resumes and self.suspended_at is not None)
        if number in self.opened:
            self.approve(number, "bob", 1)
            self.approve(number, "bob" if spoil == "approve" else "carol", 1)
            self.wait(24 if spoil == "wait" else 0)
            if spoil == "end":
                self.end(number, "bob", ("change.reject", reject))
            self.activate(number, "dave")

    @rule(hours=st.sampled_from([1, 24, 24 * 31]))
    def wait(self, hours):
        self.world.now += timedelta(hours=hours)

    @invariant()
    def a_tag_means_one_release_for_good(self):
        for tag, digest in self.bound.items():
            assert self.world.record(str(tag)).release == digest

    @precondition(lambda self: self.suspended_at is not None or not self.stack)
    @invariant()
    def nothing_is_issued_where_nothing_may_serve(self):
        with pytest.raises(DeniedError):
            passport_for(self.world.installation, PROD)

    @precondition(lambda self: self.suspended_at is None and self.stack)
    @invariant()
    def a_host_that_judges_for_itself_agrees(self):
        release, number = self.stack[-1]
        admission = self.world.admit()
        permit = admission.permit
        assert permit.release.digest == release and admission.decision.change == number
        assert admission.epoch == self.world.endpoint().epoch
        assert len(set(permit.approvers)) >= 2 and not set(permit.approvers) & permit.authors
        assert permit.authors >= self.authors[release] | {self.opened[number][1]}
        runs = [item.about for item in permit.evidence if isinstance(item.about, TestRun)]
        latest = max(runs, key=lambda run: run.finished_at)
        assert latest.result is Verdict.PASSED and latest.metrics["accuracy"] >= "0.95"
        assert timedelta() <= permit.at - latest.finished_at <= timedelta(days=30)

    @invariant()
    def a_lease_is_granted_for_what_should_serve_and_nothing_else(self):
        wants = tuple(Want(PROD, digest) for digest in self.bound.values())
        if not wants:
            return
        request = Request(Name("host-1"), f"nonce-{self.world.memory.size():012}", wants, "sealed")
        signed = sign_request(request, key("host-1"))
        document = grant_leases(self.world.installation, signed, self.world.now)
        grant = open_grant(document, request, self.world.trust, self.world.now)
        may_serve = [self.stack[-1][0]] if self.stack and self.suspended_at is None else []
        assert [granted.release for granted in grant.granted] == may_serve
        superseded = [one.release for one in grant.superseded or ()]
        assert len(grant.refused) == len(wants) - len(may_serve) - len(superseded)
        assert self.suspended_at is None or not superseded
        assert not set(superseded) & set(may_serve)

    def teardown(self):
        self.world.check()


Life.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLife = pytest.mark.slow(Life.TestCase)
