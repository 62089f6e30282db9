"""Does the desk of the demo, with its memory and its tools, do what the agentic suite wants of it?"""

import getpass
import json
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from lockgate.cli.demo.desk.desk_release import RELEASES, build
from lockgate.cli.demo.desk_story import database, grant, start_surroundings
from lockgate.cli.demo.stage import Stage
from lockgate.cli.demo.wheels import default_cache
from lockgate.core.release import Kind
from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.candidate import Candidate
from lockgate.evaluator.conducting import conduct
from lockgate.evaluator.on_trial import Surroundings
from lockgate.evaluator.sandbox import Limits
from lockgate.evaluator.suite_folder import find_suite
from lockgate.formats.digest import Digest
from lockgate.formats.oms import FileDigest
from lockgate.scanner.folder import scan
from tests.evaluator.candidates import candidate

ROOT = Path(__file__).parents[2]
MEMORY, TOOLS = 5499, 8499
COMMAND = (
    "{python}", "-m", "lockgate.cli.demo.desk.desk_server", "--model", "{model}", "--memory", "{bindings}/memory.json",
    "--tools", "{bindings}/tools.json", "--port", "{port}",
)  # fmt: skip


@contextmanager
def door(path, port):
    """Lead a unix socket to a port of this machine."""
    with socket.socket(socket.AF_UNIX) as front:
        front.bind(str(path))
        front.listen()
        threading.Thread(target=_let_in, args=(front, port), daemon=True).start()
        yield path


def _let_in(front, port):
    while True:
        try:
            inside, _ = front.accept()
        except OSError:
            return
        threading.Thread(target=_carry, args=(inside, port), daemon=True).start()


def _carry(inside, port):
    with inside, socket.create_connection(("127.0.0.1", port)) as outside:
        back = threading.Thread(target=_pass_on, args=(outside, inside))
        back.start()
        _pass_on(inside, outside)
        back.join()


def _pass_on(one, other):
    with suppress(OSError):
        while piece := one.recv(1 << 16):
            other.sendall(piece)
        other.shutdown(socket.SHUT_WR)


def desk(folder):
    """Describe the files of a release of the desk as a trial has them."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            component, _, name = path.relative_to(folder).as_posix().partition("/")
            content = path.read_bytes()
            files.setdefault(component, []).append(FileDigest(name, Digest.of(content), len(content)))
    small = candidate(folder.parent / "small", {"config/a.json": {}}, command=COMMAND)
    part = small.manifest.components["config"]
    parts = {component: replace(part, kind=Kind(component)) for component in files}
    manifest = replace(small.manifest, components=parts)
    return Candidate(manifest, small.release, folder, {name: tuple(found) for name, found in files.items()})


def access(path, **means):
    path.write_text(json.dumps({"type": "access/v1", "name": path.stem, "means": means}))


@pytest.mark.slow
def test_the_desk_of_the_demo_passes_what_it_should(tmp_path, monkeypatch):
    subprocess.run([ROOT / "tools/harness", "inspect"], check=True, timeout=300)
    monkeypatch.setenv("LOCKGATE_HARNESSES", str(ROOT / ".cache/harnesses"))
    host, given = tmp_path / "host", tmp_path / "bindings"
    (host / "keys").mkdir(parents=True)
    given.mkdir()
    build(default_cache(), tmp_path / "desk", RELEASES[1:2])

    with Stage(tmp_path / "stage", json_=True, keep=False) as stage:
        start_surroundings(stage, host)
        grant(stage, "trial")
        where = conninfo_to_dict(database(stage))
        tools = json.loads((stage.folder / "tools.json").read_bytes())["means"]
        user = {"user": getpass.getuser(), **{k: v for k, v in where.items() if k not in ("host", "port")}}
        access(given / "memory.json", **user, host="127.0.0.1", port=str(MEMORY), schema="trial")
        access(given / "tools.json", url=f"http://127.0.0.1:{TOOLS}/mcp", token=tools["token"])
        given.chmod(0o755)
        port = int(tools["url"].rpartition(":")[2].partition("/")[0])
        memory = Path(where["host"]) / f".s.PGSQL.{where['port']}"
        with door(tmp_path / "tools.sock", port) as way:
            around = Surroundings(Limits(seconds=300, cpu_seconds=300), given, {MEMORY: memory, TOOLS: way})
            found = desk(tmp_path / "desk" / "1.1.0")
            found = conduct(
                Assignment(find_suite("agentic"), found, scan(found.folder), Bubblewrap(), around, lambda _name: None)
            )

    counted = {name: f"{measure.passed} of {measure.of}" for name, measure in found.measures.items()}
    print(counted)
    assert found.trouble == () and found.served
    assert {name for name, measure in found.measures.items() if measure.passed < measure.of} <= {
        "utility-tools", "utility-retrieval",
    }, counted  # fmt: skip
    assert all(measure.passed * 2 > measure.of for measure in found.measures.values()), counted
