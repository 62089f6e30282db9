import os
import subprocess

import pytest

from lockgate.errors import VerificationError
from lockgate.evaluator.suite_folder import BUILT_IN, find_suite, known_suites, read_suite

TOML = """
name = "answers"
version = "1.2.0"
harness = "inspect"
needs = ["served"]
[measures]
accuracy = "answers that were right"
[run]
task = "tasks.py"
"""


def write(folder, **files):
    for name, content in {"suite.toml": TOML, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def git(folder, *words):
    who = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **who}).stdout.strip()


def test_a_suite_is_known_by_all_that_it_holds(tmp_path):
    one = read_suite(write(tmp_path / "one", **{"tasks.py": "1", "data/a.json": "[]"}))
    same = read_suite(write(tmp_path / "two", **{"data/a.json": "[]", "tasks.py": "1"}))
    other = read_suite(write(tmp_path / "three", **{"data/a.json": "[ ]", "tasks.py": "1"}))

    assert one.digest == same.digest != other.digest
    assert (str(one.about.name), str(one.about.version), one.about.run) == ("answers", "1.2.0", {"task": "tasks.py"})
    assert one.commit is None


def test_what_was_read_is_what_a_harness_gets(tmp_path):
    suite = read_suite(write(tmp_path / "one", **{"tasks.py": "1", "__pycache__/tasks.pyc": "evil"}))
    (tmp_path / "one" / "tasks.py").write_text("2")

    suite.lay_out(tmp_path / "copy")

    assert read_suite(tmp_path / "copy").digest == suite.digest
    assert (tmp_path / "copy" / "tasks.py").read_text() == "1"
    assert not (tmp_path / "copy" / "__pycache__").exists()


def test_a_commit_is_named_only_if_it_holds_just_this(tmp_path):
    folder = write(tmp_path / "suites" / "answers", **{"tasks.py": "1"})
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    commit = git(tmp_path, "rev-parse", "HEAD")

    assert read_suite(folder).commit == commit
    (folder / "more.txt").write_text("not committed")
    assert read_suite(folder).commit is None
    (folder / "more.txt").unlink()
    (folder / "tasks.py").write_text("2")
    assert read_suite(folder).commit is None
    git(tmp_path, "checkout", "--", ".")
    assert read_suite(folder).commit == commit
    (folder / "tasks.py").unlink()
    assert read_suite(folder).commit is None


def test_a_repository_that_would_fetch_by_a_command_runs_nothing(tmp_path):
    folder, marker = write(tmp_path / "answers"), tmp_path / "ran"
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Begin"]):
        git(folder, *words)
    (tmp_path / "fetch").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (tmp_path / "fetch").chmod(0o755)
    for name, value in (
        ("remote.origin.url", str(tmp_path / "nowhere")), ("remote.origin.promisor", "true"),
        ("remote.origin.uploadpack", str(tmp_path / "fetch")), ("extensions.partialClone", "origin"),
        ("core.repositoryFormatVersion", "1"),
    ):  # fmt: skip
        git(folder, "config", name, value)
    tree = git(folder, "rev-parse", "HEAD^{tree}")
    (folder / ".git" / "objects" / tree[:2] / tree[2:]).unlink()

    assert read_suite(folder).commit is None
    assert not marker.exists()


def test_ours_come_first_and_others_by_the_name_they_give_themselves(tmp_path):
    write(tmp_path / "answers")
    write(tmp_path / "baseline")
    write(tmp_path / "wrong")

    assert find_suite("baseline", tmp_path).digest == read_suite(BUILT_IN["baseline"]).digest
    assert find_suite("answers", tmp_path).about.harness == "inspect"
    with pytest.raises(VerificationError, match="calls itself answers"):
        find_suite("wrong", tmp_path)
    with pytest.raises(VerificationError, match="there are: baseline"):
        find_suite("other")
    with pytest.raises(VerificationError):
        find_suite("../answers", tmp_path / "answers")
    (tmp_path / "wrong" / "suite.toml").unlink()
    assert "answers" in [str(suite.about.name) for suite in known_suites(tmp_path)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "answers"', 'name = "../up"'),
        ('version = "1.2.0"', 'version = "one"'),
        ('needs = ["served"]', 'needs = ["network"]'),
        ('accuracy = "answers that were right"', ""),
        ('accuracy = "answers that were right"', '"no name" = "x"'),
        ('harness = "inspect"', ""),
        ("[run]", "[ran]"),
        ("[measures]", "[measures"),
    ],
)
def test_near_misses_of_a_description(tmp_path, old, new):
    with pytest.raises(VerificationError):
        read_suite(write(tmp_path, **{"suite.toml": TOML.replace(old, new)}))


def test_a_link_or_a_pipe_is_no_file_of_a_suite(tmp_path):
    write(tmp_path / "a")
    (tmp_path / "a" / "link").symlink_to("/etc/hostname")
    write(tmp_path / "b")
    (tmp_path / "b" / "link").symlink_to("/etc")
    write(tmp_path / "c")
    os.mkfifo(tmp_path / "c" / "pipe")
    write(tmp_path / "d").joinpath("suite.toml").unlink()

    for name in "abcd":
        with pytest.raises(VerificationError):
            read_suite(tmp_path / name)


def test_our_baseline_is_known_by_its_code_and_its_texts():
    suite = find_suite("baseline")

    assert {"suite.toml", "guardrail.json", "outputs.json", "intake_probes.py"} <= suite.files.keys()
    assert suite.about.harness == "lockgate" and len(suite.about.measures) == 10
