"""How does a release of the story come about? Its author describes it, the CI tells how it was built and tested."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lockgate.cli.demo import magika
from lockgate.cli.demo.evaluation import evaluate
from lockgate.cli.demo.stage import Site
from lockgate.cli.demo.story import Story
from lockgate.core.evidence import Provenance, TestRun
from lockgate.formats import plain

BUILD_TYPE = "https://lockgate.invalid/demo/build/v1"
BUILDER = "https://github.com/google/magika"


def seal_components(story: Story, version: str, but: Collection[str] = ()) -> None:
    """Have the CI sign every component of a release, but those that it has signed before."""
    for kind in sorted(set(story.subject.kinds) - set(but)):
        folder = story.built / version / kind
        key = story.stage.key("ci-components")
        story.stage.lockgate("sign", folder, "--key", key, "--signature", f"{folder}.sig")


def describe_release(story: Story, version: str) -> None:
    """Write the `release.toml` of a release."""
    command = ["{python}", "-m", "lockgate.cli.demo.magika_server", "--model", "{model}", "--port", "{port}"]
    write_description(story, version, magika.contract(story.built / version), {"command": command})


def write_description(
    story: Story, version: str, contract: Mapping[str, Sequence[str]], serve: Mapping[str, object]
) -> None:
    """Write the `release.toml` of a release with this contract, which is served like this."""
    lines = [
        f'name = "{story.subject.name}"',
        f'version = "{version}"',
        f'license = "{magika.LICENSE}"',
        'authors = ["alice"]',
        *(f'[components.{kind}]\npath = "{kind}"\nsignature = "{kind}.sig"' for kind in story.subject.kinds),
        "[contract]",
        *(f"{name} = {json.dumps(values)}" for name, values in contract.items()),
        "[serve]",
        *(f"{name} = {_inline(value)}" for name, value in serve.items()),
    ]
    (story.built / version / "release.toml").write_text("\n".join(lines) + "\n")


def attest_release(story: Story, version: str) -> tuple[str, str]:
    """Attest provenance and a real test result; return the verdict and the accuracy."""
    return attest(story, version, BUILDER, evaluate(story.stage, story.built / version))


def attest(story: Story, version: str, builder: str, run: TestRun) -> tuple[str, str]:
    """Attest who built a release, and what its suite found; return the verdict and the accuracy."""
    output = story.stage.folder / f"result-{version}.json"
    output.write_text(json.dumps(plain.to_plain(run)))
    attest_provenance(story, version, builder)
    story.dev_lockgate("attest", "result", *_attesting(story, version), "--result", output, who="ci")
    return run.result.value, run.metrics["accuracy"]


def attest_provenance(story: Story, version: str, builder: str = BUILDER) -> None:
    """Attest who built a release, for whom and when."""
    made = story.stage.folder / f"provenance-{version}.json"
    built = Provenance(BUILD_TYPE, builder, "alice", None, datetime.now(UTC))
    made.write_text(json.dumps(plain.to_plain(built)))
    story.dev_lockgate("attest", "provenance", *_attesting(story, version), "--provenance", made, who="ci")


def _attesting(story: Story, version: str) -> tuple[object, ...]:
    key, digest = story.stage.key("ci-results"), story.releases[version]
    return f"{story.subject.name}@{version}", "--signing-key", key, "--digest", digest


def evaluate_release(story: Story, site: Site, version: str, expect: int = 0) -> Any:
    """Have the CI run the baseline over a release at a site; return what it found, or why it found nothing."""
    stage = story.stage
    words = ["evaluate", f"{story.subject.name}@{version}", "--endpoint", f"{site.environment}/{story.subject.name}"]
    words += ["--signing-key", str(stage.key("ci-results")), "--digest", story.releases[version]]
    words += ["--lacking", "cgroup"]  # who is not root may make none
    return stage.lockgate(*words, who="ci", site=site, found_with=expect)


def register_release(story: Story, version: str) -> None:
    """Have a release signed, described, registered where it is to serve, and attested."""
    seal_components(story, version)
    describe_release(story, version)
    create_release(story, version)
    attest_release(story, version)


def create_release(story: Story, version: str) -> None:
    """Have alice register what was described, where it is to serve."""
    created = story.prod_lockgate(
        "release", "create", story.built / version / "release.toml",
        "--manifest-key", story.stage.key("ci-components"), who="alice",
    )  # fmt: skip
    story.releases[version] = created["release"]


def _inline(value: object) -> str:
    """Write a list, or a table of texts, as TOML does in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {json.dumps(text)}" for name, text in value.items()) + " }"
    return json.dumps(value)
