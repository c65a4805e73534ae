"""Something that is done again and again while somebody waits for something else."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def meanwhile(act: Callable[[], None], every_s: float) -> Iterator[None]:
    """Act in another thread as long as the block lasts; behind it, the last act is over as well.

    Parameters
    ----------
    act : raises nothing: there would be nobody to hear of it.
    """
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.wait(every_s):
            act()

    # What it logs belongs to this request.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(go_on,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
