"""What did the parents of a release pass? For people to know: at the gate it counts for nothing."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lockgate.errors import VerificationError
from lockgate.formats.canonical import Json

if TYPE_CHECKING:
    from lockgate.core.release import Manifest
    from lockgate.formats.digest import Digest
    from lockgate.formats.names import Tag
    from lockgate.loader.connection import Connection


def ancestry(connection: "Connection", manifest: "Manifest") -> list[Mapping[str, Json]]:
    """Tell of each parent of a release whether it is known and revoked, and what its evidence says."""
    derived = manifest.derived_from
    if derived is None:
        return []
    return [_parent(connection, derived.how.value, *parent) for parent in sorted(derived.parents.items(), key=str)]


def ancestry_words(parents: list[Mapping[str, Json]]) -> Iterator[str]:
    """Say the same in lines."""
    for parent in parents:
        yield f"{parent['how']} from {parent['tag']} ({parent['release']}): what that passed counts for nothing here"
        if not parent["known"]:
            yield f"  {parent['tag']} is not registered here"
        if parent["revoked"]:
            yield f"  {parent['tag']} is revoked: {parent['revoked']}"
        results = parent["results"]
        for result in results if isinstance(results, list) else []:
            yield f"  of {parent['tag']}, its parent: suite {result['suite']} {result['result']} at {result['at']}"


def statements(connection: "Connection", record: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """Read every statement about a release, as it was signed."""
    from lockgate.formats import dsse
    from lockgate.formats.statement import parse_statement

    digests = record["evidence"]
    if not isinstance(digests, list):
        raise VerificationError(f"the server says no list of evidence for {record['tag']}")
    rows: list[Mapping[str, Json]] = []
    for digest in digests:
        statement = parse_statement(dsse.parse(connection.fetch(f"/api/v1/documents/{digest}")).payload)
        rows.append({"statement": digest, "predicate": statement.predicate_type, "content": statement.predicate})
    return rows


def _parent(connection: "Connection", how: str, tag: "Tag", digest: "Digest") -> Mapping[str, Json]:
    where = f"/api/v1/releases/{tag.name}/{tag.version}"
    record = connection.find(where)
    if record is not None and record["release"] != str(digest):
        raise VerificationError(f"{tag} is {record['release']} here, not {digest}")
    revoked = connection.find(f"{where}/revocation") if record else None
    return {
        "how": how,
        "tag": str(tag),
        "release": str(digest),
        "known": record is not None,
        "revoked": f"{revoked['reason']} (since {revoked['at']})" if revoked else None,
        "results": [_result(row) for row in statements(connection, record) if _is_result(row)] if record else [],
    }


def _is_result(row: Mapping[str, Json]) -> bool:
    from lockgate.formats.statement import TEST_RESULT

    return row["predicate"] == TEST_RESULT


def _result(row: Mapping[str, Json]) -> Mapping[str, Json]:
    content = row["content"]
    content = content if isinstance(content, dict) else {}
    run = content.get("lockgate")
    run = run if isinstance(run, dict) else {}
    return {"suite": run.get("suite"), "result": content.get("result"), "at": run.get("finished_at")}
