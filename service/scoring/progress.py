"""How far a run is: a bar on a terminal, a line now and then elsewhere; and the summary at its end."""

import time
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.scoring.counts import Counts

LINE_EVERY_S = 10.0


class Shown(AbstractContextManager["Shown"]):
    """Shows progress on standard error.

    Args:
        console: Where to show it.
        total: Entries of the source.
        done: Those of parts that were finished before.
    """

    def __init__(self, console: Console, total: int, done: int) -> None:
        self.console = console
        self.total = total
        self.first = self.done = done
        self.failed = 0
        self.start = self.told = time.perf_counter()
        self.bar: Progress | None = None
        if console.is_terminal:
            columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
            self.bar = Progress(TextColumn("score"), *columns, console=console, speed_estimate_period=60)
            self.task = self.bar.add_task("score", total=total, completed=done, rate="")

    def __enter__(self) -> "Shown":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def add(self, entries: int, failed: int) -> None:
        """Tell that more entries are done, and how many of them failed."""
        self.done += entries
        self.failed += failed
        now = time.perf_counter()
        rate = (self.done - self.first) / max(now - self.start, 1e-9)
        if self.bar:
            shown = f"{rate:.0f} images/s" + (f", {self.failed} failed" if self.failed else "")
            self.bar.update(self.task, completed=self.done, rate=shown)
        elif now - self.told >= LINE_EVERY_S:
            self.told = now
            left = in_words((self.total - self.done) / max(rate, 1e-9))
            self.console.print(
                f"{self.done:,} of {self.total:,} ({100 * self.done / self.total:.0f} %), {rate:.0f} images/s, "
                f"about {left} left, {self.failed} failed",
                soft_wrap=True,
            )


def in_words(seconds: float) -> str:
    """A time in the two units that matter."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def summary(counts: Counts, done: int, seconds: float) -> str:
    """What all parts hold, and how fast this run was: ``done`` entries in so many seconds."""
    lines = [f"{counted(counts.images, 'image')}, {counts.failed:,} failed"]
    if counts.other:
        lines[0] += f", {counted(counts.other, 'file')} of other kinds passed over"
    if done:
        lines.append(f"{done / seconds:.1f} images/s in this run, {in_words(seconds)}")
    for heading, found in (("label", counts.labels), ("style", counts.verdicts)):
        lines += [f"{heading} {name or '(none)'}: {count:,}" for name, count in sorted(found.items())]
    return "\n".join(lines)
