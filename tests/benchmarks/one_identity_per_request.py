"""A loop around the API: one identity per request. `python -m … FILE`, tenant in SAIL_…."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections import defaultdict
from http import HTTPStatus
from pathlib import Path

import httpx

MOST_ITEMS = 25


def main(file: str) -> None:
    """Submit each identity's items together, and obey `Retry-After`."""
    items_by_identity = defaultdict(list)
    with Path(file).open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            items_by_identity[row["identity_id"]].append({"type": row["item_type"], "id": row["item_id"]})
    with httpx.Client(base_url=os.environ["SAIL_BASE_URL"]) as client:
        form = {
            "grant_type": "client_credentials",
            "client_id": os.environ["SAIL_CLIENT_ID"],
            "client_secret": os.environ["SAIL_CLIENT_SECRET"],
        }
        token = client.post("/oauth/token", data=form).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        for identity, items in items_by_identity.items():
            for start in range(0, len(items), MOST_ITEMS):
                body = {
                    "requestedFor": [identity],
                    "requestType": "GRANT_ACCESS",
                    "requestedItems": items[start : start + MOST_ITEMS],
                }
                while (
                    answer := client.post("/beta/access-requests", json=body)
                ).status_code == HTTPStatus.TOO_MANY_REQUESTS:
                    time.sleep(int(answer.headers["Retry-After"]))
                answer.raise_for_status()


if __name__ == "__main__":
    main(*sys.argv[1:])
