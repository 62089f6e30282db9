"""What would the gate say of a release at an endpoint, by this policy or a draft?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from lockgate.cli.speaking import ENDPOINT, EXISTING, TAG, as_json, read, show, speaking
from lockgate.errors import VerificationError
from lockgate.formats.canonical import MAX_DEPTH, Json
from lockgate.formats.names import Endpoint, Tag

if TYPE_CHECKING:
    from lockgate.loader.connection import Connection


@click.command("simulate")
@click.argument("tag", metavar="RELEASE", type=TAG)
@click.argument("endpoint", type=ENDPOINT)
@click.option("--policy", "draft", type=EXISTING, help="A policy that is not in force (YAML or JSON).")
@speaking
@as_json
def simulate_policy(tag: Tag, endpoint: Endpoint, draft: Path | None, connection: "Connection", json_: bool) -> int:
    """Say everything that speaks for and against RELEASE at ENDPOINT, and decide nothing. Exit 3: something is against.

    Judged on what is there now: evidence, and the newest open change about it with its approvals.
    """
    from lockgate.formats import canonical
    from lockgate.loader.connection import Answer

    policy = written(draft, "policy") if draft else None
    question = canonical.encode({"tag": str(tag), "endpoint": str(endpoint), "policy": policy})
    found = Answer.read(connection.post("/api/v1/simulations", question))
    lines = [f"+ {ground}" for ground in _texts(found.get("grounds"))]
    lines += [f"- {reason}" for reason in _texts(found.get("reasons"))]
    allowed = found.get("allowed") is True
    show(json_, found, *lines, f"{tag} {'could' if allowed else 'could not'} serve at {endpoint}")
    return 0 if allowed else 3


def written(path: Path, kind: str) -> Json:
    """Read a document as people write it (YAML or JSON); its `type` may be left out."""
    content = read(path)
    try:
        found = yaml.load(content, _Shallow)  # noqa: S506 - it is a SafeLoader
    except (yaml.YAMLError, ValueError) as e:  # ValueError: a date that the calendar does not have
        raise VerificationError(f"{path} is not YAML: {e}") from e
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise VerificationError(f"{path} is not a {kind} document")
    return {"type": f"{kind}/v1", **found}


class _Shallow(yaml.SafeLoader):
    """Reads nothing that is nested deeper than canonical JSON may be: what is deep takes seconds to read."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Read one node, and what is in it."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested deeper than {MAX_DEPTH}")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _texts(value: Json) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
