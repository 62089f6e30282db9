"""Is everything looked at, and is what cannot be looked at a finding?"""

import json
import os
from pathlib import Path

import pytest

from lockgate.errors import DeniedError, UnavailableError
from lockgate.formats.digest import Digest
from lockgate.scanner.folder import scan
from lockgate.scanner.scanned import Scan, check_clean


@pytest.fixture
def model(tmp_path: Path) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    (tmp_path / "config.json").write_text('{"hidden_size": 4}')
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/README.md").write_text("# A model\n")
    return tmp_path


def rules(scan: Scan) -> set[tuple[str, str]]:
    return {(found.file, found.rule) for found in scan.findings}


def test_a_folder_of_tensors_and_text_passes(model):
    found = scan(model)

    check_clean(found)
    assert (found.files, found.clean, found.excused) == (3, 3, ())
    assert found.formats == {"config.json": "json", "docs/README.md": "text", "model.safetensors": "safetensors"}


def test_an_empty_folder_is_denied(tmp_path):
    with pytest.raises(DeniedError, match="no file to scan"):
        check_clean(scan(tmp_path))


def test_a_folder_that_is_not_there_is_unavailable(tmp_path):
    with pytest.raises(UnavailableError):
        scan(tmp_path / "nowhere")


def test_every_finding_is_a_reason(model):
    (model / "a.py").write_text("import os\n")
    (model / "b.bin").write_bytes(os.urandom(64))

    with pytest.raises(DeniedError) as denied:
        check_clean(scan(model))

    assert len(denied.value.reasons) == 3


def test_an_exception_is_used_and_reported(model):
    (model / "modeling.py").write_text("import os\n")

    found = scan(model, exceptions=frozenset({"python", "pickle"}))

    check_clean(found)
    assert found.excused == ("python",)


def test_an_unknown_exception_is_refused(model):
    with pytest.raises(DeniedError, match="no exception class 'everything'"):
        scan(model, exceptions=frozenset({"everything"}))


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda path: path.symlink_to("config.json"), "symlink"),
        (lambda path: path.symlink_to("/etc/passwd"), "symlink"),
        (lambda path: path.symlink_to("."), "symlink"),
        (os.mkfifo, "special-file"),
    ],
)
def test_what_is_no_plain_file_is_refused(model, make, rule):
    make(model / "odd")

    found = scan(model)

    assert rules(found) == {("odd", rule)}
    assert found.files == 4


def test_only_a_link_that_stays_inside_is_excused(model):
    (model / "inside").symlink_to("docs/README.md")
    (model / "docs/up").symlink_to("../../elsewhere")

    found = scan(model, exceptions=frozenset({"symlink"}))

    assert rules(found) == {("docs/up", "symlink")}


def test_what_cannot_be_read_is_a_finding(model):
    deep = model
    for _ in range(70):
        deep /= "d"
    deep.mkdir(parents=True)

    assert {rule for _, rule in rules(scan(model))} == {"not-scanned"}


def test_signed_files_are_compared(model):
    members = {name: Digest.of((model / name).read_bytes()) for name in scan(model).formats}
    check_clean(scan(model, members=members))

    (model / "config.json").write_text('{"hidden_size": 5}')
    (model / "more.txt").write_text("more\n")
    (model / "docs/README.md").unlink()

    wanted = {("config.json", "digest"), ("more.txt", "unsigned"), ("docs/README.md", "missing")}
    assert rules(scan(model, members=members)) == wanted


def test_a_link_is_no_signed_file(model):
    members = {name: Digest.of((model / name).read_bytes()) for name in scan(model).formats}
    (model / "config.json").unlink()
    (model / "config.json").symlink_to("docs/README.md")

    found = scan(model, members=members, exceptions=frozenset({"symlink"}))

    assert rules(found) == {("config.json", "unsigned")}


def test_progress_counts_every_byte(model):
    told: list[int] = []

    found = scan(model, progress=told.append)

    assert sum(told) == found.bytes == sum(path.stat().st_size for path in model.rglob("*") if path.is_file())


def test_the_digest_of_the_rules_is_the_same_every_time(model):
    assert scan(model).rules == scan(model).rules
