"""The options of `access-batch sandbox`, and the settings of the embedded sandbox."""

from __future__ import annotations

import httpx

from batch.api.dialects import DIALECTS, TOKEN_PATH, Rate
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.settings import EMBEDDED_PEOPLE, SandboxSettings
from tests.end_to_end.program import start
from tests.sandbox.calls import NOW, grant, later, shown
from tests.waiting import LIMIT


def test_options_choose_the_directory_and_the_outcome_of_requests() -> None:
    options = ["--people", "30", "--approval-seconds", "0", "--provisioning-seconds", "0", "--rejected", "1"]
    process = start("sandbox", "--port", "0", *options, env={})
    try:
        assert process.stdout
        process.stdout.readline()
        exports = dict(word.split("=", 1) for word in process.stdout.readline().split()[1:])
        form = {
            "grant_type": "client_credentials",
            "client_id": exports["SAIL_CLIENT_ID"],
            "client_secret": exports["SAIL_CLIENT_SECRET"],
        }
        with httpx.Client(base_url=exports["SAIL_BASE_URL"], timeout=LIMIT, trust_env=False) as client:
            client.headers["Authorization"] = "Bearer " + client.post(TOKEN_PATH, data=form).json()["access_token"]
            paths = DIALECTS["v1"].paths
            people = client.get(paths.people, params={"count": "true"})
            assert people.headers["X-Total-Count"] == "30"
            role = client.get(paths.roles).json()[0]
            body = grant(people.json()[1]["id"], items=(role["id"],))
            assert client.post(paths.submit, json=body).status_code == 202
            assert client.post(paths.submit, json=grant()).status_code == 400
            rows: list[dict[str, str]] = []
            while not rows:  # they are visible after a second
                rows = client.get(paths.status).json()
            assert [(row["name"], row["state"]) for row in rows] == [(role["name"], "REJECTED")]
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT)


def test_odd_people_and_items_need_a_directory() -> None:
    process = start("sandbox", "--port", "0", "--odd", env={})
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert "Add --people with a number." in said


def test_the_embedded_sandbox_has_named_people_accepts_all_other_ids_and_provisions() -> None:
    settings = SandboxSettings.embedded(Rate(requests=7, seconds=1))
    assert settings.rate == Rate(requests=7, seconds=1)
    tenant = settings.new_tenant()
    assert tenant.known.directory == make_directory(EMBEDDED_PEOPLE)
    assert tenant.submit(grant(tenant.known.directory.people[0].id, "f" * 32), NOW).status == 202
    assert [row["state"] for row in shown(tenant, later(10))] == ["REQUEST_COMPLETED"] * 2
