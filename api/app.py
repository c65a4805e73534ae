"""Puts the door together: wiring, and nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import structlog
import uuid_utils
from flask import Flask, Response, g, request
from sqlalchemy import Engine

from api.bell import Bell
from api.bodies import Budget
from api.clerks import Clerks
from api.lane import Lane
from api.ledger import Ledger
from api.places import Places
from api.problems import MEDIA_TYPE
from api.routes import refusals
from api.routes.batches import batches
from api.routes.catalogue import insights
from api.routes.desk import Desk
from api.routes.docs import docs
from api.routes.ecgs import ecgs
from api.routes.health import health
from api.routes.recompute import recompute
from api.routes.users import users
from api.waiting import WaitingRoom
from shared import database
from shared.broker import Broker
from shared.errors import SettingsError
from shared.jobs import celery_app
from shared.migrations.revisions import newest_revision
from shared.settings import Settings

# How many bodies may be on their way in, of how many for which there is no place a little more is
# taken, how many callers may wait for news, and how many exports may be on their way out, of all
# and of one user, at the same time. The server has a thread for each of them and some to spare, so
# that /health/ping, which is none of these, always finds one.
READERS = 256
REFUSED = 128
CHAIRS = 32
EXPORTS = 16
EXPORTS_OF_ONE = 4

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")

log = structlog.get_logger(__name__)


def create_app(
    settings: Settings,
    *,
    engine: Engine | None = None,
    ring: Callable[[Sequence[str], str], None] | None = None,
) -> Flask:
    """Make the WSGI application.

    Parameters
    ----------
    settings : with an admin token and a Redis URL.
    engine : a database of your own instead of the configured one.
    ring : what to do with ids that have just been committed, and the name of the queue they are
        for, instead of ringing.
    """
    if settings.admin_token is None or settings.redis_url is None:
        raise SettingsError("The API needs ISOLINE_ADMIN_TOKEN and ISOLINE_REDIS_URL.")
    app = Flask("api")
    engine = engine or database.connect(settings.database_url)
    broker = Broker(settings.redis_url)
    # An address with an empty part is a wrong one, and not another way to write a right one.
    app.url_map.merge_slashes = False
    app.extensions["isoline"] = Desk(
        settings=settings,
        engine=engine,
        ledger=Ledger(engine),
        ring=ring or Bell(celery_app(settings.redis_url), broker).ring,
        broker=broker,
        budget=Budget(readers=READERS, refused=REFUSED, most_bytes=2 * settings.max_upload_bytes),
        waiting_room=WaitingRoom(CHAIRS, broker.news),
        clerks=Clerks(),
        lane=Lane(),
        exports=Places(EXPORTS, EXPORTS_OF_ONE),
        newest_revision=newest_revision(),
    )
    refusals.register(app)
    for blueprint in (health, users, ecgs, batches, insights, recompute, docs):
        app.register_blueprint(blueprint)
    app.before_request(_begin)
    app.after_request(_end)
    return app


def _begin() -> None:
    asked = request.headers.get("X-Request-ID", "")
    g.request_id = asked if _SANE_REQUEST_ID.fullmatch(asked) else str(uuid_utils.uuid7())
    g.began_s = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    if response.mimetype in {"application/json", MEDIA_TYPE}:
        # Health data and tokens are nobody else's to keep.
        response.headers.setdefault("Cache-Control", "no-store")
    # Those who ask whether we live ask all the time. The rule, not the path: a path may hold a
    # username.
    say = log.debug if request.endpoint == "health.ping" else log.info
    say(
        "answered",
        method=request.method,
        route=str(request.url_rule or "?"),
        status=response.status_code,
        took_ms=round(1000 * (time.perf_counter() - g.began_s), 2),
    )
    return response
