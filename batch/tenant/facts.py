"""What the tenant's lists say of access items and people, asked by id: many in one call, each answer complete.

Source: `Role`, `AccessProfile`, `Entitlement` (with `RequestabilityForRole` and `Requestability`), `Identity` and the
operation `getEntitlementRequestConfig` (with `EntitlementAccessRequestConfig`) of the vendor's OpenAPI documents. A
field that is missing, or that we do not understand, is unknown.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from batch.api.dialects import FILTER_VALUES, PAGE_LIMIT, ROLES_PAGE_LIMIT, ItemType
from batch.names.meaning import ITEM_WORDS
from batch.status.tenant_facts import ItemFacts, PersonFacts, flag
from batch.tenant.collection import TOO_LONG, all_rows
from batch.tenant.directory_questions import MOST_LISTED_ROWS, Caller
from batch.tenant.paging import lost, require_the_apis
from batch.tenant.reading import ForbiddenError, RefusedError, quoted
from batch.text import key_of, on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.api.dialects import Dialect
    from batch.tenant.reading import Reader, Reply

IDS_PER_CALL: Final = min(FILTER_VALUES, ROLES_PAGE_LIMIT, PAGE_LIMIT) - 1
"""Ids in one question: fewer rows than a page holds, which is therefore the last one."""

_MOST_TEXT: Final = 60
_MOST_NAME: Final = 120
_HYPHENS_BEFORE: Final = (8, 12, 16, 20)
_ID_DIGITS: Final = 32
_HOURS: Final = {"HOURS": 1, "DAYS": 24, "WEEKS": 7 * 24, "MONTHS": 31 * 24}
_ALREADY_ANSWERED: Final = frozenset({404, TOO_LONG})
_PUBLIC: Final = "/public-identities"
_CONFIGURATION: Final = "request configuration of an entitlement"
_FORBIDDEN: Final = 403
_NONE_SHOWN: Final = frozenset({400, 404, TOO_LONG})
_SETTLED: Final = frozenset({200, 404, TOO_LONG, 500})
"""A server error about one entitlement must not stop the rest."""


class Facts(Protocol):
    """Says what is known of items and people: a tenant's lists, or a fake."""

    @property
    def calls(self) -> int:
        """Calls made so far."""

    async def items(self, item_type: ItemType, ids: Sequence[str]) -> Mapping[str, ItemFacts]:
        """What the tenant says of items of one type, at most IDS_PER_CALL; those that it does not show are not listed.

        Raises:
            RefusedError: The tenant refuses the question; ForbiddenError if the token's user may not ask it.
            TenantLostError: The list can't be read.
        """

    async def people(self, ids: Sequence[str]) -> Mapping[str, PersonFacts]:
        """The same for identities."""

    async def configuration(self, entitlement: str) -> ItemFacts | None:
        """What an entitlement's own request configuration says; None if the tenant shows none. Errors as above."""


class FactLists:
    """The lists of one tenant.

    Args:
        reader: Asks the tenant.
        dialect: The API version.
    """

    def __init__(self, reader: Reader, dialect: Dialect) -> None:
        self._caller = Caller(reader, dialect)

    @property
    def calls(self) -> int:
        """Calls made so far."""
        return self._caller.calls

    async def items(self, item_type: ItemType, ids: Sequence[str]) -> Mapping[str, ItemFacts]:
        """See Facts."""
        found = await self._rows(_ItemsById(self._caller, item_type), ids)
        return {one: item_facts(found[one]) if one in found else ItemFacts(listed=False) for one in ids}

    async def people(self, ids: Sequence[str]) -> Mapping[str, PersonFacts]:
        """See Facts."""
        found = await self._rows(_PeopleById(self._caller), ids)
        return {one: person_facts(found[one]) if one in found else PersonFacts(listed=False) for one in ids}

    async def configuration(self, entitlement: str) -> ItemFacts | None:
        """See Facts."""
        path = self._caller.dialect.paths.entitlement_config.format(entitlement=quote(entitlement, safe=""))
        reply = await self._caller.ask("GET", path, _CONFIGURATION, params={}, settling=_SETTLED)
        require_the_apis(reply.answer, _CONFIGURATION)
        if reply.answer.status in _NONE_SHOWN:
            return None
        if reply.refusal:
            raise (ForbiddenError if reply.answer.status == _FORBIDDEN else RefusedError)(reply.refusal)
        if not isinstance(reply.document, dict):
            raise lost(_CONFIGURATION, "is no JSON object")
        return item_facts(reply.document)

    async def _rows(self, question: _ById, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The rows of ids; what is not found is asked for again as other tools may spell it."""
        found: dict[str, dict[str, Any]] = {}
        for spelled in (lambda one: [one], _other_spellings):
            missing = [one for one in ids if one not in found]
            spellings = [spelling for one in missing for spelling in spelled(one)]
            for start in range(0, len(spellings), IDS_PER_CALL):
                answer = await all_rows(question, tuple(spellings[start : start + IDS_PER_CALL]), trust_count=False)
                if answer.refused:
                    raise RefusedError(answer.refused)
                rows = {key_of(row["id"]): row for row in answer.rows}
                found |= {one: rows[key_of(one)] for one in missing if key_of(one) in rows}
        return found


class _ById:
    """A list that is asked for rows by their ids."""

    subject = ""
    path = ""
    page_limit = PAGE_LIMIT
    most_rows = MOST_LISTED_ROWS

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def ask(self, values: tuple[str, ...], offset: int) -> Reply:
        """See collection.CollectionQuery."""
        params = {
            "filters": f"id in ({', '.join(map(quoted, values))})",
            "limit": str(self.page_limit),
            "offset": str(offset),
            "count": "true",
            **self.more(),
        }
        return await self._caller.ask("GET", self.path, self.subject, params=params, settling=_ALREADY_ANSWERED)

    def more(self) -> Mapping[str, str]:
        """Parameters besides those of every list."""
        return {}

    def read(self, raw: Any) -> dict[str, Any] | None:
        """See collection.CollectionQuery."""
        return raw if isinstance(raw, dict) and isinstance(raw.get("id"), str) else None


class _ItemsById(_ById):
    def __init__(self, caller: Caller, item_type: ItemType) -> None:
        super().__init__(caller)
        paths = caller.dialect.paths
        self.subject = f"list of {ITEM_WORDS[item_type]}s"
        match item_type:
            case ItemType.ROLE:
                self.path, self.page_limit = paths.roles, ROLES_PAGE_LIMIT
            case ItemType.ACCESS_PROFILE:
                self.path = paths.access_profiles
            case ItemType.ENTITLEMENT:
                self.path = paths.entitlements


class _PeopleById(_ById):
    subject = "list of identities"

    def __init__(self, caller: Caller) -> None:
        super().__init__(caller)
        self.path = caller.dialect.paths.people

    def more(self) -> Mapping[str, str]:
        # Without it, identities without an authoritative account are left out. Public identities have no such filter.
        return {} if self.path.endswith(_PUBLIC) else {"defaultFilter": "NONE"}


def calls_at_most(ids: Sequence[str]) -> int:
    """How many calls it takes to ask about so many ids of one list, if it shows none as it is spelled."""
    portions = [ids[start : start + IDS_PER_CALL] for start in range(0, len(ids), IDS_PER_CALL)]
    others = (sum(len([*_other_spellings(one)]) for one in some) for some in portions)
    return len(portions) + sum(-(-number // IDS_PER_CALL) for number in others)


def item_facts(row: Mapping[str, Any]) -> ItemFacts:
    """What a row of a list of items says, or the request configuration of an entitlement."""
    config = row.get("accessRequestConfig")
    rules: Mapping[str, Any] = config if isinstance(config, dict) else {}
    # Entitlements have a word of their own for it.
    comments = rules.get("commentsRequired", rules.get("requestCommentRequired"))
    form = rules.get("formDefinitionId")
    revocation = row.get("revocationRequestConfig")
    return ItemFacts(
        listed=True,
        enabled=flag(row.get("enabled")),
        requestable=flag(row.get("requestable")),
        end_date_required=flag(rules.get("requireEndDate")),
        longest_hours=_hours(rules.get("maxPermittedAccessDuration")),
        comment_required=flag(comments),
        form_required=(isinstance(form, str) and bool(form)) if "formDefinitionId" in rules else None,
        reauthorization_required=flag(rules.get("reauthorizationRequired")),
        owner=_id_of(row.get("owner")),
        owner_name=_name_of(row.get("owner")),
        name=_name_of(row),
        approvers=_approvers(rules.get("approvalSchemes")),
        revoke_approvers=_approvers(revocation.get("approvalSchemes")) if isinstance(revocation, dict) else None,
    )


def person_facts(row: Mapping[str, Any]) -> PersonFacts:
    """What a row of a list of identities says: it has no word on activity, and names of lifecycle states are free."""
    state = row.get("lifecycleState")
    name = state.get("stateName") if isinstance(state, dict) else None
    known = PersonFacts(listed=True, name=_name_of(row) or "")
    if not isinstance(name, str):
        return known
    return replace(known, lifecycle=on_one_line(name[: 4 * _MOST_TEXT], most=_MOST_TEXT))


def _hours(duration: Any) -> int | None:
    if not isinstance(duration, dict):
        return None
    value, unit = duration.get("value"), duration.get("timeUnit")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 32:
        return None
    return value * _HOURS[unit] if isinstance(unit, str) and unit in _HOURS else None


def _id_of(reference: Any) -> str | None:
    found = reference.get("id") if isinstance(reference, dict) else None
    return on_one_line(found, most=_MOST_TEXT) if isinstance(found, str) else None


def _name_of(reference: Any) -> str | None:
    found = reference.get("name") if isinstance(reference, dict) else None
    return on_one_line(found[: 4 * _MOST_NAME], most=_MOST_NAME) if isinstance(found, str) else None


def _approvers(schemes: Any) -> tuple[str, ...] | None:
    if not isinstance(schemes, list):
        return None
    kinds = [scheme.get("approverType") if isinstance(scheme, dict) else None for scheme in schemes]
    known = tuple(on_one_line(kind, most=_MOST_TEXT) for kind in kinds if isinstance(kind, str) and kind)
    return known if len(known) == len(kinds) else None


def _other_spellings(one: str) -> Iterable[str]:
    """An id in lower case, without its hyphens, and with those of a UUID: a list may compare letter by letter."""
    plain = key_of(one)
    spellings = [one.lower(), plain]
    if len(plain) == _ID_DIGITS:
        cuts = (0, *_HYPHENS_BEFORE, _ID_DIGITS)
        spellings.append("-".join(plain[start:end] for start, end in pairwise(cuts)))
    return [spelling for spelling in dict.fromkeys(spellings) if spelling != one]
