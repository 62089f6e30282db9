"""Who plays in the story, and by which rules? A small company with two environments.

alice writes; bob and carol approve; dave operates, audits and watches over security; guard is a program that raises
alerts. The CI signs components and test results with keys of its own. Two of three offline root keys sign the trust and
the policy of each environment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from lockgate.cli.demo.stage import Site, Stage, free_port, lockgate_command
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey

PEOPLE = {
    "alice": ["author", "approver"],
    "bob": ["approver"],
    "carol": ["approver"],
    "dave": ["operator", "security-authority", "auditor", "admin"],
    "ci": ["ci"],
    "guard": ["detector"],
}
HOSTS = ("host-1", "host-2")
SUITE = "file-types"
ACCURACY = "0.9"
LEASE_SECONDS = 6
KINDS = ["weights", "config", "dependency-lock"]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose story it is: the kinds of its components, and the suite that it must pass."""

    name: str
    kinds: Sequence[str]
    suite: str
    accuracy: str

    @property
    def content(self) -> Digest:
        """What stands for the content of the suite, which is code of Lockgate and no directory: its version."""
        return Digest.of(f"{self.suite} of Lockgate {version('lockgate')}".encode())

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """What a policy demands of the suite."""
        metrics, content = {"accuracy": self.accuracy}, [str(self.content)]
        return {"suite": self.suite, "metrics": metrics, "max_age_days": 30, "digests": content}


MAGIKA = Subject("magika", KINDS, SUITE, ACCURACY)
FILE_TYPES = MAGIKA.evaluation
BASELINE = {
    "suite": "baseline",
    "metrics": {"scan": "1", "fit": "1", "input-contract": "1"},
    "max_age_days": 30,
    "isolation": ["namespaces", "seccomp", "landlock", "limits"],
    "served": True,
}
EVIDENCE: Mapping[str, Any] = {"evaluations": [FILE_TYPES, BASELINE], "scans": {"max_age_days": 30}}
_RESULTS = ["https://slsa.dev/provenance/v1", "https://in-toto.io/attestation/test-result/v0.1"]


def make_keys(stage: Stage) -> None:
    """Give everybody a key of their own; the CI signs components with ECDSA P-256, as stock OMS tools do."""
    (stage.folder / "keys").mkdir(mode=0o700, exist_ok=True)
    names = [*PEOPLE, *HOSTS, "ci-results", "root1", "root2", "root3", "mallory"]
    stage.lockgate("key", "create", *(stage.key(name) for name in names))
    stage.lockgate("key", "create", stage.key("ci-components"), "--algorithm", "p256")


def start_site(
    stage: Stage, environment: str, exporter: dict[str, str] | None, subject: Subject = MAGIKA, **demands: object
) -> tuple[Site, dict[str, str]]:
    """Found an installation and start it; return it with the public keys of its server."""
    site, keys = found_site(stage, environment, exporter, subject, **demands)
    serve_site(stage, site)
    return site, keys


def found_site(
    stage: Stage,
    environment: str,
    exporter: dict[str, str] | None = None,
    subject: Subject = MAGIKA,
    **demands: object,
) -> tuple[Site, dict[str, str]]:
    """Found an installation, whose policy may demand more than usual; return it with the public keys of its server."""
    site = Site(environment, stage.folder / environment, f"http://127.0.0.1:{free_port()}")
    keys: dict[str, str] = stage.lockgate("init", "--environment", environment, site=site)["keys"]
    trust = _trust(stage, environment, keys, exporter, subject)
    _hold_ceremony(stage, site, trust, _policy(environment, subject, demands))
    return site, keys


def serve_site(stage: Stage, site: Site) -> None:
    """Start the server of an installation, and wait until it is ready."""
    settings = {"LOCKGATE_HOME": str(site.home), "LOCKGATE_LISTEN": site.url.removeprefix("http://")}
    stage.start([*lockgate_command(), "up"], site.environment, settings)
    stage.until(f"{site.environment} is ready", lambda: stage.ask(f"{site.url}/readyz").get("status") == "ready")


def make_host(stage: Stage, name: str, site: Site, url: str | None = None, home: Path | None = None) -> Path:
    """Install a serving host: its own key and the root it pins. What is in force it learns from the site."""
    home = home or stage.folder / name
    (home / "keys").mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "keys" / "node.pem").write_bytes(stage.key(name).read_bytes())
    (home / "host.toml").write_text(f'node = "{name}"\nserver = "{url or site.url}"\nupdates = "{site.url}/tuf"\n')
    (home / "root.json").write_bytes(
        plain.encode({"threshold": 2, "keys": [_public(stage, f"root{n}") for n in (1, 2, 3)]})
    )
    return home


def _trust(
    stage: Stage, environment: str, keys: dict[str, str], exporter: dict[str, str] | None, subject: Subject
) -> dict[str, Any]:
    actors = [{"name": name, "roles": roles, "keys": [_public(stage, name)]} for name, roles in PEOPLE.items()]
    actors += [{"name": name, "roles": ["agent"], "keys": [_public(stage, name)]} for name in HOSTS]
    signers = [
        _signer("ci-components", "component", [*subject.kinds, "release"], _public(stage, "ci-components")),
        _signer("ci-results", "result", _RESULTS, _public(stage, "ci-results")),
        *(_signer(f"server-{name}", name, [], keys[name]) for name in ("vsa", "lease", "checkpoint")),
        _signer("server-updates", "updates", [], keys["tuf-online"]),
    ]
    if exporter:
        signers.append(_signer("dev-export", "export", ["dev"], exporter["export"]))
    return {
        "environment": environment,
        "version": 1,
        "expires": _in_a_year(),
        "origin": f"lockgate.invalid/{environment}/changes",
        "root": {"threshold": 2, "keys": [_public(stage, f"root{number}") for number in (1, 2, 3)]},
        "actors": actors,
        "signers": signers,
    }


def _policy(environment: str, subject: Subject, demands: dict[str, object]) -> dict[str, Any]:
    rules = {
        "components": list(subject.kinds),
        "provenance": True,
        "evaluations": [subject.evaluation],
        "approvals": {"count": 2, "role": "approver"},
        "lease": {"seconds": LEASE_SECONDS, "on_silence": "stop"},
        "rollback_seconds": 60,
        "hand_over": "sealed",
        **demands,
    }
    return {
        "environment": environment,
        "version": 1,
        "expires": _in_a_year(),
        "endpoints": {f"{environment}/{subject.name}": rules},
        "rule_changes": {"count": 2, "role": "approver"},
    }


def _hold_ceremony(stage: Stage, site: Site, trust: dict[str, Any], policy: dict[str, Any]) -> None:
    """Have two holders of root keys sign the first rules, one after the other, as they would."""
    written = []
    for kind, document in (("trust", trust), ("policy", policy)):
        written.append(site.home / f"{kind}.yaml")
        written[-1].write_text(yaml.safe_dump(document, sort_keys=False))
    folder = site.home / "ceremony"
    stage.lockgate("trust", "propose", written[0], folder, "--policy", written[1])
    for holder in ("root1", "root2"):
        stage.lockgate("trust", "sign", folder, "--key", stage.key(holder))


def _signer(name: str, purpose: str, scope: list[str], key: str) -> dict[str, Any]:
    return {"name": name, "purpose": purpose, "scope": scope, "key": key}


def _public(stage: Stage, name: str) -> str:
    return str(PublicKey.from_pem(stage.key(name).with_name(f"{name}.pem.pub").read_bytes()))


def _in_a_year() -> str:
    written = plain.to_plain(datetime.now(UTC) + timedelta(days=365))
    assert isinstance(written, str)
    return written
