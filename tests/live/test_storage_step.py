"""Do only verified bytes get into the folder from which a cluster serves?"""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

import tests.world
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.loader.hand_over import lay_out
from lockgate.loader.opening import connect
from lockgate.loader.source import DirectorySource
from lockgate.loader.storage_step import Stored, store_release
from tests.live.company import Company, serving
from tests.world import PROD, file_digest


@pytest.fixture
def company(tmp_path, monkeypatch):
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    return Company(tmp_path)


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def store(company, url, release, into):
    host = company.host(url)
    return store_release(host, Stored(PROD, release), connect(host), into)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_files_of_the_release_are_there_when_all_were_verified(company, into):
    release = company.world.serve()
    with serving(company.world) as url:
        store(company, url, release.digest, into)

    assert content(into) == {"weights/model.onnx": b"weights 1.0.0", "config/config.json": b"{}"}
    assert not [path for path in into.rglob("*") if path.is_file() and path.stat().st_mode & 0o222]


def test_another_release_than_the_one_that_serves_is_refused(company, into):
    first = company.world.serve()
    company.world.serve("1.1.0")

    with serving(company.world) as url, pytest.raises(DeniedError, match=r"magika@1\.1\.0 serves at prod/magika"):
        store(company, url, first.digest, into)
    assert content(into) == {}


@pytest.mark.parametrize("stop", ["shut_down", "revoke"])
def test_what_was_stopped_is_not_loaded(company, into, stop):
    release = company.world.serve()
    company.world.shut_down() if stop == "shut_down" else company.world.revoke("magika@1.0.0")

    with serving(company.world) as url, pytest.raises((DeniedError, VerificationError)):
        store(company, url, release.digest, into)
    assert content(into) == {}


def test_a_folder_in_which_something_lies_is_refused(company, into):
    release = company.world.serve()
    (into / "sitecustomize.py").write_text("print('mine')")

    with serving(company.world) as url, pytest.raises(VerificationError, match="is not empty"):
        store(company, url, release.digest, into)


def test_one_wrong_byte_leaves_nothing(tmp_path, into):
    source = tmp_path / "source"
    (source / "weights").mkdir(parents=True)
    (source / "weights" / "a").write_bytes(b"good")
    (source / "weights" / "b").write_bytes(b"bad!")
    files = {"weights": [file_digest("a", b"good"), file_digest("b", b"good")]}

    with pytest.raises(VerificationError, match="weights/b"):
        lay_out(files, DirectorySource(source), into, lambda _: None)
    assert [*into.iterdir()] == []
    with pytest.raises(UnavailableError):
        lay_out(files, DirectorySource(source), into / "nowhere", lambda _: None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "lockgate://prod/magika", "s3://bucket/model", f"lockgate://prod/{Digest.of(b'')}"),
        *(f"lockgate://prod/magika/../x/{Digest.of(b'')}", f"lockgate://PROD/magika/{Digest.of(b'')}"),
        f"lockgate://prod/magika/{Digest.of(b'')}\n",
    ],
)
def test_what_names_no_release_is_refused(text):
    with pytest.raises(VerificationError):
        Stored.parse(text)


def test_a_release_reads_back_as_it_was_written():
    assert Stored.parse(str(Stored(PROD, Digest.of(b"")))) == Stored(PROD, Digest.of(b""))


def test_a_cluster_calls_it_as_a_command(company, into):
    release = company.world.serve()
    with serving(company.world) as url:
        command = [sys.executable, "-m", "lockgate", "load", "--home", str(company.home(url))]
        command += [str(Stored(PROD, release.digest)), str(into), "--json"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["components"] == ["config", "weights"] and len(content(into)) == 2
