"""What do the steps of the story hand to each other, and what can be asked of its heroes?"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lockgate.cli.demo.company import MAGIKA, Subject
from lockgate.cli.demo.evaluation import classify
from lockgate.cli.demo.samples import SAMPLES
from lockgate.cli.demo.stage import Site, Stage, promise
from lockgate.errors import UnavailableError

ENDPOINT = "prod/magika"


@dataclass
class Story:
    """What the steps hand to each other."""

    stage: Stage
    dev: Site
    prod: Site
    built: Path
    host: Path
    url: str
    releases: dict[str, str] = field(default_factory=dict)
    before_rollback: str = ""
    served_before_rollback: Any = None
    subject: Subject = MAGIKA

    @property
    def endpoint(self) -> str:
        """Say where its releases serve."""
        return f"prod/{self.subject.name}"

    def dev_lockgate(self, *arguments: object, who: str, expect: int = 0) -> Any:
        """Do something in dev."""
        return self.stage.lockgate(*arguments, who=who, site=self.dev, expect=expect)

    def prod_lockgate(self, *arguments: object, who: str, expect: int = 0) -> Any:
        """Do something in prod."""
        return self.stage.lockgate(*arguments, who=who, site=self.prod, expect=expect)

    def authorize(self, version: str, reason: str, *options: object) -> int:
        """Have alice open a change, and bob and carol approve it; return its number."""
        tag = f"{self.subject.name}@{version}"
        number = int(
            self.prod_lockgate("change", "open", tag, "--endpoint", self.endpoint, "--reason", reason, who="alice")[
                "change"
            ]
        )
        for who in ("bob", "carol"):
            self.prod_lockgate("change", "approve", number, *options, who=who)
        return number

    def model(self) -> str:
        """Ask the model server at the endpoint which generation it is."""
        return str(self.stage.ask(f"{self.url}/healthz").get("model"))

    def right_answers(self, version: str) -> int:
        """Count the samples that the endpoint calls what this release is known to call them."""
        return sum(classify(self.stage, self.url, name) == s.expected(version) for name, s in SAMPLES.items())

    def still_serves(self, version: str) -> str:
        """Promise that what was serving goes on."""
        promise(self.right_answers(version) == len(SAMPLES), f"{version} does not serve as it did before the attack")
        return f"{version} goes on serving"

    def is_silent(self) -> bool:
        """Tell whether nothing answers at the endpoint."""
        try:
            self.model()
        except UnavailableError:
            return True
        return False
