import jsonschema_rs
import pytest

from lockgate.app.issue_passport import export, passport_for
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.server.json_schema import schema_of
from lockgate.server.release_routes import Registration
from tests.world import PROD


@pytest.fixture(scope="module")
def document():
    from tests.server.served import Served

    return Served().get("ann", "/openapi.json").json()


def validator(kind):
    found: dict[str, object] = {}
    schema = {**schema_of(kind, found), "components": {"schemas": found}}
    return jsonschema_rs.Draft202012Validator(schema)


def registration(served):
    """Take a real submission with a real passport: it holds nearly every kind that comes over HTTP."""
    from lockgate.app.register import Submission

    served.world.serve()
    passport = passport_for(served.world.installation, PROD)
    submission, manifest = served.world.submission("2.0.0")
    crossed = Submission(submission.manifest, submission.bundles, passport)
    return Registration(crossed, served.world.say("alice", "release.register", manifest.tag))


def test_the_description_is_openapi_3_1_and_names_every_schema_it_uses(document):
    import json
    import re

    assert document["openapi"] == "3.1.0"
    used = set(re.findall(r"#/components/schemas/([\w.]+)", json.dumps(document)))
    assert used <= set(document["components"]["schemas"])
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_what_we_write_is_what_we_describe(served):
    order = registration(served)

    validator(Registration).validate(plain.to_plain(order))

    assert plain.from_plain(Registration, plain.to_plain(order)) == order


def paths(value, at=()):
    yield at
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield from paths(member, (*at, name))


def spoilt(value, path, put):
    if not path:
        return put
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = spoilt(copy[path[0]], path[1:], put)
    return copy


@pytest.mark.parametrize("put", [7, True, "", [], {}, None, "x"])
def test_what_the_description_refuses_is_refused(served, put):
    order = plain.to_plain(registration(served))
    check = validator(Registration)

    tried = 0
    for path in paths(order):
        bad = spoilt(order, path, put)
        if not check.is_valid(bad):
            tried += 1
            with pytest.raises(VerificationError):
                plain.from_plain(Registration, bad)
    assert tried > 20


def test_every_answer_of_a_kind_is_what_is_described(served):
    from lockgate.core.passport import Passport

    served.world.serve()
    passport = export(served.world.installation, served.world.endpoint().slots[-1].tag)

    validator(Passport).validate(plain.to_plain(passport))
