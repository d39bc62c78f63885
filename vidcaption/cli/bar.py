"""Progress bars, drawn with Rich on standard error."""

import sys
from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from vidcaption.output.text import printable


class Bar(Progress):
    """A progress bar on standard error that polls its position whenever it is drawn.

    ``headline`` returns the line above the bar, if there is one.
    """

    headline: Callable[[], str] = str

    def __init__(self, *, force_terminal: bool | None = None) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, force_terminal=force_terminal),
            transient=True,
            # On a terminal results are printed above the bar; in a file or pipe they are unchanged.
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        )
        self._position: Callable[[], float] = float

    def begin(self, label: str, total: float | None, position: Callable[[], float]) -> None:
        """Show another task; ``total`` is None if unknown."""
        for task in self.task_ids:
            self.remove_task(task)
        self._position = position
        self.add_task(printable(label), total=total)

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.task_ids:
            self.update(task, completed=self._position())
        if headline := self.headline():
            yield Text(printable(headline))
        yield from super().get_renderables()
