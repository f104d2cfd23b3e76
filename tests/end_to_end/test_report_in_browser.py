"""The report in a real browser without a network: no error, no request, nothing wider than a phone."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from batch.report.run_report import write_report
from tests.report.run_records import done, event, run_of
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = 360
MAKER = (".google.com", ".googleapis.com", ".gvt1.com")

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to open the report with"),
]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    long = "a-word-without-end" * 20
    changes = [done(n, n, tenant_state="REQUEST_COMPLETED", who=f"Olga {n}", comment=long) for n in range(1, 40)]
    changes += [done(n, n, tenant_state="EXECUTING", who=f"Kate {n}", said=long) for n in range(40, 60)]
    changes += [done(n, n, state="REFUSED") for n in range(60, 80)]
    events = [event(n, n, "claimed", f"2026-11-23T10:00:{n % 60:02}.000Z") for n in range(1, 80)]
    events += [event(100 + n, n, "refused", reason=f"the tenant answered 400: {long}") for n in range(60, 80)]
    place = tmp_path / "report.html"
    write_report(place, run_of(changes, events, about={"inputs": (long,)}), pytest.fail)
    return place


Look = tuple[str, list[str], list[str]]
"""A document as it stands at the end, the messages of the console, and the addresses that were asked for."""


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Look]:
    """Opens a page in a browser that has a profile of its own and reaches no other machine."""

    def open_page(place: Path, *more: str) -> Look:
        log = tmp_path / "network.json"
        command = [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"),
            *(
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-dev-shm-usage",
            ),
            *("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"),
            *(f"--log-net-log={log}", "--enable-logging=stderr", "--dump-dom", *more, place.as_uri()),
        ]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
        console = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
        return ended.stdout, console, asked_for(log)

    return open_page


def asked_for(log: Path) -> list[str]:
    """The addresses of others that the browser has asked for, by its own log; it also asks its maker for the time."""
    events = json.loads(log.read_text("utf-8"))["events"]
    every = {str(url) for one in events if (url := (one.get("params") or {}).get("url"))}
    of_others = [url for url in every if urlsplit(url).scheme not in {"about", "chrome", "data", "devtools", "file"}]
    return sorted(url for url in of_others if not (urlsplit(url).hostname or "").endswith(MAKER))


def test_the_page_opens_without_an_error_and_without_a_request(page: Path, look: Callable[..., Look]) -> None:
    dom, console, addresses = look(page)
    assert console == []
    assert addresses == []
    assert dom.count("<svg") == 3
    assert "waiting for an approver" in dom


def test_the_browser_would_tell_of_an_error_and_of_a_request(
    page: Path, tmp_path: Path, look: Callable[..., Look]
) -> None:
    wrong = tmp_path / "wrong.html"
    text = page.read_text("utf-8").replace("</header>", '<img src="http://elsewhere.example/x.png" alt=""></header>')
    wrong.write_text(text, "utf-8")
    assert any("Content Security Policy" in line for line in look(wrong)[1])
    wrong.write_text(text.replace("default-src 'none'", "default-src *"), "utf-8")
    assert "http://elsewhere.example/x.png" in look(wrong)[2]


@pytest.mark.parametrize("wide", [PHONE, 1200])
def test_nothing_is_wider_than_the_screen(page: Path, tmp_path: Path, look: Callable[..., Look], wide: int) -> None:
    frame = tmp_path / "frame.html"
    inner = html.escape(page.read_text("utf-8"))
    frame.write_text(
        f'<iframe id="f" width="{wide}" height="800" style="border:0" srcdoc="{inner}"></iframe><script>'
        "f.onload = () => { const all = f.contentDocument.documentElement, shown = f.contentWindow.innerWidth;"
        "document.title = `${shown} wide, ${all.scrollWidth - all.clientWidth} more`; }"
        "</script>",
        "utf-8",
    )
    dom, _, _ = look(frame)
    assert f"<title>{wide} wide, 0 more</title>" in dom
