"""Does a hosted model go through the command line as the how-to says? Sign, create, show, diff, export, import."""

import json
import os
import subprocess
import sys

import pytest

from tests.core.test_provider import OPEN, WHY, written
from tests.live.company import serving
from tests.world import World, key

RELEASE = """
name = "chat"
version = "{version}"
license = "Apache-2.0"
authors = ["alice"]

[components.gpt]
kind = "provider-model"
path = "gpt"
signature = "gpt.sig"

[contract]
inputs = ["text"]

[serve]
command = ["{{python}}", "-c", "print()"]
"""


class Desk:
    """Alice at her desk, with a server."""

    def __init__(self, folder, url):
        self.folder, self.url = folder, url
        for name in ("alice", "components"):
            (folder / f"{name}.pem").write_bytes(key(name).pem)

    def say(self, *words, speaks=True):
        who = ("--server", self.url, "--as", "alice", "--key", "alice.pem") if speaks else ()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE_")}
        return subprocess.run(
            [sys.executable, "-m", "lockgate", *words, *who],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def describe(self, version, document, extra=None):
        folder = self.folder / "gpt"
        folder.mkdir(exist_ok=True)
        (folder / "provider.json").write_bytes(document)
        if extra:
            (folder / extra).write_bytes(b"weights")
        (self.folder / "release.toml").write_text(RELEASE.format(version=version))
        assert not self.say("sign", "gpt", "--key", "components.pem", "--signature", "gpt.sig", speaks=False).returncode

    def create(self, version, document, extra=None):
        self.describe(version, document, extra)
        return self.say("release", "create", "release.toml", "--manifest-key", "components.pem")


@pytest.fixture
def desk(tmp_path):
    with serving(World("dev")) as url:
        yield Desk(tmp_path, url)


def test_a_hosted_model_is_registered_shown_compared_and_carried_over(desk):
    assert desk.create("1.0.0", written(OPEN)).returncode == 0

    shown = desk.say("release", "show", "chat@1.0.0")
    assert shown.stdout.splitlines()[-1] == f"provider-model gpt: the provider gives no version pin: {WHY}"

    patch = desk.create("1.0.1", written())
    assert patch.returncode == 3
    assert "MINOR is owed" in patch.stderr
    assert desk.create("1.1.0", written(region="us-east-1")).returncode == 0
    found = json.loads(desk.say("release", "diff", "chat@1.0.0", "chat@1.1.0", "--json").stdout)
    assert found["because"] == [
        "component gpt (provider-model) changed",
        "provider-model gpt: version changes from unpinned to '2026-08-07'",
        "provider-model gpt: region changes from 'eu-west-1' to 'us-east-1'",
    ]

    assert desk.say("release", "export", "chat@1.0.0", "--output", "chat.bundle").returncode == 0
    with serving(World()) as url:
        desk.url = url
        assert desk.say("release", "import", "chat.bundle").returncode == 0
        assert desk.say("release", "show", "chat@1.0.0").stdout.splitlines()[-1].endswith(WHY)


@pytest.mark.parametrize(
    ("document", "extra", "complaint"),
    [
        (written(version=None), None, "neither pinned"),
        (written(version="latest"), None, "is no pin"),
        (b"{}", None, "wanted type"),
        (written(), "weights.bin", "is one file, provider.json, and nothing else"),
    ],
)
def test_what_is_no_provider_model_is_refused_before_or_by_the_server(desk, document, extra, complaint):
    done = desk.create("1.0.0", document, extra)

    assert done.returncode == 4
    assert complaint in done.stderr


def test_a_directory_without_the_file_is_named(desk):
    desk.describe("1.0.0", written())
    (desk.folder / "gpt" / "provider.json").rename(desk.folder / "gpt" / "other.json")

    done = desk.say("release", "create", "release.toml", "--manifest-key", "components.pem")

    assert done.returncode == 4
    assert "gpt/provider.json: a provider model is this one file" in done.stderr
