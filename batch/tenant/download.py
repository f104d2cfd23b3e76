"""Downloads an input: one request over https, without redirects, and no more of it than is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from batch.errors import InputFileError
from batch.read import shown
from batch.tenant.answers import from_failure
from batch.tenant.secrets import Secrets
from batch.tenant.trust import proxy_for, trusted
from batch.tenant.wire import CONNECT_TIMEOUT, USER_AGENT
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_NEXT_STEP = "Nothing was sent. Check the URL, or download the file and give its path."


def download(url: str, *, ca_file: Path | None, timeout: float) -> Generator[bytes, None, None]:
    """The content of a URL in chunks, as they arrive.

    Args:
        url: An https URL without user info.
        ca_file: See `trusted`.
        timeout: Most seconds between two chunks.

    Raises:
        InputFileError: It can't be downloaded, or whole is not proven.
        SettingsError: The file of certificates, or the proxy that the environment names, can't be used.
    """
    trust = trusted(ca_file)
    proxy = proxy_for(url, trust)
    secrets = Secrets()
    if proxy is not None and proxy.auth is not None:
        secrets.learn(proxy.auth[1])
    try:
        with (
            httpx.Client(
                headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
                timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
                follow_redirects=False,
                verify=trust,
                proxy=proxy,
                # `proxy_for` has read the proxies; a `.netrc` is nobody's intention.
                trust_env=False,
            ) as http,
            http.stream("GET", url) as response,
        ):
            _check(response, url)
            yield from response.iter_raw()
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        why = from_failure(error, host=shown(url), sent=False, secrets=secrets).text
        raise InputFileError(f"{shown(url)} can't be downloaded: {why}.", next_step=_NEXT_STEP) from None


def _check(response: httpx.Response, url: str) -> None:
    """Checks that the answer is the file, and would show that it is whole."""
    if response.is_redirect:
        where = on_one_line(shown(str(response.url.join(response.headers["location"]))), most=300)
        raise InputFileError(
            f"{shown(url)} leads to {where}: redirects are not followed.",
            next_step="Nothing was sent. If you trust that address, give its URL instead.",
        )
    if response.status_code != httpx.codes.OK:
        reason = on_one_line(response.reason_phrase, most=100)
        raise InputFileError(
            f"{shown(url)} can't be downloaded: the answer is {response.status_code} {reason}.", next_step=_NEXT_STEP
        )
    if "content-length" not in response.headers and "transfer-encoding" not in response.headers:
        raise InputFileError(
            f"{shown(url)} can't be downloaded: the server does not say where the file ends.", next_step=_NEXT_STEP
        )
