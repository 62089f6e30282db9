"""An installation that others can reach: `lockgate up` over mutual TLS, with nothing but what the how-to says."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from tests.live.test_server import found_installation, free_port
from tests.world import key


class Place:
    """A machine with a server, and a person beside it with a certificate of her own."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.home = folder / "home"
        found_installation(self.home)
        (folder / "ann.pem").write_bytes(key("ann").pem)
        self.clean = {name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE_")}

    def say(self, *words, **environ):
        command = [sys.executable, "-m", "lockgate", *words]
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.clean, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def certificate(self, name, host, folder=""):
        where = f"{folder}{name}"
        for words in (
            ("key", "create", f"{where}.key", "--algorithm", "p256"),
            ("key", "certificate", "--key", f"{where}.key", "--name", host, "--output", f"{where}.pem"),
        ):
            assert self.say(*words).returncode == 0

    def up(self, **settings):
        with (self.home / "lockgate.toml").open("a") as file:
            file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        command = [sys.executable, "-m", "lockgate", "up", "--home", str(self.home)]
        return subprocess.Popen(command, cwd=self.folder, env=self.clean, stderr=subprocess.PIPE, text=True)

    def ann(self, *more):
        words = (
            "trust",
            "show",
            "--json",
            "--as",
            "ann",
            "--key",
            "ann.pem",
            "--server",
            f"https://localhost:{self.port}",
        )
        return self.say(*words, *more)


@pytest.mark.slow
def test_an_installation_on_all_addresses_over_mutual_tls(tmp_path):
    place = Place(tmp_path)
    place.certificate("server", "localhost", "home/keys/")
    place.certificate("ann-tls", "ann")
    shows = ("--tls-certificate", "ann-tls.pem", "--tls-key", "ann-tls.key")
    believes = ("--tls-ca", "home/keys/server.pem")
    server = place.up(
        listen=f"0.0.0.0:{place.port}",
        tls_certificate="keys/server.pem",
        tls_key="keys/server.key",
        tls_clients=str(tmp_path / "ann-tls.pem"),
    )
    try:
        for _ in range(300):
            done = place.ann(*shows, *believes)
            if done.returncode != 6 or server.poll() is not None:
                break
            time.sleep(0.2)
        assert done.returncode == 0, done.stdout + done.stderr + (server.stderr.read() if server.poll() else "")
        assert json.loads(done.stdout)["trust"]["environment"] == "prod"

        nobody = place.ann(*believes)
        unpinned = place.ann(*shows)
        stranger = place.ann(
            "--tls-certificate", "home/keys/server.pem", "--tls-key", "home/keys/server.key", *believes
        )
    finally:
        server.terminate()
        server.wait(60)
        server.stderr.close()

    assert (nobody.returncode, unpinned.returncode, stranger.returncode) == (6, 6, 6)
    assert "if it asks for certificates, it did not believe ours" in json.loads(nobody.stdout)["reasons"][0]
    assert "certificate is not believed: self-signed" in json.loads(unpinned.stdout)["reasons"][0]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"listen": "0.0.0.0:8420"}, "no loopback address, and there is no TLS"),
        ({"listen": "0.0.0.0:8420", "tls_certificate": "keys/vsa.pem"}, "go together"),
        ({"tls_key": "keys/vsa.pem"}, "go together"),
        ({"tls_clients": "keys/vsa.pem"}, "needs a certificate"),
        ({"tls_certificate": "keys/nowhere.pem", "tls_key": "keys/vsa.pem"}, "cannot read .*nowhere.pem"),
        ({"tls_certificate": "keys/vsa.pem", "tls_key": "keys/vsa.pem"}, "fits its key"),
        ({"tls_certificate": 5, "tls_key": "keys/vsa.pem"}, "not text"),
    ],
)
def test_a_server_that_could_be_overheard_does_not_start(tmp_path, settings, complaint):
    place = Place(tmp_path)
    server = place.up(**settings)
    _, told = server.communicate(timeout=60)

    assert server.returncode in (4, 6)
    assert re.search(complaint, told), told
    assert not (place.home / "postgres").exists()


def test_plain_http_to_another_machine_is_refused_before_anything_is_sent(tmp_path):
    done = Place(tmp_path).say(
        "trust", "show", "--as", "ann", "--key", "ann.pem", "--server", "http://gate.example:8420"
    )

    assert done.returncode == 4
    assert "speak to it over https://" in done.stderr


def test_half_a_pair_is_an_error_of_usage(tmp_path):
    done = Place(tmp_path).ann("--tls-key", "ann.pem")

    assert done.returncode == 2
    assert "go together" in done.stdout
