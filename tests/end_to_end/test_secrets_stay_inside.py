"""No output or file of a run contains the secret or a token in any form, even if the run fails."""

from __future__ import annotations

import base64
import signal
from typing import TYPE_CHECKING

import pytest

from batch.tenant.disguises import RUN
from batch.tenant.secrets import Secrets
from batch.text import HIDDEN
from tests.end_to_end.echoing_tenant import SUBMITS, EchoingTenant, echoing_tenant
from tests.end_to_end.program import FAST, fork, grant, identity, start, write_rows
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.end_to_end.program import Forked, Program

OUTPUT_OPTIONS: list[tuple[str, ...]] = [
    (),
    ("--json",),
    ("--quiet",),
    ("--verbose",),
    ("--log-file", "{folder}/run.log"),
]
"""The options that change what the program prints or logs; add every new option of this kind."""

FAILING_LIBRARY = '''
"""Makes a library fail with an error that contains everything it knows."""
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


def command(folder: Path, *more: str) -> list[str]:
    """A run of many requests."""
    path = write_rows(folder / "a.csv", [grant(person, person) for person in range(15)])
    return ["submit", str(path), "--yes", *(option.replace("{folder}", str(folder)) for option in more)]


def output_of(process: Forked | subprocess.Popen[str], folder: Path, tenant: EchoingTenant) -> str:
    """The output of the program, after a check that no output and no file contains a secret."""
    out, err = process.communicate(timeout=LIMIT)
    left = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert any(path.suffix == ".db" for path in left)
    left |= {folder / "stdout": out.encode(), folder / "stderr": err.encode()}
    found = [(path.name, form) for path, content in left.items() for form in tenant.forms() if form in content]
    assert found == []
    return out + err


@pytest.mark.thorough
@pytest.mark.parametrize("how", OUTPUT_OPTIONS, ids=" ".join)
def test_a_run_that_fails_in_many_ways_leaks_no_secret(how: tuple[str, ...], tmp_path: Path) -> None:
    with echoing_tenant() as tenant:
        process = fork(*command(tmp_path, *how), env=environment(tenant))
        output = output_of(process, tmp_path, tenant)
        assert process.returncode == 4, output
        assert tenant.posts >= len(SUBMITS)
        assert len(tenant.tokens) > 1
    assert HIDDEN in "".join(path.read_text() for path in tmp_path.rglob("results.csv"))


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "302 Found"])
def test_a_run_with_refused_credentials_leaks_no_secret(status: str, tmp_path: Path) -> None:
    with echoing_tenant(to_login=status) as tenant:
        process = fork(*command(tmp_path), env=environment(tenant))
        output = output_of(process, tmp_path, tenant)
        assert process.returncode == 4, output
        assert tenant.posts == 0


@pytest.mark.parametrize("how", OUTPUT_OPTIONS[:2], ids=" ".join)
@pytest.mark.parametrize("to_login", ["200 OK", "401 Unauthorized"])
def test_doctor_leaks_no_secret(how: tuple[str, ...], to_login: str, tmp_path: Path) -> None:
    with echoing_tenant(to_login=to_login) as tenant:
        process = fork("doctor", *how, env=environment(tenant))
        output = output_of(process, tmp_path, tenant)
        assert process.returncode == 3, output
    assert HIDDEN in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("twice", [False, True])
def test_a_stopped_run_leaks_no_secret(number: signal.Signals, twice: bool, tmp_path: Path) -> None:  # noqa: FBT001
    with echoing_tenant(submits=("202 Accepted", "400 Bad Request", "500 Server Error")) as tenant:
        process = fork(*command(tmp_path), env=environment(tenant))
        wait_until(lambda: tenant.posts >= 4, process)
        process.send_signal(number)
        if twice:
            process.send_signal(number)
        output_of(process, tmp_path, tenant)
        assert process.returncode in {130, -number}


def test_a_run_that_crashes_while_using_the_token_leaks_no_secret(tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "sitecustomize.py").write_text(FAILING_LIBRARY)
    with echoing_tenant() as tenant:
        process = start(*command(tmp_path), env={**environment(tenant), "PYTHONPATH": str(library)})
        output = output_of(process, tmp_path, tenant)
        assert process.returncode == 1
        assert tenant.posts == 0
    assert "a bug: RuntimeError" in output


def test_no_text_of_a_tenant_brings_a_disguised_secret_into_a_file_or_onto_the_screen(
    program: Program, tmp_path: Path
) -> None:
    rows = [{"identity": identity(person), **grant(person, person)} for person in range(12)]
    rows += [{**rows[0], "identity": "Ann Lee"}]
    path = write_rows(tmp_path / "a.csv", [{key: row[key] for key in row if key != "identity_id"} for row in rows])
    with echoing_tenant(works=True) as tenant:
        env = environment(tenant)
        log = ("--log-file", tmp_path / "run.log")
        said = [program("submit", path, "--yes", "--verbose", *log, env=env)]
        said += [program("track", "--track-for", "0", env=env), program("status", env=env)]
    assert tenant.posts >= 3
    known = Secrets()
    known.learn(tenant.secret)
    texts = {"the screen": "".join(ended.out + ended.err for ended in said)}
    texts |= {one.name: one.read_bytes().decode("latin-1") for one in tmp_path.rglob("*") if one.is_file()}
    forms = (tenant.secret, tenant.secret.encode().hex(), base64.b64encode(tenant.secret.encode()).decode())
    runs = {form[at : at + RUN].lower() for form in forms for at in range(len(form) - RUN + 1)}
    assert {name: run for name, text in texts.items() for run in runs if run in text.lower()} == {}
    lines = {name: line for name, text in texts.items() for line in text.splitlines() if known.hide(line) != line}
    assert lines == {}
    assert HIDDEN in texts["the screen"]
    assert HIDDEN in "".join(text for name, text in texts.items() if name.startswith("rejected"))
    assert {name for name in texts if name.endswith((".db", ".log"))} >= {"run.log"}
