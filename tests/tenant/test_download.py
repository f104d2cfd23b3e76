"""Inputs from https: downloaded once, without redirects, and whole or not at all."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
import trustme

from batch.errors import InputFileError
from batch.read import LIMITS, load_inputs, make_interpretation
from batch.tenant.download import download
from tests.tenant.raw_server import answer, raw_server
from tests.tenant.tls import certified, written
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

FILE = b"identity_id,item_type,item_id\n1,ROLE,2\n"


async def downloaded(reply: bytes, folder: Path, *, most: int = LIMITS.size, trust: bool = True) -> tuple[bytes, int]:
    """What a command gets from a server that answers so, and how often it asked."""
    authority = trustme.CA()
    ca_file = written(authority, folder) if trust else None

    async with raw_server(reply, tls=certified(authority, "127.0.0.1")) as server:
        url = server.url.replace("http:", "https:") + "/file.csv?signature=secret"
        limits = make_interpretation(limits=LIMITS.of_size(most))

        def load() -> bytes:
            loaded = load_inputs(
                [url], interpretation=limits, download=lambda one: download(one, ca_file=ca_file, timeout=LIMIT)
            )
            return loaded.contents[0].data

        return await asyncio.to_thread(load), len(server.received)


async def refused(reply: bytes, folder: Path, *, most: int = LIMITS.size, trust: bool = True) -> str:
    with pytest.raises(InputFileError) as caught:
        await downloaded(reply, folder, most=most, trust=trust)
    assert caught.value.next_step.startswith("Nothing was sent.")
    assert "secret" not in caught.value.message
    return caught.value.message


async def test_a_file_is_downloaded_by_one_request(tmp_path: Path) -> None:
    assert await downloaded(answer("200 OK", body=FILE), tmp_path) == (FILE, 1)


async def test_a_server_that_nobody_trusts_is_not_asked(tmp_path: Path) -> None:
    assert "--ca-file" in await refused(answer("200 OK", body=FILE), tmp_path, trust=False)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("http://127.0.0.1:1/file.csv?signature=secret", "http://127.0.0.1:1/file.csv"),
        ("https://elsewhere.example/file.csv#secret", "https://elsewhere.example/file.csv"),
        ("/other.csv", "/other.csv"),
    ],
)
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_no_redirect_is_followed(status: str, location: str, shown: str, tmp_path: Path) -> None:
    reply = answer(status, f"Location: {location}", body=FILE)
    assert f"{shown}: redirects are not followed." in await refused(reply, tmp_path)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answer("404 Not Found", body=FILE), "the answer is 404 Not Found."),
        (answer("206 Partial Content", body=FILE), "the answer is 206 Partial Content."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n" + FILE, "can't be downloaded"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n27\r\n" + FILE + b"\r\n", "can't be downloaded"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + FILE, "does not say where the file ends"),
        (b"not HTTP\r\n\r\n", "can't be downloaded"),
    ],
    ids=["missing", "a part", "cut off", "chunks cut off", "no length", "nonsense"],
)
async def test_what_is_not_surely_the_whole_file_is_refused(reply: bytes, why: str, tmp_path: Path) -> None:
    assert why in await refused(reply, tmp_path)


async def test_the_limit_holds_while_it_is_downloaded(tmp_path: Path) -> None:
    body = b"".join(itertools.repeat(FILE, 1000))
    assert "larger than" in await refused(answer("200 OK", body=body), tmp_path, most=5000)
