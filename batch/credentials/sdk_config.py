"""`./config.json`, as the vendor's Python SDK reads it and its CLI writes it (`sail sdk init config`).

Facts from the SDK's source (github.com/sailpoint-oss/python-sdk, `sailpoint/configuration.py`): the file stands in the
current folder and holds `BaseURL`, `ClientId` and `ClientSecret`, all three.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from batch.credentials.given import read_small, warn_of_readers
from batch.credentials.logins import Login
from batch.errors import SettingsError

SDK_FILE = Path("config.json")
SDK_SOURCE = "./config.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class SdkConfig:
    """What the SDK's file holds.

    Attributes:
        base_url: The tenant.
        login: Client and secret.
        notices: What the user should know of the file.
    """

    base_url: str
    login: Login
    notices: tuple[str, ...] = ()


def sdk_config() -> SdkConfig | None:
    """The SDK's file in the current folder; None where there is none, or another program's of the same name.

    Raises:
        SettingsError: It can't be read.
    """
    next_step = "Mend it, or set SAIL_BASE_URL, SAIL_CLIENT_ID and SAIL_CLIENT_SECRET: then it is not read."
    read = read_small(SDK_FILE, next_step=next_step)
    if read is None:
        return None
    text, shared = read
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise SettingsError(f"{SDK_SOURCE} is no JSON.", next_step=next_step) from None
    if not isinstance(document, dict):
        return None
    base_url, client_id, secret = (document.get(name, "") for name in ("BaseURL", "ClientId", "ClientSecret"))
    if not all(isinstance(value, str) and value for value in (base_url, client_id, secret)):
        if base_url or client_id or secret:
            raise SettingsError(
                f"{SDK_SOURCE} needs BaseURL, ClientId and ClientSecret, each a text.", next_step=next_step
            )
        return None
    return SdkConfig(
        base_url=base_url,
        login=Login(client_id, SecretStr(secret)),
        notices=(warn_of_readers(SDK_FILE),) if shared else (),
    )
