"""Which attacks are tried in the chapter `gate`? Each is refused with its reason, while what was serving goes on."""

import shutil
import time
from pathlib import Path

from lockgate.cli.demo.company import HOSTS, KINDS, SUITE, make_host
from lockgate.cli.demo.rogue import forge, rogue_server
from lockgate.cli.demo.stage import promise
from lockgate.cli.demo.story import ENDPOINT, Story
from lockgate.core.passport import parse_passport
from lockgate.core.policy import open_policy
from lockgate.core.trust import Root, open_trust
from lockgate.formats import plain
from lockgate.formats.names import Endpoint

SERVES = "1.0.0"


def play_attacks(story: Story) -> None:
    """Try everything, one after another."""
    second = make_host(story.stage, HOSTS[1], story.prod)
    _tamper(story, second)
    _unsigned(story)
    _evidence(story)
    _expired(story)
    _forged(story)


def _tamper(story: Story, host: Path) -> None:
    stage = story.stage
    with stage.step("tampered-weights-refused", "one flipped byte in the weights on the host's disk") as told:
        copy = _copied(story, "tampered")
        weights = copy / "weights" / "model.onnx"
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
        told.detail = f"{_run_refused(story, host, copy, 4)}; {story.still_serves(SERVES)}"
    with stage.step("extra-file-refused", "a file beside the weights that nobody signed") as told:
        copy = _copied(story, "extra")
        (copy / "weights" / "payload.py").write_text("print('hello')\n")
        told.detail = f"{_run_refused(story, host, copy, 4)}; {story.still_serves(SERVES)}"


def _unsigned(story: Story) -> None:
    stage = story.stage
    with stage.step("unsigned-refused", "a release whose weights are signed by a key that nobody trusts") as told:
        copy = stage.folder / "unsigned"
        shutil.copytree(story.built / "1.1.0", copy)
        for kind in KINDS:
            shutil.copy(story.built / f"1.1.0/{kind}.sig", copy)
        stage.lockgate("sign", copy / "weights", "--key", stage.key("mallory"), "--signature", copy / "weights.sig")
        description = (copy / "release.toml").read_text().replace('version = "1.1.0"', 'version = "1.2.0"')
        (copy / "release.toml").write_text(description)
        command = ("release", "create", copy / "release.toml", "--manifest-key", stage.key("ci-components"))
        told.detail = f"{story.prod_lockgate(*command, who='alice', expect=4)}; {story.still_serves(SERVES)}"


def _evidence(story: Story) -> None:
    stage = story.stage
    with stage.step("moved-result-refused", "the passed result of 1.0.0 is offered for 0.9.0, which failed") as told:
        items = story.prod_lockgate("evidence", "magika@1.0.0", who="alice")["items"]
        suites = {item["content"].get("lockgate", {}).get("suite"): item["statement"] for item in items}
        digest = suites[SUITE]
        statement = stage.folder / "moved.json"
        statement.write_bytes(_document(story, digest))
        told.detail = story.prod_lockgate("attest", "file", "magika@0.9.0", statement, who="ci", expect=4)
        told.detail += f"; {story.still_serves(SERVES)}"
    with stage.step("failed-result-refused", "0.9.0 failed its suite; two approvals do not help it") as told:
        number = story.authorize("0.9.0", "it is smaller")
        told.detail = story.prod_lockgate("change", "activate", number, who="dave", expect=3)
        promise("FAILED" in told.detail, f"refused for another reason: {told.detail}")
        told.detail += f"; {story.still_serves(SERVES)}"


def _expired(story: Story) -> None:
    with story.stage.step("expired-approval-refused", "1.0.1 was approved, but the approvals have expired") as told:
        number = story.authorize("1.0.1", "other thresholds", "--for", "1s")
        time.sleep(1.1)
        told.detail = story.prod_lockgate("change", "activate", number, who="dave", expect=3)
        promise("expired" in told.detail, f"refused for another reason: {told.detail}")
        told.detail += f"; {story.still_serves(SERVES)}"


def _forged(story: Story) -> None:
    stage, prod = story.stage, story.prod
    what = "a thief with the whole server and all its keys answers with a forged decision for 0.9.0"
    with stage.step("forged-decision-refused", what) as told:
        genuine, stolen = stage.folder / "genuine.json", stage.folder / "stolen.json"
        story.prod_lockgate("passport", "export", ENDPOINT, "--output", genuine, who="dave")
        story.prod_lockgate("passport", "export", "magika@0.9.0", "--output", stolen, who="dave")
        root = plain.decode(Root, (story.host / "root.json").read_bytes())
        taken = parse_passport(genuine.read_bytes())
        at = taken.registration.intent.expires
        trust = open_trust((prod.home / "ceremony" / "trust.json").read_bytes(), root, at)
        policy = open_policy((prod.home / "ceremony" / "policy.json").read_bytes(), root, at)
        forged = forge(taken, parse_passport(stolen.read_bytes()), prod.home, trust, policy)
        with rogue_server(forged, Endpoint.parse(ENDPOINT)) as url:
            host = make_host(stage, HOSTS[1], prod, url)
            told.detail = _run_refused(story, host, None, 3)
        promise("approvals" in told.detail, f"refused for another reason: {told.detail}")
        told.detail += f"; {story.still_serves(SERVES)}"


def _copied(story: Story, name: str) -> Path:
    copy = story.stage.folder / name
    shutil.copytree(story.built / SERVES, copy)
    return copy


def _run_refused(story: Story, host: Path, source: Path | None, code: int) -> str:
    """Try to serve on another host; return why it was refused."""
    words: list[object] = ["run", "--home", host, "--endpoint", ENDPOINT, "--port", 1]
    words += ["--from", source] if source else []
    return str(story.stage.lockgate_text(*words, expect=code))


def _document(story: Story, digest: str) -> bytes:
    """Fetch a kept document from prod, as anybody with the right to read may."""
    from lockgate.cli.speaking import connect
    from lockgate.formats.names import Name

    connection = connect(story.prod.url, Name("alice"), str(story.stage.key("alice")))
    return connection.fetch(f"/api/v1/documents/{digest}")
