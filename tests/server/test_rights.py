import pytest

from lockgate.core.rights import RIGHTS, Role
from lockgate.server.doors import DOORS
from tests.server.served import Served
from tests.server.test_default_deny import filled
from tests.world import PEOPLE

SHUT = [door for door in DOORS if door.act is not None]


@pytest.fixture(scope="module")
def called():
    """One installation, and what each person gets at each door with an empty body."""
    served = Served()
    return {(who, door): served.send(who, door.method, filled(door.path), b"{}") for who in PEOPLE for door in SHUT}


@pytest.mark.parametrize("door", SHUT, ids=lambda door: f"{door.method} {door.path}")
@pytest.mark.parametrize("who", PEOPLE)
def test_a_door_opens_to_the_roles_in_the_table_and_to_no_other(called, who, door):
    allowed = bool(RIGHTS[door.act] & set(PEOPLE[who]))

    assert (called[who, door].status_code != 403) == allowed
    if not allowed and door.method != "HEAD":
        assert called[who, door].json()["type"] == "urn:lockgate:problem:forbidden"


def test_every_role_and_every_act_of_the_table_is_asked():
    acts = {door.act for door in SHUT} | {"session.open", "lease.ask"}  # at doors that need no session

    assert {role for roles in PEOPLE.values() for role in roles} >= set(Role) - {Role.VIEWER}
    assert acts == set(RIGHTS)
