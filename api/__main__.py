"""Serve the API with granian and the settings that belong to it: `python -m api`."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from api import pace
from api.app import CHAIRS, EXPORTS, READERS, REFUSED
from shared.broker import Broker
from shared.errors import SettingsError
from shared.settings import Settings

SPARE_THREADS = 32
BEAT_S = 2.0
# How long requests in flight may take once we are told to end: compose kills us after 30 s.
DRAIN_S = 25
# How many callers may be connected at a time, those who keep a connection for later among them: the
# next one waits, whatever he wants. As many may wait as Linux lets.
MOST_CONNECTIONS = 8192
QUEUE = 4096
# What else is open: the database's files, a batch's results, the broker.
OTHER_DESCRIPTORS = 512
# A slow sender of headers is shown the door; after them, `api.pace` takes over.
HEADER_TIMEOUT_MS = 15_000
# What is read of a connection before anybody asks for it: its headers, which may be so long. A
# thousand strangers take a sixth of what they would take by default.
BUFFER_BYTES = 64 * 1024

# From malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


class Server(Granian):  # type: ignore[misc, valid-type]
    """granian's, which may be told to end more than once."""

    def signal_handler_interrupt(self, *_args: Any, **_kwargs: Any) -> None:
        """Have the main thread end, which waits for this."""
        self.interrupt_signal = True
        # By another thread: it is the main thread that handles signals, wherever it is, and as it
        # wakes up from one it holds the lock of the event that it has waited for. Setting that
        # event again, it would wait for that lock for ever.
        threading.Thread(target=self.main_loop_interrupt.set, daemon=True).start()


def load(_target: str) -> Callable[..., Any]:
    """What granian calls in the process that will serve."""
    _give_memory_back()
    from api.routes.desk import desk_of
    from api.wsgi import application

    desk = desk_of(application)
    _be_heard(desk.broker)
    _on_signal(desk.waiting_room.close)
    # What was imported stays: to look through it for garbage takes a tenth of a second now and
    # then, in which nobody is answered.
    gc.freeze()
    return pace.watch(Settings.from_environ().port, application)


def _be_heard(broker: Broker) -> None:
    """Have the doctor know of this process, until it ends."""
    name = f"{os.getpid()}@{socket.gethostname()}"

    def beat() -> None:
        while True:
            # Without a broker nobody hears, and nobody needs to be told by us.
            with suppress(redis.RedisError):
                broker.beat("api", name)
            time.sleep(BEAT_S)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


def _on_signal(act: Callable[[], None]) -> None:
    """Act on the first signal that Python handles, whoever handles it."""
    # granian puts its own handlers in place after this; those who wait for news would keep it from
    # ending. A thread, since a handler must not take locks that its own thread may hold.
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def listen() -> None:
        os.read(woken, 1)
        act()

    threading.Thread(target=listen, name="goodbye", daemon=True).start()


def _give_memory_back() -> None:
    """Have large arrays returned to the system as soon as they are freed, where glibc can."""
    # By itself it takes each large array that is freed as a hint to keep the next one, in each of
    # its many arenas: after a few large uploads the process would stay at its peak. What is
    # returned has to be fetched again page by page, which for arrays of ten seconds of twelve
    # leads takes as long as reading them: these, and as much as holds a few, are kept.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**20)
        mallopt(_M_TRIM_THRESHOLD, 2**22)
        mallopt(_M_ARENA_MAX, 4)


def take_descriptors() -> int:
    """Take as many descriptors as are needed and may be had; how many connections they allow."""
    wanted = MOST_CONNECTIONS + OTHER_DESCRIPTORS
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (sys.maxsize if of == resource.RLIM_INFINITY else of for of in limits)
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, limits[1]))
    return min(MOST_CONNECTIONS, max(soft - OTHER_DESCRIPTORS, soft // 2))


if __name__ == "__main__":
    try:
        settings = Settings.from_environ(needs=["ISOLINE_ADMIN_TOKEN", "ISOLINE_REDIS_URL"])
    except SettingsError as error:
        sys.exit(str(error))
    # Forked with its parent's handlers, a worker that is told to end while it still imports would
    # not hear it, and its parent would wait for requests that there are none of.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    Server(
        "api.wsgi:application",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.api_processes,
        respawn_failed_workers=True,
        blocking_threads=READERS + REFUSED + CHAIRS + EXPORTS + SPARE_THREADS,
        workers_kill_timeout=DRAIN_S,
        backlog=QUEUE,
        backpressure=take_descriptors(),
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=BUFFER_BYTES
        ),
        log_level=LogLevels.error,
    ).serve(target_loader=load)
