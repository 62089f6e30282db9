"""What is appended in these tests? Events of a few endpoints, releases and changes, small and true to the picture."""

from datetime import UTC, datetime, timedelta

from lockgate.core.change import Approved, Opened, Withdrawn
from lockgate.core.endpoint import Activated, Suspended
from lockgate.core.journal import Denied, change_subject, endpoint_subject, release_subject
from lockgate.core.release import Attested, Registered
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag

SOURCE = "tests.example/changes"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ANN = Name("ann")


def digest(of):
    return Digest.of(str(of).encode())


def endpoint(name):
    return Endpoint.parse(f"prod/{name}")


def at_endpoint(name):
    return endpoint_subject(endpoint(name))


def of_release(tag):
    return release_subject(Tag.parse(tag))


def of_change(number):
    return change_subject(number)


def activated(name, change=0):
    return Activated(endpoint(name), Tag.parse("magika@1.0.0"), digest("release"), None, change, digest("decision"))


def suspended(name):
    return Suspended(endpoint(name), ANN, digest("order"))


def opened(name):
    return Opened(endpoint(name), digest("content"), digest("opening"), ANN)


def approved(number, by="bob"):
    return Approved(number, digest(by), Name(by), NOW + 60 * SECOND)


def withdrawn(number):
    return Withdrawn(number, ANN)


def registered(tag):
    manifest, registration = digest("manifest"), digest("registration")
    return Registered(Tag.parse(tag), digest(tag), manifest, {"weights": digest("bundle")}, registration, ANN)


def attested(tag):
    return Attested(Tag.parse(tag), digest(tag), digest("statement"), "https://tests.example/predicate", "ci")


def denied(object_="prod/magika"):
    return Denied("endpoint.suspend", object_, digest("reasons"))


def append(log, *events, key=None, at=NOW, load=(), keep=()):
    """Append in an act of its own; without `key`, under one that nobody has used."""
    with log.transaction() as tx:
        for subject in load:
            tx.load(subject)
        for document in keep:
            tx.keep(document)
        return tx.append(events, actor="ann", key=key or digest(f"key {log.size()} {events}"), at=at)
