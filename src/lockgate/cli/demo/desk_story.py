"""What surrounds the desk in the story, and what is it asked? Its tools, its memory, its releases, its callers."""

import json
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from lockgate.cli.demo.authorship import attest, create_release, seal_components, write_description
from lockgate.cli.demo.company import HOSTS, Subject
from lockgate.cli.demo.desk import desk_release
from lockgate.cli.demo.desk.desk_memory import BINDER, GROUP
from lockgate.cli.demo.desk.desk_questions import REQUESTS, is_right
from lockgate.cli.demo.desk.desk_release import Made
from lockgate.cli.demo.desk.desk_tools import create_book
from lockgate.cli.demo.desk.documents import sections
from lockgate.cli.demo.desk.parts import KINDS
from lockgate.cli.demo.evaluation import counted
from lockgate.cli.demo.stage import Stage, free_port, promise
from lockgate.cli.demo.story import Story
from lockgate.core.evidence import TestRun

DESK = Subject("desk", KINDS, "desk-answers", "0.75")
VERSIONS = tuple(made.version for made in desk_release.RELEASES)
SAME = ("weights", "tokenizer", "dependency-lock")  # in both releases
THREADS = {"OPENBLAS_NUM_THREADS": "1"}
_MODULE = "lockgate.cli.demo.desk"


def start_surroundings(stage: Stage, host: Path) -> None:
    """Start the MCP server and the database that the desk works with, and tell `host` how its agent gets in there."""
    port = free_port()
    book = stage.folder / "book.sqlite"
    create_book(book, sections(("how-to", "explanation", "tutorial")))
    for name in ("memory", "tools"):
        (host / "keys" / name).touch(0o600)
        (host / "keys" / name).write_text(secrets.token_urlsafe(32))
    words = ["--book", str(book), "--port", str(port), "--secret-file", str(host / "keys" / "tools")]
    stage.start([sys.executable, "-m", f"{_MODULE}.desk_tools", *words], "desk-tools")
    words = ["--home", str(stage.folder / "memory"), "--password-file", str(host / "keys" / "memory")]
    stage.start([sys.executable, "-m", f"{_MODULE}.desk_memory", *words], "desk-memory")
    stage.until("the desk's database is there", lambda: bool(database(stage)))
    where, url = conninfo_to_dict(database(stage)), f"http://127.0.0.1:{port}/mcp"
    (host / "bindings.toml").touch(0o600)
    (host / "bindings.toml").write_text(
        f'[memory]\nkind = "postgres"\naddress = "host={where["host"]} port={where["port"]} dbname={where["dbname"]}"\n'
        f'user = "{BINDER}"\npassword_file = "keys/memory"\ngroup = "{GROUP}"\n'
        f'[tools]\nkind = "mcp"\nurl = "{url}"\nsecret_file = "keys/tools"\n'
    )
    _write_access(stage.folder / "tools.json", {"url": url, "token": (host / "keys" / "tools").read_text()})


def _write_access(path: Path, means: Mapping[str, object]) -> None:
    path.touch(0o600)
    path.write_text(json.dumps({"type": "access/v1", "name": path.stem, "means": means}))


def grant(stage: Stage, schema: str) -> Path:
    """Write what the binding of memory would give, for a release that is only tested; return the file."""
    with psycopg.connect(database(stage), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    path = stage.folder / f"{schema}.json"
    _write_access(path, {**conninfo_to_dict(database(stage)), "schema": schema})
    return path


def database(stage: Stage) -> str:
    """Say how the owner of the desk's database gets in; nothing while it is not there."""
    lines = (stage.folder / "desk-memory.log").read_text().splitlines()
    return next((line for line in reversed(lines) if line.startswith("host=")), "")


def author_release(story: Story, made: Made) -> str:
    """Sign, describe, register and attest a release; return what its suite found."""
    version = made.version
    _seal(story, version)
    access = ["--memory", "{bindings}/memory.json", "--tools", "{bindings}/tools.json"]
    command = ["{python}", "-m", f"{_MODULE}.desk_server", "--model", "{model}", *access, "--port", "{port}"]
    write_description(story, version, _contract(story.stage, made), {"command": command, "environment": THREADS})
    create_release(story, version)
    verdict, accuracy = attest(story, version, "https://lockgate.invalid/desk", evaluate(story, version))
    promise(verdict == "PASSED", f"desk@{version} {verdict} with {accuracy}")
    return f"{version} {verdict} ({accuracy})"


def _contract(stage: Stage, made: Made) -> Mapping[str, Sequence[str]]:
    """Have the tools pinned as their server describes them now."""
    access = json.loads((stage.folder / "tools.json").read_bytes())["means"]
    only = [word for tool in made.tools for word in ("--only", tool)]
    pinned = stage.lockgate("tools", access["url"], "--secret", stage.folder / HOSTS[0] / "keys" / "tools", *only)
    return {**desk_release.contract(made), "tools": pinned["tools"]}


def _seal(story: Story, version: str) -> None:
    """Have every component signed; what is the same in both releases is signed once."""
    seal_components(story, version, () if version == VERSIONS[0] else SAME)
    if version != VERSIONS[0]:
        for kind in SAME:
            shutil.copy(story.built / VERSIONS[0] / f"{kind}.sig", story.built / version)


def evaluate(story: Story, version: str) -> TestRun:
    """Ask a release everything that it should be able to do, and count."""
    stage = story.stage
    memory = grant(stage, f"evaluation_{version.replace('.', '_')}")
    with answering(stage, story.built / version, memory) as url:
        right = sum(is_right(request, ask(stage, url, "evaluation", request)) for request in REQUESTS)
    return counted(DESK, right, len(REQUESTS))


@contextmanager
def answering(stage: Stage, model: Path, memory: Path) -> Iterator[str]:
    """Serve a release that nobody has approved yet, for those who test it; yield its address."""
    port = free_port()
    access = ["--memory", str(memory), "--tools", str(stage.folder / "tools.json")]
    words = ["--model", str(model), *access, "--port", str(port)]
    process = stage.start([sys.executable, "-m", f"{_MODULE}.desk_server", *words], "evaluation", THREADS)
    try:
        url = f"http://127.0.0.1:{port}"
        stage.until("the desk answers", lambda: "release" in stage.ask(f"{url}/healthz"))
        yield url
    finally:
        stage.stop(process)


def ask(stage: Stage, url: str, session: str, request: str) -> Mapping[str, Any]:
    """Ask a desk something, as anybody may."""
    return stage.ask(f"{url}/ask", json.dumps({"session": session, "request": request}).encode())


def listed_parts(story: Story, version: str) -> dict[str, str]:
    """Return the digests that the registered manifest of a release lists."""
    shown = story.prod_lockgate("release", "show", f"desk@{version}", who="dave")
    return {name: part["digest"] for name, part in shown["manifest"]["components"].items()}
