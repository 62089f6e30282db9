"""What does `lockgate scan` say, and how does it end?"""

import json
import sys

import pytest
from click.testing import CliRunner

from lockgate.cli.scanning import scan
from lockgate.errors import DeniedError
from tests.scanner.case import tensors


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(tensors())
    (folder / "config.json").write_text("{}")
    return folder


def run(*words):
    return CliRunner().invoke(scan, [str(word) for word in words], standalone_mode=False)


def test_a_clean_directory_is_a_table_of_formats(model):
    done = run(model)

    assert done.return_value == 0
    assert [line.split() for line in done.stdout.splitlines()[:3]] == [
        ["format", "files", "refused"],
        ["json", "1", "0"],
        ["safetensors", "1", "0"],
    ]
    assert "scanned 2 files by the rules sha256:" in done.stdout


def test_every_finding_is_a_reason(model):
    (model / "a.py").write_text("import os\n")
    (model / "b.json").write_text("{")

    done = run(model)

    assert isinstance(done.exception, DeniedError)
    assert [reason.split(":")[0] for reason in done.exception.reasons] == ["a.py", "a.py", "b.json"]


def test_as_json_it_is_one_object_and_the_same_end(model):
    (model / "b.json").write_text("{")

    done = run(model, "--json")

    assert done.return_value == 3
    found = json.loads(done.stdout)
    assert found["findings"][0]["rule"] == "json" and found["files"] == 3 and found["rules"].startswith("sha256:")


def test_what_is_allowed_is_said(model):
    (model / "a.py").write_text("import os\n")

    assert "excused, if a policy accepts it: python" in run(model, "--allow", "python").stdout
    assert run(model, "--allow", "everything").exception is not None


def test_another_scanner_can_deny(model, tmp_path):
    other = tmp_path / "other"
    said = {"scanner": "other", "version": "1", "files": 2, "findings": [{"file": "config.json", "text": "odd"}]}
    other.write_text(f"#!{sys.executable} -I\nprint({json.dumps(said)!r})\n")
    other.chmod(0o755)

    assert str(run(model, "--also", other).exception) == "config.json: second-scanner: other: odd"
    assert "cannot be started" in str(run(model, "--also", "/nowhere/scanner").exception)


def test_help_teaches_every_class():
    shown = CliRunner().invoke(scan, ["--help"]).stdout

    assert "remote-base" in shown and "Names decide nothing" in shown
