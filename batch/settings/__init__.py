"""Settings: one frozen value merged from flags, environment and config file, in that order."""

from __future__ import annotations

from batch.settings.guards import GuardSettings
from batch.settings.loading import load
from batch.settings.model import APPLICATION, CONSENTS, Credentials, OutFormat, Settings, SettingSources
from batch.settings.option import Option, options_of

__all__ = [
    "APPLICATION",
    "CONSENTS",
    "Credentials",
    "GuardSettings",
    "Option",
    "OutFormat",
    "SettingSources",
    "Settings",
    "load",
    "options_of",
]
