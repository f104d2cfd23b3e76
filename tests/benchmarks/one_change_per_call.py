"""A loop around the vendor's SDK: one change per call. `python -m … FILE`, tenant in SAIL_…."""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path

import sailpoint
from sailpoint.access_requests.models.access_request import AccessRequest

TOO_MANY = 429


def main(file: str) -> None:
    """Submit each row in its own call, and obey `Retry-After`."""
    params = sailpoint.ConfigurationParams()
    params.base_url = os.environ["SAIL_BASE_URL"]
    params.client_id = os.environ["SAIL_CLIENT_ID"]
    params.client_secret = os.environ["SAIL_CLIENT_SECRET"]
    api = sailpoint.AccessRequestsApi(sailpoint.ApiClient(sailpoint.Configuration(params)))
    with Path(file).open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            item = {"type": row["item_type"], "id": row["item_id"]}
            request = AccessRequest(
                requestedFor=[row["identity_id"]], requestType="GRANT_ACCESS", requestedItems=[item]
            )
            while True:
                try:
                    api.create_access_request_v1(request)
                except sailpoint.exceptions.ApiException as error:
                    if error.status != TOO_MANY:
                        raise
                    time.sleep(int(error.headers["Retry-After"]))
                else:
                    break


if __name__ == "__main__":
    main(*sys.argv[1:])
