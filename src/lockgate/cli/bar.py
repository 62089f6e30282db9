"""How does a person see that long work goes on? A bar with bytes, speed and the time that is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(label: str, length: int | None, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error while the block runs; call what it gives with each number of bytes done."""
    if not shown:
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=length)
        yield lambda done: progress.advance(task, done)


@contextmanager
def steps(label: str, length: int, *, shown: bool) -> Iterator[Callable[[str], None]]:
    """Show a bar that moves a step each time it is told what was just done."""
    if not shown:
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=length)
        yield lambda done: progress.update(task, advance=1, description=f"{label}: {done}")
