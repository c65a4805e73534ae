"""A line to a server that can go dead: connections stay open, and nothing passes any more."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class MutingProxy:
    """Forwards what comes in on a port of its own, until it falls silent.

    Then it holds what is connected for ever, reads nothing and says nothing, as a cable that was
    pulled out; whoever connects anew is forwarded.
    """

    def __init__(self, port_of_server: int) -> None:
        self._server = ("127.0.0.1", port_of_server)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()
        self._mute: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever waits in accept or recv is not woken by close alone.
        for end in (self._listening, *self._live, *self._mute):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def fall_silent(self) -> int:
        """Go dead on all that is connected at this moment; return how many connections that is."""
        with self._lock:
            self._mute |= self._live
            number = len(self._live) // 2
            self._live.clear()
        return number

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                try:
                    server = socket.create_connection(self._server, timeout=5)
                except OSError:
                    caller.close()
                    continue
                server.settimeout(None)
                with self._lock:
                    self._live |= {caller, server}
                for ends in ((caller, server), (server, caller)):
                    threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while True:
                said = source.recv(2**16)
                with self._lock:
                    if source not in self._live:
                        break
                    target.sendall(said)
                if not said:
                    break
        with self._lock:
            if source in self._mute:
                return
            self._live -= {source, target}
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
