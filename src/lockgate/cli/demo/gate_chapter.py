"""How does a real release go through the gate to a serving host, and why does a tampered one not?"""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from lockgate.cli.demo import magika, wheels
from lockgate.cli.demo.attacks import play_attacks
from lockgate.cli.demo.authorship import attest_release, describe_release, evaluate_release, seal_components
from lockgate.cli.demo.company import EVIDENCE, HOSTS, KINDS, LEASE_SECONDS, make_host, make_keys, start_site
from lockgate.cli.demo.samples import SAMPLES
from lockgate.cli.demo.stage import Stage, free_port, lockgate_command, promise
from lockgate.cli.demo.story import ENDPOINT, Story

VERSIONS = ("0.9.0", "1.0.0", "1.1.0", "1.0.1")
LOOKED_AT = ("hosts", "wayBack")  # what `endpoint show` adds to what the log says


def play(stage: Stage) -> None:
    """Play the chapter."""
    stage.say("Lockgate: the gate between development and production. This is the story of magika, a real model.\n")
    story = _set_up(stage)
    _develop(story)
    _cross(story)
    _authorize(story)
    _serve(story)
    play_attacks(story)
    _replace_and_roll_back(story)
    _suspend(story)
    _audit(story)


def _set_up(stage: Stage) -> Story:
    with stage.step(
        "fetch", "three published generations of magika, by pinned hash, from the cache if it has them"
    ) as told:
        fetched = magika.fetch(wheels.default_cache())
        magika.build(fetched, stage.folder / "magika")
        told.detail = ", ".join(sorted(path.name for path in fetched.values()))
    with stage.step("install", "two installations, dev and prod: each its own PostgreSQL, store, log and keys") as told:
        make_keys(stage)
        dev, keys = start_site(stage, "dev", None, **EVIDENCE)
        prod, _ = start_site(stage, "prod", keys, **EVIDENCE)
        host = make_host(stage, HOSTS[0], prod)
        told.detail = f"dev at {dev.url}, prod at {prod.url}; trust and policy signed by 2 of 3 root keys"
    return Story(stage, dev, prod, stage.folder / "magika", host, f"http://127.0.0.1:{free_port()}")


def _develop(story: Story) -> None:
    stage = story.stage
    with stage.step("sign", "the CI signs every component of four releases (OpenSSF model signing)") as told:
        for version in VERSIONS:
            seal_components(story, version)
        told.detail = f"{len(VERSIONS) * len(KINDS)} bundles; the stock model_signing tool accepts them too"
    with stage.step(
        "register", "releases in dev; each version owes its predecessor the least bump of its difference"
    ) as told:
        for version in sorted(VERSIONS):
            describe_release(story, version)
            found = story.dev_lockgate(
                "release", "create", story.built / version / "release.toml",
                "--manifest-key", stage.key("ci-components"), who="alice",
            )  # fmt: skip
            story.releases[version] = found["release"]
        diff = story.dev_lockgate("release", "diff", "magika@0.9.0", "magika@1.0.0", who="alice")
        promise(diff["least_bump"] == "MAJOR", f"1.0.0 narrows the contract of 0.9.0, but owes it {diff['least_bump']}")
        told.detail = f"1.0.0 owes 0.9.0 a MAJOR step: {diff['because'][0]}"
    with stage.step("attest", "provenance and a test result of every release, signed by the CI") as told:
        results = {version: attest_release(story, version) for version in VERSIONS}
        promise(results["0.9.0"][0] == "FAILED" and results["1.0.0"][0] == "PASSED", f"unexpected results: {results}")
        told.detail = ", ".join(f"{version} {verdict} ({accuracy})" for version, (verdict, accuracy) in results.items())
    with stage.step("evaluate", "the baseline suite of every release, served in a sandbox without a network") as told:
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda version: evaluate_release(story, story.dev, version), VERSIONS))
        shown = {row["measure"]: row["value"] for row in found[1]["measures"] if row["value"]}
        told.detail = f"{VERSIONS[1]}: {', '.join(f'{name} {value}' for name, value in shown.items())}"


def _cross(story: Story) -> None:
    with story.stage.step("cross", "the releases leave dev, each in one signed bundle with its passport") as told:
        sizes = []
        for version in VERSIONS:
            bundle = story.stage.folder / f"magika-{version}.lockgate"
            story.dev_lockgate("release", "export", f"magika@{version}", "--output", bundle, who="alice")
            sizes.append(bundle.stat().st_size)
        told.detail = f"{len(sizes)} bundles, {sum(sizes) / 1e6:.1f} MB"
    with story.stage.step(
        "admit", "prod admits them under its own trust: every byte, signature and statement again"
    ) as told:
        found = {}
        for version in sorted(VERSIONS):
            found = story.prod_lockgate(
                "release", "import", story.stage.folder / f"magika-{version}.lockgate", who="alice"
            )
        told.detail = f"the last one, {found['tag']}, with {found['evidence']} statements"


def _authorize(story: Story) -> None:
    stage = story.stage
    opened = story.prod_lockgate(
        "change", "open", "magika@1.0.0", "--endpoint", ENDPOINT, "--reason", "first release", who="alice"
    )
    number = opened["change"]
    with stage.step("self-approval-refused", "alice may not approve her own change, whatever roles she had") as told:
        told.detail = story.prod_lockgate("change", "approve", number, who="alice", expect=3)
    with stage.step("approve", "bob and carol approve: they sign the digest of exactly this change") as told:
        refused = story.prod_lockgate("change", "assess", number, who="dave", expect=3)
        for who in ("bob", "carol"):
            story.prod_lockgate("change", "approve", number, "--content", opened["content"], who=who)
        told.detail = f"before them, the gate said: {refused}"
    with stage.step("gate", "the gate lets it through: signatures, provenance, results, approvals, all at once"):
        story.prod_lockgate("change", "assess", number, who="dave")
    with stage.step("activate", f"dave carries the change out; {ENDPOINT} should serve magika 1.0.0") as told:
        entry = story.prod_lockgate("change", "activate", number, who="dave")["entry"]
        told.detail = (
            f"decision, activation and closing are entries {entry} to {entry + 2} of the log, in one transaction"
        )


def _serve(story: Story) -> None:
    stage = story.stage
    with stage.step("serve", "host-1 judges the passport itself, verifies while copying, leases, and serves") as told:
        port = story.url.rpartition(":")[2]
        stage.start([*lockgate_command(), "run", "--endpoint", ENDPOINT, "--port", port, "--follow"], "host-1",
                    {"LOCKGATE_HOME": str(story.host)})  # fmt: skip
        stage.until("host-1 serves", lambda: story.model() == "standard_v3_2")
        right = story.right_answers("1.0.0")
        promise(right == len(SAMPLES), f"only {right} of {len(SAMPLES)} files were classified as 1.0.0 does")
        told.detail = f"{right} real files classified by onnxruntime, " + ", ".join(list(SAMPLES)[:5]) + ", …"


def _replace_and_roll_back(story: Story) -> None:
    stage = story.stage
    with stage.step(
        "replace", "1.1.0 replaces 1.0.0: a change of its own, two approvals, and the host follows"
    ) as told:
        number = story.authorize("1.1.0", "a better generation")
        story.prod_lockgate("change", "activate", number, who="dave")
        took = stage.until("host-1 serves 1.1.0", lambda: story.model() == "standard_v3_3")
        promise(story.right_answers("1.1.0") == len(SAMPLES), "1.1.0 does not classify as it should")
        told.detail = f"served {took:.1f} s after the activation (lease {LEASE_SECONDS} s, renewed at a third)"
    served = story.prod_lockgate("endpoint", "show", ENDPOINT, who="dave")
    story.served_before_rollback = {name: value for name, value in served.items() if name not in LOOKED_AT}
    time.sleep(0.01)
    story.before_rollback = datetime.now(UTC).isoformat()
    time.sleep(0.01)
    with stage.step("rollback", "one act, one hand: all of 1.0.0 is back, weights, config and dependency lock") as told:
        began = time.monotonic()
        found = story.prod_lockgate("rollback", ENDPOINT, who="dave")
        promise(found["release"] == story.releases["1.0.0"], f"rolled back to {found['release']}")
        stage.until("host-1 serves 1.0.0 again", lambda: story.model() == "standard_v3_2")
        told.detail = f"{story.still_serves('1.0.0')}, {time.monotonic() - began:.1f} s after the order (window 60 s)"


def _suspend(story: Story) -> None:
    stage = story.stage
    with stage.step(
        "suspend", "shutdown: the model server stops, and no restart, lease or rollback brings it back"
    ) as told:
        began = time.monotonic()
        story.prod_lockgate("shutdown", ENDPOINT, who="dave")
        stage.until("the model server is gone", story.is_silent)
        took = time.monotonic() - began
        promise(took < LEASE_SECONDS + 2, f"it took {took:.1f} s, longer than the lease of {LEASE_SECONDS} s")
        refused = story.prod_lockgate("rollback", ENDPOINT, who="dave", expect=3)
        told.detail = f"silent {took:.1f} s after the order; {refused}"


def _audit(story: Story) -> None:
    stage = story.stage
    exported, pins = (
        stage.folder / "log",
        ("--trust", story.prod.home / "ceremony" / "trust.json", "--root", story.host / "root.json"),
    )
    with stage.step("log-verify", "an outsider verifies the whole log offline; one altered byte is found") as told:
        story.prod_lockgate("log", "export", exported, who="dave")
        found = stage.lockgate("log", "verify", exported, *pins)
        altered = stage.folder / "altered-log"
        shutil.copytree(exported, altered)
        bundle = next(path for path in sorted((altered / "tile" / "entries").rglob("*")) if path.is_file())
        bundle.write_bytes(bundle.read_bytes().replace(b'"carol"', b'"cargo"', 1))
        refused = stage.lockgate("log", "verify", altered, *pins, expect=4)
        told.detail = f"{found['entries']} entries, {found['objects']} objects; altered: {refused}"
    with stage.step(
        "state-at", "the state before the rollback is rebuilt from the log, and equals what was served"
    ) as told:
        rebuilt = stage.lockgate("state", ENDPOINT, "--at", story.before_rollback, "--log", exported, *pins)["state"]
        promise(rebuilt == story.served_before_rollback, "the rebuilt state differs from what the server said then")
        told.detail = f"at {story.before_rollback} it served {rebuilt['slots'][-1]['tag']}"
    with stage.step("compliance", "what of AISVS C3 is kept, what has a gap, what is planned") as told:
        totals = stage.lockgate("compliance", "--log", exported)["totals"]
        told.detail = ", ".join(f"{number} {word}" for word, number in totals.items())
