"""Do the docs say everything, and nothing that is not so?

Generated pages are written anew and compared; examples of the specifications are read back; what must be documented is
taken from the code, and each of these checks is also shown a gap.
"""

import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import lockgate.core
from lockgate import errors
from lockgate.cli.main import COMMANDS
from lockgate.core.journal import EVENT_TYPES
from lockgate.core.rights import RIGHTS, Role
from lockgate.formats import plain
from lockgate.formats.cloudevent import CloudEvent
from lockgate.obligations import OBLIGATIONS
from lockgate.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [path for pattern in ("*.md", "docs/**/*.md", "spec/*.md") for path in sorted(ROOT.glob(pattern))]
SPECS = sorted((ROOT / "spec").glob("*.md"))
NO_SETTING = {"LOCKGATE_"}  # how the prefix is written in prose
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def missing(words, text):
    """List the words that the text does not say as code."""
    said = set(re.findall(r"`([^`\n]+)`", text)) | set(re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    return sorted(word for word in words if word not in said)


def reference(page):
    return (ROOT / "docs" / "reference" / f"{page}.md").read_text()


def classes_of_core():
    names = [found.name for found in pkgutil.walk_packages(lockgate.core.__path__, "lockgate.core.")]
    modules = [importlib.import_module(name) for name in names]
    return [
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__
    ]


def document_types():
    """Name the documents of `core`: every `…/v1` that is no event."""
    types = {kind.type: kind for kind in classes_of_core() if isinstance(getattr(kind, "type", None), str)}
    return {name: kind for name, kind in types.items() if name.endswith("/v1") and name not in EVENT_TYPES}


def generator():
    module = ModuleType("reference")
    module.__file__ = str(ROOT / "tools" / "reference")
    exec((ROOT / "tools" / "reference").read_text(), vars(module))
    return module


def broken_links(page, text):
    """List relative links that lead nowhere: to no file, or to no heading of one."""
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
        where, _, heading = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / where) if where else page
        if not path.exists():
            yield f"{page.relative_to(ROOT)}: {target}"
        elif heading and heading not in anchors(path.read_text()):
            yield f"{page.relative_to(ROOT)}: {target} (no such heading)"


def anchors(text):
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def examples(kind):
    """Yield the fenced blocks of one language in the specifications, with the page that they are on."""
    return [
        (path.name, block) for path in SPECS for _, found, block in FENCE.findall(path.read_text()) if found == kind
    ]


@pytest.mark.parametrize("page", sorted(generator().PAGES))
def test_a_generated_page_is_what_the_code_says_today(page):
    assert reference(page) == generator().render(page), "stale: run .venv/bin/python tools/reference"


def test_a_stale_page_is_found(tmp_path, monkeypatch):
    module = generator()
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    for page in module.PAGES:
        (tmp_path / f"{page}.md").write_text(module.render(page))
    assert module.stale() == []

    (tmp_path / "rights.md").write_text(module.render("rights") + "and more\n")
    (tmp_path / "events.md").unlink()

    assert module.stale() == ["rights", "events"]


def test_every_command_event_right_and_obligation_has_its_place():
    assert not missing(COMMANDS, reference("commands"))
    assert not missing(EVENT_TYPES, reference("events"))
    assert not missing(RIGHTS, reference("rights"))
    assert not [role for role in Role if f" {role.value} " not in reference("rights")]
    assert not missing(OBLIGATIONS, reference("obligations"))


def test_every_error_is_documented_with_its_exit_code():
    kinds = [name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)]

    assert len(kinds) == 5
    assert not missing(kinds, reference("errors"))
    for kind in errors.LockgateError.__subclasses__():
        assert re.search(rf"^\| `{kind.__name__}` .*\| {kind.exit_code} \|$", reference("errors"), re.MULTILINE)


def test_every_error_is_documented_with_its_status():
    problems = pytest.importorskip("lockgate.server.problems")

    for kind, status in problems._STATUS.items():
        assert re.search(rf"^\| `{kind.__name__}` .*\| {status}\b.*\| \d \|$", reference("errors"), re.MULTILINE)


def test_every_problem_type_is_documented():
    problems = pytest.importorskip("lockgate.server.problems")

    assert not missing((f"urn:lockgate:problem:{kind}" for kind in problems._KINDS.values()), reference("errors"))


def test_every_setting_is_documented():
    fields = {field.name for field in dataclasses.fields(Settings)} - {"home"}
    texts = [path.read_text() for path in (ROOT / "src").rglob("*.py")] + [(ROOT / "Makefile").read_text()]
    variables = {name for text in texts for name in re.findall(r"LOCKGATE_[A-Z_]*", text)} - NO_SETTING

    assert len(variables) > 8
    assert not missing(fields | variables, reference("settings"))


def test_every_document_type_has_a_specification():
    titles = "\n".join(re.findall(r"^# .*$", "\n".join(path.read_text() for path in SPECS), re.MULTILINE))

    assert len(document_types()) >= 8
    assert not missing(document_types(), titles)


def test_every_noun_of_the_rules_has_one_meaning():
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    words = [word.strip().lower() for row in rows for word in row.split(",")]
    nouns = {found.name for found in pkgutil.iter_modules(lockgate.core.__path__)} - {"rights"} | {"right"}

    assert sorted(nouns - set(words)) == []
    assert [word for word in words if words.count(word) > 1] == []
    assert rows == sorted(rows, key=str.lower)


def test_an_undocumented_word_is_found():
    assert missing(["change.opened/v1", "log.read"], "## change.opened/v1\n\nlog.read, but not as code") == ["log.read"]


def test_every_example_of_a_specification_can_be_read_back():
    kinds = document_types()
    read = set()
    for page, block in examples("json"):
        found = json.loads(block)
        kind = kinds.get(found.get("type")) or (CloudEvent if "specversion" in found else None)
        if kind is not None:
            read.add(found.get("type"))
            assert json.loads(plain.encode(plain.from_plain(kind, found, page))) == found

    assert kinds.keys() <= read | {"intent/v1"}  # which is shown inside of its proof, and of a passport


def test_every_decision_has_context_outcome_and_price():
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(path.name[:4]) for path in decisions]

    assert len(set(numbers)) == len(numbers) > 10
    for path in decisions:
        assert path.read_text().startswith(f"# {path.name[:4]}: ")
        assert not [part for part in ("**Context.**", "**Outcome.**", "**Price") if part not in path.read_text()], path


def test_every_dependency_has_its_sentence():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    groups = [project["project"]["dependencies"], *extras, project["dependency-groups"]["dev"]]
    names = {re.split(r"[\[<>=]", requirement)[0] for group in groups for requirement in group}

    assert not missing(names, (ROOT / "docs/decisions/0007-dependencies.md").read_text())


def test_no_relative_link_is_broken():
    broken = [link for page in PAGES for link in broken_links(page, page.read_text())]

    assert len(PAGES) > 20
    assert not broken, "\n".join(broken)


def test_a_broken_link_is_found():
    text = "[here](README.md) [gone](docs/nowhere.md) [no heading](SECURITY.md#nothing) [far](https://example.com/x)"

    assert list(broken_links(ROOT / "CONTRIBUTING.md", text)) == [
        "CONTRIBUTING.md: docs/nowhere.md",
        "CONTRIBUTING.md: SECURITY.md#nothing (no such heading)",
    ]


def test_every_page_can_be_reached_from_the_readme():
    seen, wanted = set(), [ROOT / "README.md"]
    while wanted:
        page = wanted.pop()
        if page not in seen:
            seen.add(page)
            targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
            found = [(page.parent / target).resolve() for target in targets if not re.match(r"[a-z]+:", target)]
            wanted += [path for path in found if path.suffix == ".md" and path.exists()]
            wanted += [path for folder in found if folder.is_dir() for path in sorted(folder.glob("*.md"))]

    assert sorted(set(PAGES) - seen) == []


def test_every_command_that_the_pages_show_exists():
    import click

    from lockgate.cli.main import cli

    shown = set()
    for page in PAGES:
        for _, language, block in FENCE.findall(page.read_text()):
            if language == "sh":
                shown |= {tuple(line.split()) for line in re.findall(r"lockgate ((?:[a-z]+ ?){1,2})", block)}
    for words in sorted(shown):
        command = cli.get_command(click.Context(cli), words[0])
        assert command is not None, f"lockgate {words[0]} is no command"
        if isinstance(command, click.Group) and (words[1:] or not command.invoke_without_command):
            assert words[1] in command.commands, f"lockgate {' '.join(words)} is no command"
    assert len(shown) > 15


@pytest.mark.slow
@pytest.mark.live
def test_the_tutorial_does_what_it_says(tmp_path):
    text = (ROOT / "docs/tutorial/first-release.md").read_text()
    server, model = free_port(), free_port()
    blocks = "\n".join(block for _, language, block in FENCE.findall(text) if language == "sh")
    script = "set -eu\n" + blocks.replace("8420", str(server)).replace("8500", str(model))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LOCKGATE_LISTEN": f"127.0.0.1:{server}",
    }

    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for sentence in (
        "refused, as it should be",
        "one approval is not enough",
        "hello from a model",
        "lockgate run ended with 10",
        "verified 13 entries",
    ):
        assert sentence in done.stdout


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]
