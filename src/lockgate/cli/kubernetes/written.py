"""How do objects become files? For kustomize as they are, for Helm with places that `values.yaml` fills: one source.

The same choice gives the same bytes. What a chart could not be given without breaking a rule (an image by its tag) its
schema refuses before Helm writes anything.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from lockgate import __version__
from lockgate.cli.kubernetes.barriers import digest_policy, marks_policy, namespaces, networks, rights, webhook
from lockgate.cli.kubernetes.chosen import MEANS, PATTERNS, Chosen, for_helm
from lockgate.cli.kubernetes.workloads import (
    AGENT,
    NODES,
    PORTER,
    PORTER_PORT,
    ROUTES,
    SERVER,
    SERVER_PORT,
    SYSTEM,
    Object,
    account,
    agent,
    front,
    porter,
    server,
)
from lockgate.errors import ConflictError, UnavailableError

_HEAD = "# Written by `lockgate kubernetes manifests`: change the choice, not the file.\n"


def objects(chosen: Chosen) -> Mapping[str, list[Object]]:
    """Make everything that a cluster needs, by the name of its file; the order is that in which it is applied."""
    return {
        "namespaces": namespaces(chosen),
        "accounts": [
            *(account(name, SYSTEM) for name in (SERVER, PORTER, ROUTES)),
            account(AGENT, NODES),
        ],
        "rights": rights(chosen),
        "networks": networks(chosen),
        "server": [server(chosen), front(SERVER, SERVER_PORT, SERVER_PORT)],
        "porter": [porter(chosen), front(PORTER, 443, PORTER_PORT)],
        "agent": [agent(chosen)],
        "admission": [*digest_policy(), *marks_policy(), webhook(chosen)],
    }


def kustomize(chosen: Chosen) -> Mapping[str, str]:
    """Write a kustomization, and the files that it lists."""
    files = {f"{name}.yaml": _text(found) for name, found in objects(chosen).items()}
    listed: Object = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [*files],
    }
    return {"kustomization.yaml": _text([listed]), **files}


def chart(chosen: Chosen) -> Mapping[str, str]:
    """Write a chart of Helm, whose values are the choice."""
    about: Object = {
        "apiVersion": "v2",
        "name": "lockgate",
        "description": "Change control for AI models",
        "type": "application",
        "version": __version__,
        "appVersion": __version__,
        "kubeVersion": ">=1.30.0-0",
    }
    values: Object = {name: getattr(chosen, name) for name in PATTERNS}
    schema = {
        "$schema": "https://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": False,
        "required": [*PATTERNS],
        "properties": {
            name: {"type": "string", "pattern": pattern, "description": MEANS[name]}
            for name, pattern in PATTERNS.items()
        },
    }
    schema["properties"] |= {"global": {"type": "object"}}  # type: ignore[operator]  # Helm adds it by itself
    templates = {f"templates/{name}.yaml": _text(found) for name, found in objects(for_helm()).items()}
    return {
        "Chart.yaml": _text([about]),
        "values.yaml": _text([values]),
        "values.schema.json": json.dumps(schema, indent=2) + "\n",
        **templates,
    }


def write(files: Mapping[str, str], into: Path) -> None:
    """Write files into a folder that is not there yet, or is empty."""
    try:
        if into.exists() and any(into.iterdir()):
            raise ConflictError(f"{into} is not empty: nothing is written over")
        for name, text in files.items():
            path = into / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    except OSError as e:
        raise UnavailableError(f"cannot write {e.filename or into}: {e.strerror}") from e


def _text(found: list[Object]) -> str:
    return _HEAD + yaml.dump_all(found, Dumper=_Plain, sort_keys=True, width=100_000, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """Writes everything out: what is said twice is no reference to another place."""

    def ignore_aliases(self, data: object) -> bool:
        """Say that nothing is an alias."""
        del data
        return True
