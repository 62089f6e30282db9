"""Who let a release go? The environment whose key sealed exactly this passport, for exactly this release."""

from dataclasses import replace

import pytest

from lockgate.core.transfer import EXPORT, open_export, sign_export
from lockgate.errors import VerificationError
from lockgate.formats import dsse
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.formats.statement import Statement, parse_statement
from tests.core.dossiers import TICK, release, release_of, submission, trusting
from tests.core.passports import forge
from tests.world import NOW, key, trust

DEV = Name("dev")
PASSPORT = replace(forge(), case=None)
OTHER = release_of(submission("1.1.0")[2])


def exported(signer="dev-export", environment=DEV, passport=PASSPORT):
    return sign_export(passport, release(), environment, key(signer))


def refused(reason, passport, about=None, trusted=None):
    with pytest.raises(VerificationError, match=reason):
        open_export(passport, about or release(), trusted or trust(), NOW)


def test_an_exported_passport_names_where_it_comes_from():
    assert open_export(exported(), release(), trust(), NOW) == DEV


def test_sealing_again_seals_the_same():
    assert exported(passport=exported()) == exported()


def reworded(kind=EXPORT, **members):
    statement = parse_statement(dsse.parse(exported().export.encode()).payload)
    found = Statement(statement.subject, kind, {**statement.predicate, **members})
    return replace(exported(), export=dsse.sign(found.encode(), dsse.IN_TOTO, [key("dev-export")]).encode().decode())


@pytest.mark.parametrize(
    ("passport", "reason"),
    [
        (PASSPORT, "was not exported for another environment"),
        (exported("mallory"), "no key that is trusted"),
        (exported("prod-vsa"), "no key that is trusted"),
        (exported(environment=Name("staging")), "no key that is trusted"),
        (replace(exported(), evidence=()), "about another passport or release"),
        (replace(exported(), bundles={}), "about another passport or release"),
        (replace(exported(), case=forge().case), "about another passport or release"),
        (reworded(kind="https://example.com"), "about another passport or release"),
        (reworded(passport=str(Digest.of(b""))), "about another passport or release"),
        (reworded(environment=None), "not a name"),
        (reworded(environment="staging"), "no key that is trusted"),
        (replace(PASSPORT, export="{}"), "not a DSSE envelope"),
    ],
)
def test_a_passport_that_nobody_let_go_is_refused(passport, reason):
    refused(reason, passport)


def test_a_passport_of_another_release_is_refused():
    refused("about another passport or release", exported(), about=OTHER)


def test_an_exporter_is_trusted_for_its_environment_until_its_time_is_over():
    refused("no key that is trusted", exported(), trusted=trusting("dev-export", until=NOW))
    refused("no key that is trusted", exported(), trusted=trusting("dev-export", scope=("staging",)))
    assert open_export(exported(), release(), trusting("dev-export", until=NOW + TICK), NOW) == DEV
