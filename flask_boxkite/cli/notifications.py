"""The part of ``check`` about notifications: who is told, whether a restart forgets, and a message to see it arrive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from secrets import token_hex

from flask_boxkite.cli.probes import Outcome
from flask_boxkite.cli.setup import Setup
from flask_boxkite.monitoring.assembly import make_receivers
from flask_boxkite.notify.errors import ReceiverError
from flask_boxkite.notify.message import Notification
from flask_boxkite.notify.receivers import Receiver, WebhookReceiver
from flask_boxkite.web.access import PageAccess
from flask_boxkite.web.monitored_app import monitored_app

__all__ = ["notification_outcomes"]

_TIMEOUT_SECONDS = 10.0


def notification_outcomes(setup: Setup, *, sends: bool) -> Iterator[Outcome]:
    """Yield the outcomes of checking the notifications of a set-up.

    Args:
        setup: The set-up.
        sends: Whether to send a message that says that it is a test.

    Raises:
        ConfigError: The webhook takes none of our formats.
    """
    receivers, access = _of_app(setup)
    if not receivers:
        if sends:
            yield Outcome("problem", "There is no receiver of notifications.", "Set 'BOXKITE_WEBHOOK_URL'.")
        return
    for receiver in receivers:
        form = f", as {receiver.form}" if isinstance(receiver, WebhookReceiver) else ""
        yield Outcome("ok", f"Changes of verdict are told to {receiver}{form}.")
        if sends:
            yield _sent(receiver, setup)
    yield from _hints(setup, access)


def _of_app(setup: Setup) -> tuple[Sequence[Receiver], PageAccess | None]:
    state = monitored_app(setup.app) if setup.app is not None else None
    if state is None:
        return make_receivers(setup.settings, None), None
    return state.monitor.receivers, state.access


def _hints(setup: Setup, access: PageAccess | None) -> Iterator[Outcome]:
    settings = setup.settings
    if settings.state_dir is None and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        what = "A restart of the server forgets what was told, and begins to count afresh."
        yield Outcome("hint", what, "Set 'BOXKITE_STATE_DIR' to a directory on a local disk.")
    is_served = settings.dashboard_path is not None if access is None else access.is_deployed
    if settings.page_url is not None and not is_served:
        what = "'BOXKITE_PAGE_URL' is set, and messages link to it, but the drift page is off outside of debug mode."
        yield Outcome("hint", what, "Set 'BOXKITE_DASHBOARD_PATH', unless another server has the page.")
    if settings.page_url is None and is_served:
        what = "Messages have no link to the drift page, whose address for people is not known."
        yield Outcome("hint", what, "Set 'BOXKITE_PAGE_URL' to it.")


def _sent(receiver: Receiver, setup: Setup) -> Outcome:
    settings = setup.settings
    service = settings.name or (setup.app.name if setup.app is not None else "no app")
    message = Notification(token_hex(8), time.time(), service, settings.pod_name, (), settings.page_url, is_test=True)
    started = time.monotonic()
    try:
        receiver.send(message, _TIMEOUT_SECONDS)
    except ReceiverError as error:
        remedy = "Is the address right, and may this machine reach it? Proxies are read from HTTPS_PROXY and NO_PROXY."
        return Outcome("problem", f"A test message was not taken by {receiver}: {error}.", remedy)
    except Exception as error:  # of the user's function
        what = f"A test message was not taken: {receiver} raised {type(error).__name__}: {error}."
        return Outcome("problem", what, "Repair the function, which gets a 'Notification'.")
    took = (time.monotonic() - started) * 1000
    return Outcome("ok", f"A test message was taken by {receiver} in {took:.0f} ms.")
