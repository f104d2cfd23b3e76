"""A tenant with a directory whose search finds too much: everything that shares a word with the query."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from batch.api.dialects import DIALECTS
from batch.tenant.directory import Directory
from tests.tenant.open_calls import Events, Reply, with_reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    import httpx

    from batch.names.meaning import NameMatches
    from batch.tenant.reading import Reader

    Question = Callable[[Directory], AsyncIterator[dict[str, NameMatches]]]

SEARCHED = {"name": "name", "displayName": "displayName", "email": "email", "employeeNumber": "employeeNumber"}
_QUOTED = r'"((?:[^"\\]|\\.)*)"'


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


class DirectoryTenant:
    """Answers the search and the lists, and remembers its requests.

    Args:
        documents: Of the search index of identities.
        listed: Rows of each list by the end of its path: `identities`, `roles` …
        answers: Answers to give instead, by the end of the path.

    Attributes:
        ignores_case: Whether its lists compare without case.
    """

    def __init__(
        self,
        documents: Iterable[dict[str, Any]] = (),
        *,
        listed: dict[str, list[dict[str, Any]]] | None = None,
        answers: dict[str, Callable[[httpx.Request], Reply | None]] | None = None,
    ) -> None:
        self.requests: list[httpx.Request] = []
        self.notices: list[str] = []
        self.calls = 0
        self.ignores_case = True
        self._listed = listed or {}
        self._answers = answers or {}
        self._by_word: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for document in documents:
            for field in SEARCHED:
                for word in words(document.get(field, "")):
                    self._by_word[word][document["id"]] = document

    def found(
        self,
        ask: Callable[[Directory], AsyncIterator[dict[str, NameMatches]]],
        *,
        api: str = "beta",
        suggests: bool = False,
    ) -> dict[str, NameMatches]:
        """All answers of the directory to a question."""
        events = Events()

        async def everything(reader: Reader) -> dict[str, NameMatches]:
            directory = Directory(reader, DIALECTS[api], tell=events.append, suggests=suggests)
            found: dict[str, NameMatches] = {}
            async for part in ask(directory):
                assert not found.keys() & part.keys()
                found |= part
            self.calls = directory.calls
            self.notices += events.notices
            return found

        return with_reader(self._endpoint, everything)

    def _endpoint(self, request: httpx.Request) -> Reply:
        self.requests.append(request)
        name = request.url.path.rsplit("/", 1)[-1]
        instead = self._answers[name](request) if name in self._answers else None
        if instead is not None:
            return instead
        return _page(self._search(request) if name == "search" else self._list(name, request), request)

    def _search(self, request: httpx.Request) -> list[dict[str, Any]]:
        assert request.method == "POST"
        body = json.loads(request.content)
        assert body["indices"] == ["identities"]
        found: dict[str, dict[str, Any]] = {}
        for _, value in asked_of_search(request):
            for word in words(value):
                found |= self._by_word.get(word, {})
        return [found[id_] for id_ in sorted(found)]

    def _list(self, name: str, request: httpx.Request) -> list[dict[str, Any]]:
        begun = re.findall(rf"(\w+) sw {_QUOTED}", request.url.params["filters"])
        if begun:
            rows = self._listed.get(name, [])
            return [row for row in rows if any(row.get(field, "").startswith(value) for field, value in begun)]
        as_compared = str.casefold if self.ignores_case else str
        wanted = {(field, as_compared(value)) for field, value in asked_of_list(request)}

        def told(row: dict[str, Any]) -> set[tuple[str, str]]:
            texts = {**row, "email": row.get("emailAddress", row.get("email"))}
            return {(field, as_compared(str(text))) for field, text in texts.items()}

        return [row for row in self._listed.get(name, []) if wanted & told(row)]


def asked_of_search(request: httpx.Request) -> list[tuple[str, str]]:
    """The fields and values of a query, which only OR may join."""
    query = json.loads(request.content)["query"]["query"]
    assert re.sub(rf"[\w.]+:{_QUOTED}", "", query).replace(" OR ", "") == ""
    return [(field, re.sub(r"\\(.)", r"\1", value)) for field, value in re.findall(rf"([\w.]+):{_QUOTED}", query)]


def asked_of_list(request: httpx.Request) -> list[tuple[str, str]]:
    """Fields and values of a filter, read back."""
    filters = request.url.params["filters"]
    if listed := re.fullmatch(rf"(\w+) in \(({_QUOTED}(?:, {_QUOTED})*)\)", filters):
        found = [(listed[1], value) for value in re.findall(_QUOTED, listed[2])]
    else:
        assert re.sub(rf"\w+ eq {_QUOTED}", "", filters).replace(" or ", "") == ""
        found = re.findall(rf"(\w+) eq {_QUOTED}", filters)
    return [(field, re.sub(r"\\(.)", r"\1", value)) for field, value in found]


def _page(rows: list[dict[str, Any]], request: httpx.Request) -> Reply:
    offset, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
    assert limit <= (50 if request.url.path.endswith("roles") else 250)
    if rows and offset >= len(rows):
        return 400, {}, {}
    return 200, rows[offset : offset + limit], {"X-Total-Count": str(len(rows))}
