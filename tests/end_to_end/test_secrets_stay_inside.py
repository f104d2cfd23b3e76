"""Whatever happens to a run, nothing of what it leaves behind holds the secret or a token, in any form."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.echoing_tenant import SUBMITS, EchoingTenant, echoing_tenant
from tests.end_to_end.program import FAST, grant, start, write_rows
from tests.waiting import LIMIT

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

TALKING: list[tuple[str, ...]] = [(), ("--json",), ("--quiet",), ("--verbose",), ("--log-file", "{folder}/run.log")]
"""Ways in which the program says more or less; every option that makes it say something else belongs here."""

FAILING_LIBRARY = '''
"""Stands in the way of a library, as a fault of its own would: it fails with all that it knows."""
import httpx

async def send(self, request, **_):
    if request.url.path != "/oauth/token":
        raise RuntimeError(f"{dict(request.headers)} {request.content}")
    return await sound(self, request, **_)

sound, httpx.AsyncClient.send = httpx.AsyncClient.send, send
'''


def environment(tenant: EchoingTenant) -> dict[str, str]:
    return {
        "SAIL_BASE_URL": tenant.url,
        "SAIL_CLIENT_ID": "client",
        "SAIL_CLIENT_SECRET": tenant.secret,
        "ACCESS_BATCH_RATE": FAST,
        "ACCESS_BATCH_SETTLE_AFTER": "1",
        "PYTHONASYNCIODEBUG": "1",
        "PYTHONFAULTHANDLER": "1",
    }


def begun(folder: Path, tenant: EchoingTenant, *more: str, **env: str) -> subprocess.Popen[str]:
    """A run of many requests."""
    path = write_rows(folder / "a.csv", [grant(person, person) for person in range(60)])
    words = [word.replace("{folder}", str(folder)) for word in more]
    return start("submit", path, "--yes", *words, env={**environment(tenant), **env})


def ended(process: subprocess.Popen[str], folder: Path, tenant: EchoingTenant) -> str:
    """What the program said, once it is proven that it and all that it wrote keep the secrets."""
    out, err = process.communicate(timeout=LIMIT)
    left = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert any(path.suffix == ".db" for path in left)
    left |= {folder / "stdout": out.encode(), folder / "stderr": err.encode()}
    found = [(path.name, form) for path, content in left.items() for form in tenant.forms() if form in content]
    assert found == []
    return out + err


@pytest.mark.parametrize("how", TALKING, ids=" ".join)
def test_of_a_run_that_fails_in_many_ways(how: tuple[str, ...], tmp_path: Path) -> None:
    with echoing_tenant() as tenant:
        process = begun(tmp_path, tenant, *how)
        said = ended(process, tmp_path, tenant)
        assert process.returncode == 4, said
        assert tenant.posts >= len(SUBMITS)
        assert len(tenant.tokens) > 1
    assert "[hidden]" in "".join(path.read_text() for path in tmp_path.rglob("results.csv"))


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "302 Found"])
def test_of_a_run_whose_credentials_are_refused(status: str, tmp_path: Path) -> None:
    with echoing_tenant(to_login=status) as tenant:
        process = begun(tmp_path, tenant)
        said = ended(process, tmp_path, tenant)
        assert process.returncode == 4, said
        assert tenant.posts == 0


@pytest.mark.parametrize("how", TALKING[:2], ids=" ".join)
@pytest.mark.parametrize("to_login", ["200 OK", "401 Unauthorized"])
def test_of_a_doctor_who_looks_at_everything(how: tuple[str, ...], to_login: str, tmp_path: Path) -> None:
    with echoing_tenant(to_login=to_login) as tenant:
        process = start("doctor", *how, env=environment(tenant))
        said = ended(process, tmp_path, tenant)
        assert process.returncode == 3, said
    assert "[hidden]" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("twice", [False, True])
def test_of_a_run_that_is_stopped(number: signal.Signals, twice: bool, tmp_path: Path) -> None:  # noqa: FBT001
    with echoing_tenant(submits=("202 Accepted", "400 Bad Request", "500 Server Error")) as tenant:
        process = begun(tmp_path, tenant)
        while tenant.posts < 12:
            assert process.poll() is None, process.communicate()
        process.send_signal(number)
        if twice:
            process.send_signal(number)
        ended(process, tmp_path, tenant)
        assert process.returncode in {130, -number}


def test_of_a_run_that_crashes_with_the_token_in_its_hands(tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "sitecustomize.py").write_text(FAILING_LIBRARY)
    with echoing_tenant() as tenant:
        process = begun(tmp_path, tenant, PYTHONPATH=str(library))
        said = ended(process, tmp_path, tenant)
        assert process.returncode == 1
        assert tenant.posts == 0
    assert "a bug: RuntimeError" in said
