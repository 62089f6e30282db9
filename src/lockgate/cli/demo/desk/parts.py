"""Which parts is this desk made of? Read once, hashed as they are read, and named in every answer.

    {model}/weights tokenizer config adapter guardrail prompt agent-policy tool-contract capability-list rag-index
            dependency-lock

The digest of a part is the in-toto dirHash of what was read, which is the one that the release's manifest lists:
whoever asks can tell from the answer alone which release made it, and that no two did.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockgate.cli.demo.desk.documents import Section
from lockgate.cli.demo.desk.guardrail import Guardrail, read_guardrail
from lockgate.cli.demo.desk.minilm import Array, MiniLm, read_tensors
from lockgate.cli.demo.desk.planner import Index, Thresholds, Tool
from lockgate.formats.digest import Digest, dir_hash

KINDS = (
    "weights", "tokenizer", "config", "adapter", "guardrail", "prompt", "agent-policy", "tool-contract",
    "capability-list", "rag-index", "dependency-lock",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Adapter:
    """What bends a meaning: down to a few numbers, and up again."""

    down: Array
    up: Array


@dataclass(frozen=True, slots=True)
class Policy:
    """How the agent behaves: what is near enough, and how many turns it looks back."""

    thresholds: Thresholds
    turns: int


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that makes the desk answer as it does, and the digest of each."""

    version: str
    model: MiniLm
    adapter: Adapter
    guardrail: Guardrail
    prompts: Mapping[str, str]
    policy: Policy
    pinned: Mapping[str, Mapping[str, Any]]
    tools: tuple[Tool, ...]
    index: Index
    digests: Mapping[str, str]


def read_parts(folder: Path) -> Parts:
    """Read all parts of a release, which the loader has verified."""
    model = MiniLm(
        (folder / "weights" / "model.safetensors").read_bytes(), (folder / "tokenizer" / "vocab.txt").read_text()
    )
    tensors = read_tensors((folder / "adapter" / "adapter.safetensors").read_bytes())
    policy = _json(folder / "agent-policy" / "policy.json")
    offered = _json(folder / "tool-contract" / "tools.json")
    may_call = _json(folder / "capability-list" / "capabilities.json")["call"]
    pinned = {tool["name"]: tool for tool in offered if tool["name"] in may_call}
    return Parts(
        version=_json(folder / "config" / "desk.json")["version"],
        model=model,
        adapter=Adapter(tensors["down"], tensors["up"]),
        guardrail=read_guardrail(folder / "guardrail"),
        prompts={path.stem: path.read_text() for path in sorted((folder / "prompt").glob("*.txt"))},
        policy=Policy(Thresholds(policy["call_from"], policy["quote_from"]), policy["turns"]),
        pinned=pinned,
        tools=tuple(_tool(model, tool) for tool in pinned.values()),
        index=_index(folder / "rag-index"),
        digests={kind: digest_of(folder / kind) for kind in KINDS},
    )


def digest_of(component: Path) -> str:
    """Hash a directory as the manifest does."""
    files = sorted(path for path in component.rglob("*") if path.is_file())
    return str(dir_hash((str(path.relative_to(component)), Digest.of(path.read_bytes()).hex) for path in files))


def _tool(model: MiniLm, pinned: Mapping[str, Any]) -> Tool:
    properties = pinned["input_schema"]["properties"]
    arguments = {name: properties[name].get("pattern") for name in pinned["input_schema"]["required"]}
    return Tool(pinned["name"], pinned["description"], arguments, model.vector(pinned["description"]))


def _index(folder: Path) -> Index:
    meanings = read_tensors((folder / "meanings.safetensors").read_bytes())["meanings"]
    return Index([Section(**section) for section in _json(folder / "sections.json")], meanings)


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())
