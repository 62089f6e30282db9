"""Who may ask for what? The whole table, and nobody for anything else."""

import pytest

from lockgate.core.rights import RIGHTS, Role, check_right
from lockgate.errors import DeniedError

EVERYONE = set(Role)
TABLE: dict[str, set] = {  # written here once more, by hand: a change of rights is a change of this page
    "session.open": EVERYONE,
    "read": EVERYONE,
    "log.read": {"auditor", "admin"},
    "blob.put": {"author", "ci"},
    "release.open-keys": {"author", "ci", "operator"},
    "release.register": {"author", "ci"},
    "release.attest": {"author", "ci"},
    "trial.begin": {"author", "ci"},
    "suite.add": {"ci", "admin"},
    "change.open": {"author", "operator"},
    "change.approve": {"approver"},
    "change.approve-in-place": EVERYONE - {"agent", "ci", "detector"},
    "approval.delegate": {"approver"},
    "approval.recall": {"approver"},
    "emergency.approve": {"security-authority"},
    "change.override": {"approver", "security-authority", "operator"},
    "change.review": {"approver", "security-authority", "auditor"},
    "change.reject": {"approver", "security-authority"},
    "change.withdraw": {"author", "operator", "admin", "security-authority"},
    "change.activate": {"operator"},
    "endpoint.roll-back": {"operator", "security-authority"},
    "endpoint.prove": {"operator", "security-authority", "auditor", "admin"},
    "endpoint.suspend": {"operator", "security-authority", "admin"},
    "rollout.pause": {"operator"},
    "rollout.resume": {"operator"},
    "rollout.step": {"operator"},
    "rollout.promote": {"operator"},
    "rollout.abort": {"operator", "security-authority"},
    "rules.propose": {"admin", "security-authority"},
    "release.revoke": {"security-authority", "admin"},
    "key.revoke": {"security-authority", "admin"},
    "person.offboard": {"security-authority", "admin"},
    "rules.adopt": {"admin"},
    "lease.ask": {"agent"},
    "order.relay": {"agent"},
    "report.send": {"agent"},
    "halt.send": {"agent"},
    "ties.send": {"agent"},
    "provider.observe": {"detector", "agent", "security-authority"},
    "alert.raise": {"detector", "security-authority"},
    "news.follow": {"agent"},
}


def test_the_table_is_the_one_that_was_agreed():
    assert {act: set(roles) for act, roles in RIGHTS.items()} == TABLE


@pytest.mark.parametrize("act", TABLE)
@pytest.mark.parametrize("role", Role)
def test_each_role_may_do_what_the_table_says_and_no_more(act, role):
    if role in TABLE[act]:
        check_right(act, [role], "dave")
    else:
        with pytest.raises(DeniedError, match=f"dave has no right to {act}: that takes the role "):
            check_right(act, [role], "dave")


@pytest.mark.parametrize("act", ["", "change", "change.*", "change.approve ", "CHANGE.APPROVE", "release.delete"])
def test_what_is_not_in_the_table_nobody_may_do(act):
    with pytest.raises(DeniedError, match="that takes the role nobody"):
        check_right(act, list(Role), "ann")


@pytest.mark.parametrize("act", TABLE)
def test_who_has_no_role_has_no_right(act):
    with pytest.raises(DeniedError, match="has no right to"):
        check_right(act, [], "eve")


def test_one_of_several_roles_is_enough():
    check_right("change.approve", [Role.VIEWER, Role.APPROVER], "bob")
