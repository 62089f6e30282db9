"""Thousands of requests made up from our own description: whatever comes, no answer is our fault."""

import pytest
from hypothesis import HealthCheck, given, settings

from lockgate.server.doors import DOORS
from tests.server.served import Served
from tests.server.test_bad_inputs import WHO

BLIND = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example]


@pytest.fixture(scope="module")
def served():
    found = Served(hosts=("localhost", "testserver"))
    found.world.serve()
    return found


@pytest.fixture(scope="module")
def described(served):
    import schemathesis

    return schemathesis.openapi.from_asgi("/openapi.json", served.app, headers=served.bearer("ann"))


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.path}")
def test_no_request_is_answered_with_an_error_of_ours(described, served, door):
    from schemathesis.checks import not_a_server_error

    path = door.path.replace(":path", "")
    headers = served.bearer(WHO.get(door.act, "alice" if door.act == "blob.put" else "ann"))

    @given(described[path][door.method].as_strategy())
    @settings(max_examples=12, deadline=None, suppress_health_check=BLIND)
    def ask(case):
        case.headers = {**(case.headers or {}), **headers}
        response = case.call()
        assert door.act is None or response.status_code != 401
        case.validate_response(response, checks=[not_a_server_error])

    ask()
