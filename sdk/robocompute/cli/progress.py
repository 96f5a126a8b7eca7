"""Bars: how far a task is, how much of a file is there. They go to stderr, and only where somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from robocompute.documents import Document
from robocompute.files import Progress


def _bar(**options: Any) -> Any:
    return tqdm(file=sys.stderr, disable=not sys.stderr.isatty(), dynamic_ncols=True, **options)


def follow(updates: Iterable[Document], report: Callable[[Document], None]) -> Document | None:
    """Go through a task's updates with a bar of its percents; the last of them. `report` is told each where no bar is seen."""
    last: Document | None = None
    with _bar(total=100, unit="%", bar_format="{desc:10} {bar} {n:.0f} % [{elapsed}]") as bar:
        for last in updates:
            bar.set_description_str(str(last.status))
            bar.n = float(last.get("progress") or 0)
            bar.refresh()
            if bar.disable:
                report(last)
    return last


@contextmanager
def of_bytes(name: str) -> Iterator[Progress]:
    """What to call with the bytes of a file so far, and in all."""
    with _bar(unit="B", unit_scale=True, unit_divisor=1024, desc=name) as bar:

        def tell(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell
