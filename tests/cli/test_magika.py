import hashlib
import json
import subprocess
import sys
import zipfile
from importlib.metadata import version as version_of
from pathlib import Path

import pytest

from lockgate.cli.demo import magika, wheels
from lockgate.cli.demo.magika_server import Habits, read_habits
from lockgate.errors import UnavailableError, VerificationError

LABELS = ["elf", "markdown", "odex", "randomtxt", "sql"]


def generation_of(path, wheel, model, members):
    """Write a small wheel of the published shape, pinned by its own hash."""
    generation = magika.Generation(wheel=wheel, sha256="", model=model, smallest=9, config=tuple(members))
    with zipfile.ZipFile(path / generation.filename, "w") as archive:
        archive.writestr(f"magika/models/{model}/model.onnx", f"weights of {model}")
        archive.writestr("magika/__init__.py", "raise SystemExit('never run')")
        for name, document in members.items():
            archive.writestr(name, json.dumps(document))
    digest = hashlib.sha256((path / generation.filename).read_bytes()).hexdigest()
    return magika.Generation(wheel=wheel, sha256=digest, model=model, smallest=9, config=tuple(members))


@pytest.fixture
def published(tmp_path):
    main = {
        "beg_size": 1024,
        "mid_size": 0,
        "end_size": 1024,
        "target_labels_space": LABELS,
        "thresholds": {"markdown": 0.75, "sql": 0.9},
        "overwrite_map": {"randomtxt": "txt", "odex": "elf"},
    }
    index = tmp_path / "index"
    index.mkdir()
    made = generation_of(index, "7.0.0", "standard_v7", {"magika/models/standard_v7/config.min.json": main})
    return made, index / made.filename


@pytest.fixture
def pip(tmp_path, published, monkeypatch):
    """Name a pip that copies from `published`; its exit code and its last words can be set."""

    def behave(*, copies=True, says="", code=0):
        program = tmp_path / "pip"
        copy = f'cp {published[1]} "$place"' if copies else ":"
        find = 'while [ "$1" != --dest ]; do shift; done; place=$2; shift 2'
        program.write_text(
            f"#!/bin/sh\necho call >> {tmp_path}/calls\n{find}\n{copy}\necho '{says}' >&2\nexit {code}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("LOCKGATE_PIP", str(program))

    behave()
    return behave


def built(tmp_path, published):
    wheels = magika.fetch(tmp_path / "cache", [published[0]])
    changed = magika.Release("1.0.1", published[0], thresholds={"markdown": 0.6})
    magika.build(wheels, tmp_path / "built", [magika.Release("1.0.0", published[0]), changed])


def calls(tmp_path):
    return (tmp_path / "calls").read_text().count("call") if (tmp_path / "calls").exists() else 0


def test_what_is_in_the_cache_is_not_fetched_again(tmp_path, pip, published):
    first = magika.fetch(tmp_path / "cache", [published[0]])
    again = magika.fetch(tmp_path / "cache", [published[0]])

    assert first == again == {"7.0.0": tmp_path / "cache" / "magika-7.0.0-py3-none-any.whl"}
    assert calls(tmp_path) == 1
    assert [each.name for each in (tmp_path / "cache").iterdir()] == ["magika-7.0.0-py3-none-any.whl"]


def test_a_wheel_altered_in_the_cache_is_fetched_again(tmp_path, pip, published):
    kept = magika.fetch(tmp_path / "cache", [published[0]])["7.0.0"]
    good = kept.read_bytes()
    kept.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))

    assert magika.fetch(tmp_path / "cache", [published[0]])["7.0.0"].read_bytes() == good
    assert calls(tmp_path) == 2


def test_a_wheel_with_another_hash_is_refused_even_if_pip_let_it_through(tmp_path, pip, published):
    with published[1].open("ab") as wheel:
        wheel.write(b"\0")

    with pytest.raises(VerificationError, match="has sha256"):
        magika.fetch(tmp_path / "cache", [published[0]])
    assert not list((tmp_path / "cache").iterdir())


def test_a_hash_that_pip_refuses_is_a_failed_verification(tmp_path, pip, published):
    pip(copies=False, says="ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", code=1)

    with pytest.raises(VerificationError, match="another hash than the pinned one"):
        magika.fetch(tmp_path / "cache", [published[0]])


def test_without_a_network_it_says_what_to_do(tmp_path, pip, published):
    pip(copies=False, says="ERROR: No matching distribution found for magika==7.0.0", code=1)

    with pytest.raises(UnavailableError, match=r"No matching distribution.*put magika-7.0.0-py3-none-any.whl into "):
        magika.fetch(tmp_path / "cache", [published[0]])


def test_a_pip_that_brings_nothing_is_no_success(tmp_path, pip, published):
    pip(copies=False)

    with pytest.raises(UnavailableError, match="pip brought no magika"):
        magika.fetch(tmp_path / "cache", [published[0]])


def test_a_pip_that_does_not_exist_is_named(tmp_path, pip, published, monkeypatch):
    monkeypatch.setenv("LOCKGATE_PIP", str(tmp_path / "nowhere"))

    with pytest.raises(UnavailableError, match="nowhere"):
        magika.fetch(tmp_path / "cache", [published[0]])


@pytest.mark.slow
def test_a_pip_is_found_even_where_there_is_none(monkeypatch):
    monkeypatch.delenv("LOCKGATE_PIP", raising=False)

    with wheels._pip() as command:
        wheels._run([*command, "--version"], "")
    assert command[0] == sys.executable or not Path(command[0]).exists()


def test_a_release_is_the_published_files_byte_for_byte(tmp_path, pip, published):
    built(tmp_path, published)

    release = tmp_path / "built" / "1.0.0"
    with zipfile.ZipFile(published[1]) as wheel:
        config = wheel.read("magika/models/standard_v7/config.min.json")
    assert (release / "config" / "config.min.json").read_bytes() == config
    assert (release / "weights" / "model.onnx").read_bytes() == b"weights of standard_v7"
    assert {str(each.relative_to(release)) for each in release.rglob("*") if each.is_file()} == {
        "config/config.min.json",
        "config/intake.json",
        "config/model.json",
        "dependency-lock/requirements.txt",
        "weights/model.onnx",
    }


def test_a_patch_changes_one_threshold_in_one_file(tmp_path, pip, published):
    built(tmp_path, published)

    old, new = (tmp_path / "built" / version for version in ("1.0.0", "1.0.1"))
    files = [each.relative_to(old) for each in old.rglob("*") if each.is_file()]
    assert [str(each) for each in files if (old / each).read_bytes() != (new / each).read_bytes()] == [
        "config/config.min.json"
    ]
    before, after = (json.loads((each / "config" / "config.min.json").read_bytes()) for each in (old, new))
    assert after.pop("thresholds") == {"markdown": 0.6, "sql": 0.9}
    assert before.pop("thresholds") == {"markdown": 0.75, "sql": 0.9}
    assert before == after


def test_nothing_is_built_over_what_is_there(tmp_path, pip, published):
    built(tmp_path, published)

    with pytest.raises(FileExistsError):
        built(tmp_path, published)


def test_the_lock_names_what_is_installed_and_what_that_needs(tmp_path, pip, published):
    built(tmp_path, published)

    lines = (tmp_path / "built" / "1.0.0" / "dependency-lock" / "requirements.txt").read_text().splitlines()
    assert lines == sorted(lines)
    assert {line.partition("==")[0] for line in lines} >= {"flatbuffers", "numpy", "onnxruntime", "protobuf"}
    assert all(version_of(name) == version for name, _, version in map(split, lines))


def test_the_lock_leaves_out_what_only_an_extra_or_another_platform_wants(tmp_path, monkeypatch):
    wanted = {
        "alpha-one": ["Beta.two>=1", 'gamma; extra == "all"', 'delta; sys_platform == "win32"'],
        "beta-two": ["alpha_one"],
        "gamma": [],
    }
    for name, needs in wanted.items():
        place = tmp_path / f"{name.replace('-', '_')}-1.5.dist-info"
        place.mkdir()
        lines = [f"Name: {name}", "Version: 1.5", *(f"Requires-Dist: {need}" for need in needs)]
        (place / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert wheels.locked(["Alpha_One"]) == ["alpha-one==1.5", "beta-two==1.5"]


def split(line):
    return line.partition("==")


def test_a_contract_holds_every_answer_and_no_label_that_is_always_renamed(tmp_path, pip, published):
    built(tmp_path, published)

    assert magika.contract(tmp_path / "built" / "1.0.0") == {
        "inputs": ["bytes:int32[2048]"],
        "outputs": ["target_label:float32"],
        "labels": ["elf", "empty", "markdown", "sql", "txt", "unknown"],
        "tools": [],
    }


def test_the_cache_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("LOCKGATE_CACHE", str(tmp_path))
    assert wheels.default_cache() == tmp_path

    monkeypatch.delenv("LOCKGATE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert wheels.default_cache() == tmp_path / "xdg" / "lockgate"


def test_the_model_server_needs_nothing_else_of_this_package():
    script = "import sys, lockgate.cli.demo.magika_server; print(*sorted(m for m in sys.modules if 'lockgate' in m))"

    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()

    assert loaded == ["lockgate", "lockgate.cli", "lockgate.cli.demo", "lockgate.cli.demo.magika_server"]


def test_how_a_release_wants_its_requests_served_is_a_file_of_its_config(published, tmp_path, pip):
    generation = published[0]
    releases = [magika.Release("2.0.0", generation, serving={"at_once": 1}), magika.Release("2.0.1", generation)]
    magika.build(magika.fetch(tmp_path / "cache", [generation]), tmp_path / "built", releases)

    tuned, usual = (tmp_path / "built" / each.version / "config" for each in releases)
    assert read_habits(tuned) == Habits(at_once=1) and not (usual / "serving.json").exists()
    assert read_habits(usual) == Habits()
