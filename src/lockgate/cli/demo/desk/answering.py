"""How does the desk answer? It guards, remembers, plans, acts, and says which parts did so.

    request ─▶ guardrail ─▶ memory ─▶ plan ─▶ tool | section | nothing ─▶ words of the prompt ─▶ memory ─▶ answer
                 └ refused, and not remembered

Every step is told as it is done. An answer names the digest of each part, so that answers of two releases can be told
apart by whoever gets them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, TypeAlias

from lockgate.cli.demo.desk.guardrail import beginning
from lockgate.cli.demo.desk.parts import Parts
from lockgate.cli.demo.desk.planner import Asked, Call, GiveUp, Plan, Quote, bend, plan
from lockgate.cli.demo.desk.remembering import Memory, Turn
from lockgate.cli.demo.desk.tool_line import ToolError, ToolLine

Step: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the desk says, and who it was."""

    answer: str
    steps: tuple[Step, ...]
    release: str
    parts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Desk:
    """The agent: its parts, its memory and the line to its tools."""

    parts: Parts
    memory: Memory
    line: ToolLine

    def answer(self, session: str, request: str) -> Iterator[Step | Answer]:
        """Yield each step when it is done, and the answer at last; raise `ForgottenError` without memory."""
        steps = []
        words = ""
        for step, words in self._steps(session, request):  # noqa: B007 - the last words are the answer
            steps.append(step)
            yield step
        yield Answer(words, tuple(steps), f"desk@{self.parts.version}", self.parts.digests)

    def _steps(self, session: str, request: str) -> Iterator[tuple[Step, str]]:
        parts = self.parts
        risk = parts.guardrail.risk(parts.model.vector(beginning(request)))
        refused = risk >= parts.guardrail.threshold
        yield {"step": "guard", "risk": round(risk, 4), "refused": refused}, self._say("refused")
        if refused:
            return
        turns = self.memory.recall(session, parts.policy.turns)
        yield {"step": "recall", "turns": len(turns)}, ""
        meaning = parts.model.vector(request)
        bent = bend(meaning, parts.adapter.down, parts.adapter.up)
        asked = Asked(request, meaning, bent, [turn.request for turn in turns])
        step, words = self._act(plan(asked, parts.tools, parts.index, parts.policy.thresholds))
        yield step, words
        self.memory.remember(session, Turn(request, words))
        yield {"step": "remember"}, words

    def _act(self, planned: Plan) -> tuple[Step, str]:
        match planned:
            case Call(tool, arguments, score):
                return self._call(tool, arguments, score)
            case Quote(section, score):
                step = {"step": "quote", "page": section.page, "score": round(score, 4)}
                return step, self._say("quote", page=section.page, title=section.title, text=section.text)
            case GiveUp(score):
                return {"step": "give up", "score": round(score, 4)}, self._say("unknown")

    def _call(self, tool: str, arguments: Mapping[str, str], score: float) -> tuple[Step, str]:
        step = {"step": "call", "tool": tool, "arguments": dict(arguments), "score": round(score, 4)}
        try:
            result = self.line.call(tool, arguments)
        except ToolError as e:
            return {**step, "failed": str(e)}, self._say("failed", why=str(e))
        values = {name: ", ".join(value) if isinstance(value, list) else value for name, value in result.items()}
        return {**step, "result": dict(result)}, self._say(tool, **values)

    def _say(self, prompt: str, **values: object) -> str:
        return Template(self.parts.prompts[prompt]).safe_substitute(values).strip()
