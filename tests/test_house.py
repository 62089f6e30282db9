"""Is the house built as STYLE says? Mechanical rules, each of them also shown a violation.

A rule takes a module and yields complaints. `lint-imports`, ruff and mypy look after the rest.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PURE = ("core", "tlog", "formats")
VAGUE = {
    "abstract",
    "base",
    "common",
    "data",
    "handler",
    "helper",
    "impl",
    "info",
    "manager",
    "process",
    "service",
    "util",
}
ENFORCES = re.compile(r"Enforces: ([a-z0-9_, ]+)")


@dataclass(frozen=True)
class Module:
    path: str  # from the root of the repository
    text: str

    @cached_property
    def tree(self):
        return ast.parse(self.text)

    @cached_property
    def nodes(self):
        return list(ast.walk(self.tree))

    @cached_property
    def defined(self):
        """List the classes and functions; expressions hold none, and are most of a tree."""
        found, left = [], [self.tree]
        while left:
            node = left.pop()
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(node)
            for member in ("body", "orelse", "finalbody", "handlers", "cases"):
                left += getattr(node, member, ())
        return found

    @property
    def functions(self):
        return [node for node in self.defined if not isinstance(node, ast.ClassDef)]

    @property
    def name(self):
        """The last word of the dotted name; that of a package for its `__init__`."""
        path = Path(self.path)
        return path.parent.name if path.stem == "__init__" else path.stem


def has_at_most_400_lines(module):
    if (lines := module.text.count("\n")) > 400:
        yield f"{module.path} has {lines} lines, not at most 400: split it by question"


def has_functions_of_at_most_40_lines(module):
    for function in module.functions:
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > 40:
            yield f"{module.path}: {function.name} has {lines} lines, not at most 40"


def has_functions_of_at_most_6_arguments(module):
    for function in module.functions:
        given = function.args
        names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        if (count := len([name for name in names if name not in ("self", "cls")])) > 6:
            yield f"{module.path}: {function.name} takes {count} arguments, not at most 6"


def begins_with_a_question(module):
    first, _, _ = (ast.get_docstring(module.tree) or "").partition("\n")
    if "?" not in first:
        yield f"{module.path}: the first line asks no question: {first!r}"


def has_no_vague_names(module):
    classes = [node.name for node in module.defined if isinstance(node, ast.ClassDef)]
    for name in [module.name, *classes]:
        words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
        if bad := [word for word in words if word.removesuffix("es") in VAGUE or word.removesuffix("s") in VAGUE]:
            yield f"{module.path}: {name} says {bad[0]!r}, which says nothing"
        if re.match(r"I[A-Z][a-z]", name):
            yield f"{module.path}: {name} wears an I"


def line_of(found):
    return found.string.count("\n", 0, found.start()) + 1


def has_issues_for_its_todos(module):
    for found in re.finditer(r"\b(TO[D]O|FIX[M]E|XX[X])\b(?!.*#\d)", module.text):
        yield f"{module.path}:{line_of(found)}: something is left to do without an issue number (#12)"


def names_no_registry_and_no_machine(module):
    hosts = [r"pypi\.org", r"pythonhosted\.org", r"npmjs\.(org|com)", r"crates\.io", r"docker\.(io|com)", r"ghcr\.io"]
    needles = [rf"\b{host}\b".replace("(", "(?:") for host in [*hosts, r"proxy\.golang\.org"]]
    needles += [r"(?<![\w./~])/(?:work|root|Users|home/\w+|opt/wheels)/"]
    for found in re.finditer("|".join(needles), module.text):
        yield f"{module.path}:{line_of(found)}: names {found.group()}"


def opens_nothing(module):
    effects = ("open", "print", "input", "exec", "eval", "__import__", "breakpoint")
    for node in module.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in effects:
            yield f"{module.path}:{node.lineno}: {node.func.id}() on a pure floor"


def has_no_boolean_checks(module):
    for function in module.functions:
        returns = isinstance(function.returns, ast.Name) and function.returns.id == "bool"
        if returns and re.match(r"_*(verify|check|validate|require|admit|authorize)(_|$)", function.name):
            yield f"{module.path}: {function.name} returns a bool that may be ignored; raise instead"


def modules_named_twice(modules):
    times = Counter(module.name for module in modules if module.name != "__main__")
    return [f"{module.path}: another module is called so" for module in modules if times[module.name] > 1]


def enforced_slugs(modules):
    nodes = [node for module in modules for node in (module.tree, *module.defined)]
    found = [ENFORCES.findall(ast.get_docstring(node) or "") for node in nodes]
    return {slug.strip() for listed in found for slugs in listed for slug in slugs.split(",")}


def broken_promises(status, enforced, tested):
    """Compare what is claimed to be kept with what says that it enforces it and what shows it."""
    kept = {slug for slug, word in status.items() if word == "kept"}
    kept |= {slug for slug, word in status.items() if word == "gap" and slug in enforced & tested}
    for slug in sorted(kept | enforced | tested):
        if slug not in status:
            yield f"{slug} is no obligation"
        elif missing := [
            word
            for word, slugs in (("called kept", kept), ("enforced in src", enforced), ("tested", tested))
            if slug not in slugs
        ]:
            yield f"{slug} is {status[slug]}, but not {' and not '.join(missing)}"


SOURCE = "src/lockgate/**/*.py"
EVERYWHERE = [SOURCE, "tests/**/*.py", "bench/**/*.py", "tools/*"]
TEXTS = [*EVERYWHERE, "*.md", "*.toml", "*.lock", "Makefile", ".ci/*", "docs/**/*.md", "spec/**/*"]
PURE_SOURCE = [f"src/lockgate/{floor}/**/*.py" for floor in PURE] + [
    f"src/lockgate/{name}.py" for name in ("errors", "obligations")
]
RULES = [  # (a dot hides a violation from the rule that reads this file)
    (has_at_most_400_lines, [SOURCE, "tests/**/*.py", "bench/**/*.py"], "x = 1\n" * 401),
    (has_functions_of_at_most_40_lines, [SOURCE, "bench/**/*.py"], "def f():\n" + "    x = 1\n" * 40),
    (has_functions_of_at_most_6_arguments, [SOURCE, "bench/**/*.py"], "def f(a, /, b, c, d, e, *, f, g): ..."),
    (begins_with_a_question, [SOURCE], '"""Things about keys.\n\nWhy?"""'),
    (begins_with_a_question, [SOURCE], "x = 1"),
    (has_no_vague_names, [SOURCE], "class KeyManager: ..."),
    (has_no_vague_names, [SOURCE], "class HTTPHandlers: ..."),
    (has_no_vague_names, [SOURCE], "class Processes: ..."),
    (has_no_vague_names, [SOURCE], "class AbstractLog: ..."),
    (has_no_vague_names, [SOURCE], "class ILog: ..."),
    (has_issues_for_its_todos, EVERYWHERE, "x = 1  # TO·DO: later"),
    (has_issues_for_its_todos, EVERYWHERE, "# FIX·ME 7"),
    (names_no_registry_and_no_machine, TEXTS, "index = 'https://py·pi.org/simple'"),
    (names_no_registry_and_no_machine, TEXTS, "files.python·hosted.org"),
    (names_no_registry_and_no_machine, TEXTS, "home = '/ro·ot/x'"),
    (names_no_registry_and_no_machine, TEXTS, "cd /wo·rk/main"),
    (opens_nothing, PURE_SOURCE, "def f(path): return open(path)"),
    (opens_nothing, PURE_SOURCE, "print(1)"),
    (has_no_boolean_checks, [SOURCE], "def verify_chain(chain) -> bool: ..."),
]
CLEAN = (
    '''"""What is a key? Bytes."""

# TO'''
    '''DO: rotate (#12)
class Database:
    """Holds metadata: not the forbidden words; `workroot/main` and ./root/x are no machine."""

    def is_new(self, a, b, c, d, e, f) -> bool: ...


class Identity: ...


class IOLimit: ...
'''
)


def modules(patterns):
    paths = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return [module_at(path) for path in sorted(paths)]


@cache
def module_at(path):
    return Module(str(path.relative_to(ROOT)), path.read_text())


@pytest.mark.parametrize(("rule", "patterns"), {rule: patterns for rule, patterns, _ in RULES}.items())
def test_every_module_of_the_house(rule, patterns):
    found = modules(patterns)

    assert len(found) > 3
    complaints = [complaint for module in found for complaint in rule(module)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(("rule", "planted"), [(rule, planted) for rule, _, planted in RULES])
def test_a_planted_violation_is_found(rule, planted):
    assert len(list(rule(Module("src/lockgate/core/key.py", planted.replace("·", ""))))) == 1


@pytest.mark.parametrize("rule", [rule for rule, _, _ in RULES], ids=lambda rule: rule.__name__)
def test_what_is_clean_is_left_alone(rule):
    assert list(rule(Module("src/lockgate/core/key.py", CLEAN.replace("·", "")))) == []


@pytest.mark.parametrize("path", ["src/lockgate/core/utils.py", "src/lockgate/common/__init__.py"])
def test_a_vague_name_of_a_module_is_found(path):
    assert len(list(has_no_vague_names(Module(path, "")))) == 1


def test_no_module_name_appears_twice():
    twice = modules_named_twice(modules([SOURCE]))

    assert not twice, "\n".join(twice)


def test_a_module_name_that_appears_twice_is_found():
    twice = [Module(f"src/lockgate/{path}", "") for path in ("core/gate.py", "app/gate/__init__.py", "cli/__init__.py")]

    assert modules_named_twice(twice) == [f"{module.path}: another module is called so" for module in twice[:2]]


def test_every_pure_floor_is_under_the_contract_that_keeps_it_pure():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (covered,) = [set(each["source_modules"]) for each in contracts if each["name"].startswith("No I/O")]

    floors = (f"lockgate.{floor}" for floor in [*PURE, "errors", "obligations"])
    assert covered == {floor for floor in floors if find_spec(floor)}


def test_what_is_claimed_kept_is_enforced_and_tested_and_the_other_way_round():
    from lockgate.obligations import OBLIGATIONS

    status = {slug: str(obligation.status) for slug, obligation in OBLIGATIONS.items()}
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests/obligations").glob("test_*.py")}

    assert set(status.values()) <= {"kept", "gap", "planned"}
    broken = list(broken_promises(status, enforced_slugs(modules([SOURCE])), tested))
    assert not broken, "\n".join(broken)


def test_a_slug_that_is_kept_enforced_and_tested_is_left_alone():
    assert list(broken_promises({"a": "kept", "b": "gap", "c": "planned"}, {"a"}, {"a"})) == []


@pytest.mark.parametrize(
    ("status", "enforced", "tested"),
    [
        ({"a": "kept"}, set(), {"a"}),
        ({"a": "kept"}, {"a"}, set()),
        ({"a": "gap"}, {"a"}, set()),
        ({"a": "planned"}, {"a"}, set()),
        ({"a": "planned"}, set(), {"a"}),
        ({}, {"a"}, {"a"}),
    ],
)
def test_a_promise_broken_in_either_direction_is_found(status, enforced, tested):
    assert len(list(broken_promises(status, enforced, tested))) == 1


def test_slugs_are_read_from_docstrings():
    text = '''def f():\n    """Do.\n\n    Enforces: signed_artifacts, audit_record\n    """\nx = "Enforces: nothing"'''

    assert enforced_slugs([Module("a.py", text)]) == {"signed_artifacts", "audit_record"}


@pytest.mark.parametrize(
    ("required", "outcome"),
    [pytest.param("", "4 skipped", marks=pytest.mark.slow), ("1", "1 failed, 2 skipped, 1 error")],
)
def test_a_skip_is_a_failure_where_everything_is_required(tmp_path, required, outcome):
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    for name, reason in (("missing", "needs strace"), ("elsewhere", "elsewhere: macOS")):
        (tmp_path / f"test_{name}.py").write_text(f"import pytest\ndef test_it(): pytest.skip({reason!r})")
        module = f"import pytest\npytest.skip({reason!r}, allow_module_level=True)"
        (tmp_path / f"test_{name}_module.py").write_text(module)

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--continue-on-collection-errors",
            ".",
        ],
        cwd=tmp_path,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "LOCKGATE_REQUIRE_ALL": required},
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome in done.stdout
