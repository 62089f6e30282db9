"""Can another scanner only deny, whatever becomes of it?"""

import json
import sys
import time
from pathlib import Path

import pytest

from lockgate.scanner.folder import scan
from lockgate.scanner.second_opinion import ask, joined


@pytest.fixture
def script(tmp_path: Path):
    def write(body: str) -> str:
        path = tmp_path / "other-scanner"
        path.write_text(f"#!{sys.executable} -I\nimport json, os, sys, time\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return write


def saying(**but) -> str:
    said = {"scanner": "other", "version": "1.2", "files": 3, "findings": [], **but}
    return f"print({json.dumps(said)!r})"


def test_a_scanner_that_finds_nothing_adds_nothing(script, tmp_path):
    opinion = ask(script(saying()), tmp_path, 3)

    assert (opinion.scanner, opinion.version, opinion.findings) == ("other", "1.2", ())


def test_it_is_given_the_folder_and_no_secret(script, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCKGATE_SECRET", "x")
    told = "{'file': sys.argv[1], 'text': ' '.join(sorted(os.environ)) + repr(sys.stdin.read())}"

    opinion = ask(script(f"print(json.dumps(dict(scanner='o', version='1', files=3, findings=[{told}])))"), tmp_path, 3)

    assert opinion.findings[0].file == str(tmp_path.resolve())
    assert "LOCKGATE" not in opinion.findings[0].text and opinion.findings[0].text.endswith("''")


def test_what_it_finds_denies(script, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/a.txt").write_text("text\n")
    found = scan(tmp_path / "model")
    assert not found.findings

    opinion = ask(script(saying(files=1, findings=[{"file": "a.txt", "text": "odd"}])), tmp_path / "model", found.files)

    assert [str(each) for each in joined(found, opinion).findings] == ["a.txt: second-scanner: other: odd"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (saying(files=0), "looked at 0 files, not 3"),
        (saying(files=True), "looked at True files"),
        (saying(files="3"), "looked at '3' files"),
        (saying(files=4), "looked at 4 files, not 3"),
        (saying(scanner="../x"), "a name that is none"),
        (saying(version=""), "a version or findings that are none"),
        (saying(findings=None), "a version or findings that are none"),
        (saying(findings=["a"]), "a finding without a file"),
        (saying(findings=[{"file": "a"}]), "a finding without a file"),
        (saying(more=1), "no object of scanner"),
        (saying() + "\n" + saying(), "not JSON"),
        (saying() + "\nsys.exit(1)", "ended with 1"),
        ("os.kill(os.getpid(), 11)", "ended with -11"),
        ("", "not JSON"),
        ("print('all is well')", "not JSON"),
        ("print('[]')", "no object of scanner"),
        ("sys.stdout.buffer.write(b'\\xff\\xfe')", "not UTF-8"),
        ("print('[' * 100000)", "JSON"),
        ("x = b'x' * 65536\nwhile True: sys.stdout.buffer.write(x)", "printed more than"),
    ],
)
def test_what_is_not_a_true_answer_denies(script, tmp_path, body, why):
    opinion = ask(script(body), tmp_path, 3)

    assert len(opinion.findings) == 1
    assert why in opinion.findings[0].text


def test_a_scanner_that_closes_its_output_and_hangs_denies(script, tmp_path):
    opinion = ask(script("os.close(1)\ntime.sleep(600)"), tmp_path, 3, seconds=0.2)

    assert "did not end" in opinion.findings[0].text


def test_a_scanner_that_hangs_is_ended_with_its_children(script, tmp_path):
    body = f"child = os.fork() or os.getpid()\nopen({str(tmp_path)!r} + f'/{{child}}.pid', 'w')\ntime.sleep(600)"
    seconds = 0.1
    while len(begun := list(tmp_path.glob("*.pid"))) < 2:
        opinion = ask(script(body), tmp_path, 3, seconds=seconds)
        seconds *= 2

    assert "did not end in time" in opinion.findings[0].text
    for pid in begun:
        while (stat := Path("/proc", pid.stem, "stat")).exists() and stat.read_text().rpartition(")")[2].split()[
            0
        ] != "Z":
            time.sleep(0.05)


@pytest.mark.parametrize("command", ["", "/nowhere/scanner", "/", "'"])
def test_a_command_that_cannot_be_started_denies(tmp_path, command):
    assert ask(command, tmp_path, 3).findings
