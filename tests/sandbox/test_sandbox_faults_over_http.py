"""Each fault as a client sees it over a real connection."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from batch.api.dialects import DIALECTS, Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.sandbox.calls import client_of, grant, operator_of
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

BETA = DIALECTS["beta"]
BODY = grant()
READ_TIMEOUT = 0.2


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxSettings(visibility_delay=0, retry_after=3)) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with client_of(sandbox) as client:
        yield client


@pytest.mark.parametrize(("fault", "accepted"), [(Fault.DROP_BEFORE, 0), (Fault.DROP_AFTER, 1)])
def test_a_dropped_connection_is_closed_without_an_answer(
    sandbox: RunningSandbox, client: httpx.Client, fault: Fault, accepted: int
) -> None:
    sandbox.faults.add(fault)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        client.post(BETA.paths.submit, json=BODY)
    assert len(sandbox.tenant.audit.accepted) == accepted
    assert client.post(BETA.paths.submit, json=BODY).status_code == 202


@pytest.mark.parametrize(("fault", "accepted"), [(Fault.HANG_BEFORE, 0), (Fault.HANG_AFTER, 1)])
def test_a_hanging_connection_ends_with_the_clients_timeout(
    sandbox: RunningSandbox, client: httpx.Client, fault: Fault, accepted: int
) -> None:
    sandbox.faults.add(fault)
    with pytest.raises(httpx.ReadTimeout):
        client.post(BETA.paths.submit, json=BODY, timeout=httpx.Timeout(LIMIT, read=READ_TIMEOUT))
    wait_until(lambda: len(sandbox.tenant.audit.accepted) == accepted)
    assert client.post(BETA.paths.submit, json=BODY).status_code == 202


def test_a_hang_ends_when_the_server_stops() -> None:
    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(running_sandbox())
        client = stack.enter_context(client_of(sandbox))
        sandbox.faults.add(Fault.HANG_AFTER)
        attempt = pool.submit(client.post, BETA.paths.submit, json=BODY, timeout=LIMIT)
        wait_until(lambda: sandbox.tenant.audit.accepted)
        stack.pop_all().__exit__(None, None, None)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            attempt.result()


def test_a_hang_that_would_begin_while_the_server_stops_ends_at_once() -> None:
    # The latency is longer than uvicorn's interval between checks whether to stop.
    settings = SandboxSettings(latency=(0.3, 0.3))
    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(running_sandbox(settings))
        client = stack.enter_context(client_of(sandbox))
        sandbox.faults.add(Fault.HANG_BEFORE)
        attempt = pool.submit(client.post, BETA.paths.submit, json=BODY, timeout=LIMIT)
        wait_until(lambda: sandbox.tenant.audit.posts)
        stack.pop_all().__exit__(None, None, None)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            attempt.result()


@pytest.mark.parametrize(
    ("fault", "status", "accepted", "retry_after"),
    [
        (Fault.ERROR_500_BEFORE, 500, 0, None),
        (Fault.ERROR_500_AFTER, 500, 1, None),
        (Fault.ERROR_504_BEFORE, 504, 0, None),
        (Fault.ERROR_504_AFTER, 504, 1, None),
        (Fault.UNAVAILABLE_503, 503, 0, "3"),
        (Fault.UNAVAILABLE_503_BARE, 503, 0, None),
        (Fault.THROTTLED_429, 429, 0, "3"),
        (Fault.UNAUTHORIZED_401, 401, 0, None),
        (Fault.UNREADABLE_202, 202, 1, None),
    ],
)
def test_a_fault_with_an_answer_affects_one_attempt_only(
    sandbox: RunningSandbox, client: httpx.Client, *, fault: Fault, status: int, accepted: int, retry_after: str | None
) -> None:
    sandbox.faults.add(fault)
    answer = client.post(BETA.paths.submit, json=BODY)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after)
    assert len(sandbox.tenant.audit.accepted) == accepted
    assert sandbox.tenant.audit.throttled == (status == 429)
    following = client.post(BETA.paths.submit, json=BODY)
    assert (following.status_code, following.json()) == (202, {})


def test_html_answers_are_not_json(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.ERROR_504_AFTER, Fault.UNAVAILABLE_503_BARE, Fault.UNREADABLE_202)
    for _ in range(3):
        answer = client.post(BETA.paths.submit, json=BODY)
        assert answer.headers["Content-Type"].startswith("text/html")
        with pytest.raises(ValueError, match="Expecting value"):
            answer.json()


def test_an_unreadable_202_does_not_replace_a_refusal(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.UNREADABLE_202)
    assert client.post(BETA.paths.submit, json={}).status_code == 400


def test_only_submit_calls_have_faults(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.ERROR_500_BEFORE)
    assert client.get(BETA.paths.status).status_code == 200
    assert sandbox.faults.pending == 1


def test_another_process_can_queue_faults(sandbox: RunningSandbox, client: httpx.Client) -> None:
    with operator_of(sandbox) as operator:
        answer = operator.post("/sandbox/faults", json=[None, "error_500_before"])
    assert (answer.status_code, answer.json()) == (200, {"pending": 2})
    assert [client.post(BETA.paths.submit, json=BODY).status_code for _ in range(3)] == [202, 500, 202]


@pytest.mark.parametrize("wrong", [["earthquake"], "drop_after", 7, [["drop_after"]], {"drop_after": 1}])
def test_a_list_with_an_unknown_fault_is_refused_as_a_whole(sandbox: RunningSandbox, wrong: object) -> None:
    with operator_of(sandbox) as operator:
        answer = operator.post("/sandbox/faults", json=wrong)
    assert answer.status_code == 400
    assert "earthquake" not in answer.text
    assert sandbox.faults.pending == 0


def test_chance_faults_follow_the_settings() -> None:
    settings = SandboxSettings(fault_probability=1.0, fault_kinds=[Fault.UNAVAILABLE_503_BARE])
    with running_sandbox(settings) as sandbox, client_of(sandbox) as client:
        assert [client.post(BETA.paths.submit, json=BODY).status_code for _ in range(3)] == [503, 503, 503]
        assert sandbox.tenant.audit.accepted == []


def test_a_throttled_attempt_leaves_the_fault_for_the_next() -> None:
    settings = SandboxSettings(rate=Rate(requests=1, seconds=60))
    with running_sandbox(settings) as sandbox, client_of(sandbox) as client:
        client.post(BETA.paths.submit, json=BODY)
        sandbox.faults.add(Fault.ERROR_500_BEFORE)
        assert client.post(BETA.paths.submit, json=BODY).status_code == 429
        assert sandbox.faults.pending == 1
