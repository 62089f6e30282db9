"""What does a thief get who steals a server, a key, or time? Nothing new ever serves, and permission ends by itself."""

import signal
import time

import yaml

from lockgate.cli.demo import magika, wheels
from lockgate.cli.demo.authorship import register_release
from lockgate.cli.demo.company import ACCURACY, HOSTS, LEASE_SECONDS, make_host, make_keys, serve_site, start_site
from lockgate.cli.demo.rogue import forge_updates
from lockgate.cli.demo.samples import SAMPLES
from lockgate.cli.demo.stage import Stage, free_port, lockgate_command, promise
from lockgate.cli.demo.story import ENDPOINT, Story

VERSIONS = ("1.0.0", "1.1.0")
LOWERED = "0.8"
_MODELS = {"1.0.0": "standard_v3_2", "1.1.0": "standard_v3_3"}


def play(stage: Stage) -> None:
    """Play the chapter."""
    stage.say("Trust that survives theft: an environment, a serving host with its agent, and thieves.\n")
    story = _set_up(stage)
    _change_the_policy(story)
    _steal_the_server(story)
    _revoke(story)
    _shut_down_directly(story)
    _let_the_lease_expire(story)


def _set_up(stage: Stage) -> Story:
    with stage.step("found", "prod: server, signer, store and PostgreSQL; two releases, signed and tested") as told:
        magika.build(magika.fetch(wheels.default_cache()), stage.folder / "magika")
        make_keys(stage)
        prod, _ = start_site(stage, "prod", None)
        host = make_host(stage, HOSTS[0], prod)
        story = Story(stage, prod, prod, stage.folder / "magika", host, f"http://127.0.0.1:{free_port()}")
        for version in VERSIONS:
            register_release(story, version)
        told.detail = "the policy was signed by 2 of 3 root keys and travels as TUF targets"
    with stage.step("agent", "host-1's agent owns its key, leases and rules; `lockgate run` asks it") as told:
        _activate(story, "1.0.0")
        with (host / "host.toml").open("a") as settings:
            settings.write(f'control = "127.0.0.1:{free_port()}"\n')
        stage.start([*lockgate_command(), "agent", "--home", str(host), "--insecure"], "agent")
        stage.until("the agent is there", (host / "agent.sock").exists)
        port = story.url.rpartition(":")[2]
        run = ["run", "--home", str(host), "--endpoint", ENDPOINT, "--port", port, "--follow"]
        stage.start([*lockgate_command(), *run], "host-1")
        _until_serving(story, "1.0.0")
        (running,) = stage.lockgate("agent", "--home", host, "status")["running"]
        told.detail = f"{running['tag']} serves on a lease of {running['lease_seconds']} s"
    return story


def _activate(story: Story, version: str, *options: object) -> None:
    number = story.authorize(version, f"{version} is wanted", *options)
    story.prod_lockgate("change", "activate", number, who="dave")


def _change_the_policy(story: Story) -> None:
    stage, prod = story.stage, story.prod
    what = "lowering the threshold takes two approvals and two offline keys; neither is enough"
    with stage.step("trust-change-needs-threshold", what) as told:
        ruled = yaml.safe_load((prod.home / "policy.yaml").read_text())
        ruled["version"] += 1
        ruled["endpoints"][ENDPOINT]["evaluations"][0]["metrics"]["accuracy"] = LOWERED
        written, folder = stage.folder / "policy-2.yaml", stage.folder / "ceremony-2"
        written.write_text(yaml.safe_dump(ruled, sort_keys=False))
        proposed = story.prod_lockgate(
            "policy", "propose", written, folder, "--reason", "it is late", who="dave"
        )  # fmt: skip
        words = " ".join(str(proposed["differences"]).split())
        promise(ACCURACY in words and LOWERED in words, f"the difference is not told: {words}")
        stage.lockgate("policy", "sign", folder, "--key", stage.key("root1"))
        one_key = story.prod_lockgate("policy", "publish", folder, who="dave", expect=4)
        stage.lockgate("policy", "sign", folder, "--key", stage.key("root2"))
        unapproved = story.prod_lockgate("policy", "publish", folder, who="dave", expect=3)
        for who in ("bob", "carol"):
            story.prod_lockgate("change", "approve", proposed["changes"]["policy"], who=who)
        entry = story.prod_lockgate("policy", "publish", folder, who="dave")["entry"]
        told.detail = f"one key: {one_key}; no approvals: {unapproved}; both: in force (entry {entry})"


def _steal_the_server(story: Story) -> None:
    what = "a thief with every key of the server lets mallory approve, and publishes that to a host"
    with story.stage.step("stolen-server-refused", what) as told:
        stolen = story.stage.folder / "stolen-updates"
        forge_updates(story.prod.home, stolen)
        second = make_host(story.stage, HOSTS[1], story.prod)
        settings = (second / "host.toml").read_text().replace(f"{story.prod.url}/tuf", str(stolen))
        (second / "host.toml").write_text(settings)
        refused = story.stage.lockgate_text("run", "--home", second, "--endpoint", ENDPOINT, "--port", 1, expect=4)
        told.detail = f"{refused}; {story.still_serves('1.0.0')}"


def _revoke(story: Story) -> None:
    stage = story.stage
    with stage.step("revoked-refused", "1.1.0 serves, and turns out to be bad: one hand revokes it, for good") as told:
        _activate(story, "1.1.0")
        _until_serving(story, "1.1.0")
        began = time.monotonic()
        story.prod_lockgate("revoke", "magika@1.1.0", "--reason", "it leaks", who="dave")
        stage.until("1.1.0 is gone", story.is_silent)
        took = time.monotonic() - began
        weights = story.built / "1.1.0" / "weights"
        offline = stage.lockgate(
            "verify", weights, "--signature", f"{weights}.sig", "--trust", story.host, "--kind", "weights", expect=3
        )
        again = story.prod_lockgate("change", "open", "magika@1.1.0", "--endpoint", ENDPOINT, "--reason", "please",
                                    who="alice", expect=3)  # fmt: skip
        story.prod_lockgate("rollback", ENDPOINT, who="dave")
        _until_serving(story, "1.0.0")
        told.detail = f"stopped {took:.1f} s after the order; verify: {offline}; gate: {again}; 1.0.0 is back"


def _shut_down_directly(story: Story) -> None:
    stage, host = story.stage, story.host
    what = "the server is dead; an order goes straight to the agents, and holds when the server is back"
    with stage.step("direct-shutdown", what) as told:
        fleet = stage.folder / "fleet.json"
        story.prod_lockgate("fleet", "--output", fleet, who="dave")
        stage.kill("prod")
        began = time.monotonic()
        pins = ("--trust", story.prod.home / "ceremony" / "trust.json", "--root", host / "root.json")
        found = story.prod_lockgate("shutdown", ENDPOINT, "--direct", "--fleet", fleet, *pins, "--reason", "fire",
                                    who="dave")  # fmt: skip
        (answer,) = found["outcome"]["answers"]
        promise(answer["receipt"] is not None, f"no receipt: {answer}")
        stage.until("the model server is gone", story.is_silent)
        took = time.monotonic() - began
        serve_site(stage, story.prod)
        stage.until("the agent has told the server", lambda: _is_suspended(story))
        told.detail = (
            f"receipt of {answer['node']}; silent {took:.1f} s after the order; recorded when the server was back"
        )


def _let_the_lease_expire(story: Story) -> None:
    what = "resumed by a new approved change; then the server hangs, and permission ends by itself"
    with story.stage.step("lease-expires", what) as told:
        opened = story.prod_lockgate(
            "resume", ENDPOINT, "--release", "magika@1.0.0", "--reason", "the fire is out", who="alice"
        )
        for who in ("bob", "carol"):
            story.prod_lockgate("change", "approve", opened["change"], who=who)
        story.prod_lockgate("change", "activate", opened["change"], who="dave")
        _until_serving(story, "1.0.0")
        story.stage.process("prod").send_signal(signal.SIGSTOP)
        try:
            took = story.stage.until("the model server is gone", story.is_silent)
        finally:
            story.stage.process("prod").send_signal(signal.SIGCONT)
        promise(took < LEASE_SECONDS + 2, f"it served {took:.1f} s on a lease of {LEASE_SECONDS} s")
        told.detail = f"silent {took:.1f} s after the server hung; the lease was {LEASE_SECONDS} s"


def _until_serving(story: Story, version: str) -> None:
    story.stage.until(f"{version} serves", lambda: story.model() == _MODELS[version])
    right = story.right_answers(version)
    promise(right == len(SAMPLES), f"only {right} of {len(SAMPLES)} files were classified as {version} does")


def _is_suspended(story: Story) -> bool:
    return bool(story.prod_lockgate("endpoint", "show", ENDPOINT, who="dave")["suspended"])
