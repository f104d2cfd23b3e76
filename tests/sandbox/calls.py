"""Bodies, clients and answers of calls to the simulated tenant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from batch.api.dialects import EXPERIMENTAL_HEADER, TOKEN_PATH
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from batch.sandbox.answers import Answer
    from batch.sandbox.server import RunningSandbox
    from batch.sandbox.tenant import SimulatedTenant

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """NOW plus so many seconds."""
    return NOW + timedelta(seconds=seconds)


def grant(*identities: str, items: tuple[str, ...] = ("r1",), **fields: object) -> dict[str, Any]:
    """A grant of roles; `fields` are fields of each item."""
    roles = [{"type": "ROLE", "id": item, **fields} for item in items]
    return {"requestedFor": list(identities or ("i1",)), "requestedItems": roles}


def revoke(identity: str = "i1", item: str = "r1", **fields: object) -> dict[str, Any]:
    """A revoke of one role."""
    return grant(identity, items=(item,), comment="leaver", **fields) | {"requestType": "REVOKE_ACCESS"}


def quoted(text: str) -> str:
    """Text as a quoted value of a filter or a query."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def text_of(answer: Answer, status: int = 400) -> str:
    """The cause in an error."""
    assert answer.status == status
    body: Any = answer.body
    return str(body["messages"][0]["text"])


def entries_of(answer: Answer) -> list[dict[str, Any]]:
    """The entries of a page."""
    assert answer.status == 200, answer.body
    body: Any = answer.body
    return list(body)


def shown(tenant: SimulatedTenant, at: datetime) -> list[dict[str, Any]]:
    """The rows of the status list, oldest first."""
    return [row.as_json(at) for row in tenant.visible_rows(at)]


def credentials(sandbox: RunningSandbox, **fields: str) -> dict[str, str]:
    """The form of a token call, with some fields replaced."""
    return {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
    } | fields


def operator_of(sandbox: RunningSandbox) -> httpx.Client:
    """A client with the token that a sandbox prints, which opens its audit log and its faults."""
    headers = {"Authorization": f"Bearer {sandbox.operator_token}"}
    return httpx.Client(base_url=sandbox.base_url, headers=headers, timeout=LIMIT, trust_env=False)


def client_of(sandbox: RunningSandbox) -> httpx.Client:
    """A client with a new token."""
    answer = httpx.post(sandbox.base_url + TOKEN_PATH, data=credentials(sandbox), timeout=LIMIT, trust_env=False)
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}", EXPERIMENTAL_HEADER: "true"}
    return httpx.Client(base_url=sandbox.base_url, headers=headers, timeout=LIMIT, trust_env=False)
