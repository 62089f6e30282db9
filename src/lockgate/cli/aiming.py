"""Which endpoints does a person mean? Those that are named, each where a release serves, or all there are."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from lockgate.cli.speaking import ENDPOINT, TAG
from lockgate.errors import DeniedError, LockgateError
from lockgate.formats.names import Endpoint, Tag

if TYPE_CHECKING:
    from lockgate.core.endpoint import State
    from lockgate.core.fleet import Fleet
    from lockgate.loader.connection import Connection

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Aim:
    """What is meant: endpoints by name, or every one at which `release` serves, or without either all of them."""

    named: tuple[Endpoint, ...]
    release: Tag | None

    def by_server(self, connection: "Connection") -> list[Endpoint]:
        """List the endpoints that are meant, as the server knows them; raise `DeniedError` if there is none."""
        if self.named:
            return [*dict.fromkeys(self.named)]
        found = [state.endpoint for state in _states(connection) if self._means(state)]
        if not found:
            told = f"{self.release} serves nowhere" if self.release else "nothing serves anywhere"
            raise DeniedError(told, *self.finishing(connection))
        return found

    def finishing(self, connection: "Connection") -> list[str]:
        """Say where the release was replaced, and may finish what it has begun: an order there would stop another."""
        if self.release is None:
            return []
        try:
            found = [state.endpoint for state in _states(connection) if self._was_replaced(state)]
        except LockgateError as e:
            return [f"nobody knows where {self.release} was replaced and is finishing: {e}"]
        ends = f"`lockgate revoke {self.release}` ends it everywhere, for good"
        return [f"{where}: {self.release} was replaced there and may still be finishing: {ends}" for where in found]

    def by_fleet(self, fleet: "Fleet") -> list[Endpoint]:
        """List the endpoints that are meant, as a fleet file has them: what serves there it does not know."""
        if self.named:
            return [*dict.fromkeys(self.named)]
        if self.release is not None:
            raise click.UsageError("where a release serves only the server knows: name endpoints, or --all")
        found = sorted({endpoint for member in fleet.members for endpoint in member.endpoints})
        if not found:
            raise DeniedError("the fleet file names no endpoint")
        return found

    def _was_replaced(self, state: "State") -> bool:
        replaced = [slot.tag for slot in state.superseded or ()]
        return not state.suspended and self.release in replaced and not self._means(state)

    def _means(self, state: "State") -> bool:
        candidates = [state.rollout.candidate] if state.rollout else []
        serving = [slot.tag for slot in (*state.slots[-1:], *candidates)]
        return not state.suspended and bool(serving) and self.release in (None, *serving)


def aiming(command: Callable[P, R]) -> Callable[..., R]:
    """Give a command the ways to say which endpoints are meant; it gets the `aim`."""

    @functools.wraps(command)
    def aimed(*args: Any, where: tuple[Endpoint, ...], release: Tag | None, everything: bool, **kwargs: Any) -> R:
        if [bool(where), release is not None, everything].count(True) != 1:
            raise click.UsageError("name endpoints, or --release NAME@X.Y.Z, or --all")
        return command(*args, aim=Aim(where, release), **kwargs)  # type: ignore[arg-type]  # what the command takes

    options = (
        click.argument("where", metavar="[ENDPOINT]...", type=ENDPOINT, nargs=-1),
        click.option("--release", type=TAG, help="Every endpoint at which this release serves, or is a candidate."),
        click.option("--all", "everything", is_flag=True, help="Every endpoint at which anything serves."),
    )
    wrapped: Callable[..., R] = aimed
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def _states(connection: "Connection") -> "Iterator[State]":
    from lockgate.core.endpoint import State
    from lockgate.formats import plain

    after: object = ""
    while after is not None:
        page: Mapping[str, Any] = connection.get("/api/v1/endpoints", after=after)
        yield from (plain.from_plain(State, item, "endpoint") for item in page["items"])
        after = page["next"]
