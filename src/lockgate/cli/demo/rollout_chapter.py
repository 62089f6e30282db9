"""How does a candidate get its traffic, and who takes it away? By evidence, on real requests to the real model.

    1.0.0 serves ──▶ 1.1.0 climbs, and is promoted
                     1.1.1 answers errors under load ─┐
                     1.1.2 is slow                    ├──▶ each loses everything, and 1.1.0 has all traffic again
                     1.0.0 has a jailbreak in it     ─┘
                     shutdown: a stream is cut ──▶ shut, until a new approved change

All of them passed their tests, were signed and were approved: the suite asks one file at a time, and looks at labels.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import urllib3

from lockgate.cli.demo import magika, wheels
from lockgate.cli.demo.authorship import register_release
from lockgate.cli.demo.company import HOSTS, found_site, make_host, make_keys, serve_site
from lockgate.cli.demo.crowd import Answered, Crowd, told
from lockgate.cli.demo.magika import STANDARD_V3_2, STANDARD_V3_3, Release
from lockgate.cli.demo.stage import Stage, Told, free_port, lockgate_command, promise
from lockgate.cli.demo.story import ENDPOINT, Story
from lockgate.cli.speaking import connect
from lockgate.formats.instant import parse_instant
from lockgate.formats.names import Name
from lockgate.loader.connection import Connection

RELEASES = (
    Release("1.0.0", STANDARD_V3_2),
    Release("1.1.0", STANDARD_V3_3),
    Release("1.1.1", STANDARD_V3_3, serving={"at_once": 1}),
    Release("1.1.2", STANDARD_V3_3, serving={"gather_ms": 80}),
)
DEMANDS = {"required": True, "first_weight": 20, "least_seconds": 2, "metrics": ["errors"], "window_seconds": 900}
STRATEGY = """
canary:
  steps:
  - setWeight: 20
  - pause: {duration: 2s}
  - setWeight: 60
  - analysis: {templates: [errors]}
  - setWeight: 100
maxDuration: 10m
patience: 2m
noData: 3m
metrics:
- {name: errors, interval: 1s, sequential: {event: errors, alpha: 0.004, oddsMargin: 1.5}, envoy: {}}
- {name: jailbreak, alert: {kind: jailbreak, severity: high}}
"""
LATENCY = "- {name: latency, interval: 1s, sequential: {event: latency, alpha: 0.004, oddsMargin: 3}, envoy: {}}\n"
_BLOCKS = 8192  # of a kilobyte, some ten seconds of answers
_BACK = 100  # answers that are looked at after a candidate is gone


@dataclass
class Play:
    """What the steps of this chapter share."""

    story: Story
    connection: Connection

    @property
    def tags(self) -> dict[str, str]:
        """Name releases by their digest."""
        return {digest: version for version, digest in self.story.releases.items()}

    def progress(self) -> Mapping[str, Any]:
        """Say how far a rollout is, or how the last one ended."""
        return self.connection.get(f"/api/v1/endpoints/{ENDPOINT}/rollout")

    def entries(self) -> list[Mapping[str, Any]]:
        """Read the log."""
        items = self.connection.get("/api/v1/log/entries", start=0, stop=None)["items"]
        assert isinstance(items, list)
        return [json.loads(str(item)) for item in items]


def play(stage: Stage) -> None:
    """Play the chapter."""
    stage.say("Rollout: candidates get real traffic, bad ones lose it by themselves, and one hand stops everything.\n")
    told_of = _set_up(stage)
    _promote(told_of)
    what = "1.1.1 takes one request at a time, as no test noticed: it answers 503 under load"
    _go_back(told_of, "canary-errors-rolled-back", "1.1.1", "metric:errors", what)
    what = "1.1.2 waits 80 ms for more to classify at once: all its labels are right"
    _go_back(told_of, "canary-slow-rolled-back", "1.1.2", "metric:latency", what)
    _alert(told_of)
    _shut_down(told_of)
    _resume(told_of)


def _set_up(stage: Stage) -> Play:
    with stage.step("traffic", "prod with a host whose Envoy stands before the model; four releases, tested") as told_:
        magika.build(magika.fetch(wheels.default_cache()), stage.folder / "magika", RELEASES)
        make_keys(stage)
        prod, _ = found_site(stage, "prod", rollout=DEMANDS)
        host = make_host(stage, HOSTS[0], prod, home=prod.home / "host")
        gateway = f"127.0.0.1:{free_port()}"
        with (host / "host.toml").open("a") as settings:
            settings.write(f'gateway = "{gateway}"\ncontrol = "127.0.0.1:{free_port()}"\n')
        serve_site(stage, prod)
        story = Story(stage, prod, prod, stage.folder / "magika", host, f"http://{gateway}/{ENDPOINT}")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda release: register_release(story, release.version), RELEASES))
        number = story.authorize("1.0.0", "first release")
        story.prod_lockgate("change", "activate", number, who="dave")
        _start(story, "--follow")
        stage.until("1.0.0 serves through the gateway", lambda: story.model() == STANDARD_V3_2.model)
        told_.detail = f"1.0.0 answers at {story.url}/…; nothing else replaces it than by a rollout, says the policy"
    strategies = {"plain": STRATEGY, "latency": STRATEGY + LATENCY}
    for name, written in strategies.items():
        (stage.folder / f"{name}.yaml").write_text(written)
    return Play(story, connect(prod.url, Name("dave"), str(stage.key("dave"))))


def _promote(play_: Play) -> None:
    story, what = play_.story, "1.1.0 gets 20, 60, 100 % as its numbers allow"
    with story.stage.step("canary-promoted", what) as told_, _rollout(play_, "1.1.0", "plain") as (number, crowd):
        story.stage.until("1.1.0 has all traffic, or none", lambda: _has_ended(play_, number))
        _tell(play_, told_, number, crowd.answers)
        promise(told_.numbers["outcome"] == "promoted", f"it was not: {told_.detail}")
        promise(set(_statuses(crowd.answers)) == {200}, f"not all was answered: {told_.numbers['answers']}")
        crowd.settle(story.releases["1.1.0"], _BACK)
        told_.detail += "; nothing was lost"


def _go_back(play_: Play, step: str, version: str, trigger: str, what: str) -> None:
    story = play_.story
    with story.stage.step(step, what) as told_, _rollout(play_, version, "latency") as (number, crowd):
        story.stage.until(f"{version} has all traffic, or none", lambda: _has_ended(play_, number))
        _tell(play_, told_, number, crowd.answers)
        promise(told_.numbers["trigger"] == trigger, f"it was not for {trigger}: {told_.detail}")
        _is_back(play_, crowd, told_)


def _alert(play_: Play) -> None:
    story = play_.story
    what = "1.0.0 is wanted back, and a detector sees a jailbreak in it: one signed alert is enough"
    step = story.stage.step("guardrail-alert-rolled-back", what)
    with step as told_, _rollout(play_, "1.0.0", "plain") as (number, crowd):
        story.stage.until("1.0.0 answers", lambda: any(_by(play_, "1.0.0", one) for one in crowd.answers))
        raised = story.prod_lockgate(
            "alert", "raise", ENDPOINT, "--kind", "jailbreak", "--severity", "high", "--release", "magika@1.0.0",
            "--text", "14 of 20 prompts get through", who="guard",
        )  # fmt: skip
        story.stage.until("1.0.0 is gone", lambda: _has_ended(play_, number))
        _tell(play_, told_, number, crowd.answers)
        promise(told_.numbers["trigger"] == "alert:jailbreak", f"it was for something else: {told_.detail}")
        raised_at = parse_instant(play_.entries()[raised["entry"]]["time"])
        took = (parse_instant(play_.progress()["ended"]["at"]) - raised_at).total_seconds()
        told_.numbers["seconds_after_alert"] = round(took, 3)
        told_.detail += f"; gone {took:.1f} s after the alert (entry {raised['entry']})"
        _is_back(play_, crowd, told_)


def _shut_down(play_: Play) -> None:
    story = play_.story
    with story.stage.step(
        "shutdown-cuts-stream", "a model that is still writing does not finish its sentence"
    ) as told_:
        stream = _Stream(f"{story.url}/blocks")
        story.stage.until("the model writes", lambda: stream.lines > 0)
        found = story.prod_lockgate("shutdown", ENDPOINT, "--reason", "it tells secrets", who="dave")
        story.stage.until("the stream is cut", lambda: not stream.is_alive())
        (halt,) = found["heard"]["halts"]
        ordered = parse_instant(play_.entries()[found["entry"]]["time"])
        cut = (parse_instant(halt["cut_at"]) - ordered).total_seconds()
        seen = (stream.ended_at - ordered).total_seconds()
        promise(stream.lines < _BLOCKS, "the stream had ended by itself")
        promise(halt["gateway"] == "cut" and found["heard"]["silent"] == [], f"not cut everywhere: {found['heard']}")
        told_.numbers = {"cut_ms": round(1000 * cut), "stream_ended_ms": round(1000 * seen), "lines": stream.lines}
        told_.detail = (
            f"after line {stream.lines} of {_BLOCKS}; {halt['node']} cut it {1000 * cut:.0f} ms after the order was"
            f" in the log, by its signed receipt; the caller saw its end after {1000 * seen:.0f} ms"
        )


def _resume(play_: Play) -> None:
    story, stage = play_.story, play_.story.stage
    with stage.step("resume-needs-approval", "it stays shut, whoever asks; two approvals open it again") as told_:
        refused = story.prod_lockgate("rollback", ENDPOINT, who="dave", expect=3)
        opened = story.prod_lockgate(
            "resume", ENDPOINT, "--release", "magika@1.1.0", "--reason", "the secret is changed", who="alice"
        )["change"]
        unapproved = story.prod_lockgate("change", "activate", opened, who="dave", expect=3)
        with Crowd(story.url) as crowd:
            shut = crowd.next(_BACK)
        promise(set(_statuses(shut)) == {503}, f"something answered: {told(shut, play_.tags)}")
        for who in ("bob", "carol"):
            story.prod_lockgate("change", "approve", opened, who=who)
        story.prod_lockgate("change", "activate", opened, who="dave")
        took = stage.until("1.1.0 serves again", lambda: story.model() == STANDARD_V3_3.model)
        told_.numbers = {"answered_503": len(shut), "seconds_after_activation": round(took, 3)}
        told_.detail = (
            f"rollback: {refused}; without approvals: {unapproved}; {len(shut)} of {len(shut)} requests: 503;"
            f" {story.still_serves('1.1.0')}, {took:.1f} s after the approved change was carried out"
        )


@contextmanager
def _rollout(play_: Play, version: str, strategy: str) -> Iterator[tuple[int, Crowd]]:
    """Have a release approved with its strategy, let it begin as the candidate, and send it traffic."""
    story = play_.story
    opened = story.prod_lockgate(
        "change", "open", f"magika@{version}", "--endpoint", ENDPOINT, "--reason", "it passed its tests",
        "--strategy", story.stage.folder / f"{strategy}.yaml", who="alice",
    )  # fmt: skip
    for who in ("bob", "carol"):
        story.prod_lockgate("change", "approve", opened["change"], who=who)
    story.prod_lockgate("change", "activate", opened["change"], who="dave")
    _start(story, "--candidate")
    with Crowd(story.url) as crowd:
        yield int(opened["change"]), crowd


def _start(story: Story, how: str) -> None:
    run = ["run", "--home", str(story.host), "--endpoint", ENDPOINT, "--port", "0", how]
    story.stage.start([*lockgate_command(), *run], "host-1")


def _has_ended(play_: Play, change: int) -> bool:
    """Tell whether the rollout of a change is over."""
    ended = play_.progress()["ended"]
    return ended is not None and ended["change"] == change


def _tell(play_: Play, told_: Told, change: int, answers: list[Answered]) -> None:
    """Tell how a rollout went: its weights, why it ended, and on which numbers; by the log, and by the callers."""
    ended = play_.progress()["ended"]
    grounds = json.loads(play_.connection.fetch(f"/api/v1/documents/{ended['why']}"))
    stepped = [
        entry for entry in play_.entries()
        if entry["type"] == "rollout.stepped/v1" and entry["data"]["change"] == change
    ]  # fmt: skip
    weights = [weight for weight in dict.fromkeys(entry["data"]["weight"] for entry in stepped) if weight]
    took = (parse_instant(ended["at"]) - parse_instant(stepped[0]["time"])).total_seconds()
    told_.numbers = {
        "outcome": ended["outcome"], "trigger": ended["trigger"], "weights": weights, "seconds": round(took, 3),
        "findings": {finding["name"]: finding["says"] for finding in grounds["analysis"]["findings"]},
        "answers": told(answers, play_.tags), "grounds": ended["why"],
    }  # fmt: skip
    because = f" because of {ended['trigger']}" if ended["trigger"] else ""
    told_.detail = "; ".join([
        f"{ended['outcome']}{because} {took:.1f} s after its first traffic, by nobody's hand",
        "weights " + " → ".join(f"{weight} %" for weight in weights),
        *(f"{name}: {says}" for name, says in told_.numbers["findings"].items()),  # type: ignore[attr-defined]
        f"the callers got {_spoken(told(answers, play_.tags))}",
    ])  # fmt: skip


def _is_back(play_: Play, crowd: Crowd, told_: Told) -> None:
    """Promise that 1.1.0 has all traffic, and answers it."""
    others = crowd.settle(play_.story.releases["1.1.0"], _BACK)
    told_.numbers["others_before_back"] = others
    told_.detail += f"; then {_BACK} requests in a row answered by 1.1.0 (before them {others} by others, or not)"


def _spoken(found: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(f"{n} times {status} of {who}" for who, each in found.items() for status, n in each.items())


def _statuses(answers: list[Answered]) -> list[int]:
    return [one.status for one in answers]


def _by(play_: Play, version: str, answered: Answered) -> bool:
    return answered.release == play_.story.releases[version]


class _Stream(threading.Thread):
    """A caller that reads what the model writes about many blocks, line by line, until that ends."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url, self.lines, self.ended_at = url, 0, datetime.now(UTC)
        self.start()

    def run(self) -> None:
        """Read."""
        body = bytes(range(256)) * 4 * _BLOCKS
        web = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=2, read=60))
        with suppress(urllib3.exceptions.HTTPError, OSError):
            answer = web.request("POST", self._url, body=body, preload_content=False)
            for piece in answer.stream(1024):
                self.lines += piece.count(b"\n")
        self.ended_at = datetime.now(UTC)
