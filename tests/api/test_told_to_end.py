"""The first process of the API hears SIGTERM, and hears it again."""

from __future__ import annotations

import threading

from api.__main__ import Server


def test_told_to_end_again_while_it_wakes_up_it_ends() -> None:
    server = Server("api.wsgi:application")
    server.signal_handler_interrupt()
    assert server.main_loop_interrupt.wait(5)
    again = threading.Thread(target=server.signal_handler_interrupt, daemon=True)
    # As whoever has waited for the event does when it is set, on its way out.
    with server.main_loop_interrupt._cond:
        again.start()
        again.join(5)
        assert not again.is_alive()
