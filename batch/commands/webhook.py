"""Telling a webhook how a command ends, whatever ends it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batch.errors import AccessBatchError, DeclinedError
from batch.report.terminal import error_as_json
from batch.tenant.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.commands.screen import Screen
    from batch.errors import StoppedError
    from batch.settings import Settings

END, STOP, WAVE = "end", "stop", "wave"
"""The events: the command has finished, it stopped early, or a wave begins."""


@contextmanager
def webhook_of(settings: Settings, screen: Screen) -> Iterator[Webhook]:
    """The webhook that is set. It also learns of an error that ends the block, and then has a few seconds to answer.

    Raises:
        SettingsError: Its address can't be used.
    """
    webhook = Webhook(settings.webhook.get_secret_value(), ca_file=settings.ca_file)
    try:
        yield webhook
    except DeclinedError:
        raise
    except AccessBatchError as error:
        webhook.tell(STOP, error_as_json(error.exit_code, error.message, error.next_step, error.known))
        raise
    finally:
        for line in webhook.close():
            screen.complain(line)


def with_stop(document: dict[str, Any], stopped: StoppedError | None) -> dict[str, Any]:
    """A command's answer in JSON, with the error that stopped it early, if one did."""
    if stopped is None:
        return document
    return document | error_as_json(stopped.exit_code, stopped.message, stopped.next_step)
