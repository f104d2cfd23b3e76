"""How the API names one of several accounts of a person: in bodies, and in rows of its lists.

Sources: `requesteditemdtoref`, `sourceitemref` and `accountitemref` (grants), `accessrequestitem` (revokes) and
`requestedaccountref` (rows of the status list) of the vendor's OpenAPI documents.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from batch.api.account_key import is_account, is_hash, row_key, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ACCOUNT_SELECTION: Final = "accountSelection"
"""Field of a grant's item: the chosen account of each source. Only the nested form has it."""

NATIVE_IDENTITY: Final = "nativeIdentity"
"""Field of a revoke's item: the account that loses an entitlement."""

ASSIGNMENT_ID: Final = "assignmentId"
"""Field of a revoke's item: which of several assignments of a role is revoked."""

_ON: Final = "on"
"""Member of a selection that no body has."""

_UUID: Final = "accountUuid"
_ACCOUNT_ID: Final = "accountId"


def grant_selection(accounts: Iterable[tuple[str, str, str]]) -> str:
    """The fields of a grant's item that name accounts: of each the source's id, its uuid or none, native identity."""
    selection = [
        {"sourceId": source, "accounts": [{**({_UUID: uuid} if uuid else {}), NATIVE_IDENTITY: native}]}
        for source, uuid, native in sorted(accounts)
    ]
    return _text({ACCOUNT_SELECTION: selection})


def revoke_selection(native: str) -> str:
    """The field of a revoke's entitlement that names an account."""
    return _text({NATIVE_IDENTITY: native})


def assignment_selection(assignment: str, native: str = "") -> str:
    """The field of a revoke's role that names its assignment, and for us alone the account that this is on."""
    return _text({ASSIGNMENT_ID: assignment} | ({_ON: native} if native else {}))


def selected_fields(selection: str) -> dict[str, Any]:
    """The fields that a body's item has for a selection; none without one. No others can be among them."""
    fields = json.loads(selection) if selection else {}
    return {name: fields[name] for name in (ACCOUNT_SELECTION, NATIVE_IDENTITY, ASSIGNMENT_ID) if name in fields}


def is_selection(text: str, *, grants: bool) -> bool:
    """Whether a text is a selection as this module writes it: nothing else may get into a body with it.

    Args:
        text: A text from outside, such as a saved plan.
        grants: Whether it is for a grant.
    """
    try:
        fields = json.loads(text)
        if grants:
            accounts = [
                (source["sourceId"], one.get(_UUID, ""), one[NATIVE_IDENTITY])
                for source in fields[ACCOUNT_SELECTION]
                for one in source["accounts"]
            ]
            texts = [part for account in accounts for part in account]
            written = grant_selection(accounts)
        else:
            name = ASSIGNMENT_ID if ASSIGNMENT_ID in fields else NATIVE_IDENTITY
            texts = [fields[name], fields.get(_ON, "")]
            written = revoke_selection(fields[name]) if name == NATIVE_IDENTITY else assignment_selection(*texts)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
    return text == written and bool(texts) and all(isinstance(one, str) and one for one in texts if one != "")


def chosen_account(selection: str, account: str = "") -> tuple[str | None, str | None]:
    """The account that a selection names, and its source, as an input row says them; None for each that is missing.

    Args:
        selection: It may name the only accounts of other sources, too.
        account: Key of the change's account; empty if it has none, since each source has only one.
    """
    fields = selected_fields(selection)
    every = [(one, source["sourceId"]) for source in fields.get(ACCOUNT_SELECTION, ()) for one in source["accounts"]]
    # Of several, that which the key tells from the others is meant.
    for one, source in sorted(every, key=lambda pair: not _is_of(account, pair[0])):
        return one[NATIVE_IDENTITY], source
    return fields.get(NATIVE_IDENTITY) or json.loads(selection or "{}").get(_ON), None


def _is_of(account: str, chosen: Mapping[str, Any]) -> bool:
    return is_account(account, row_key(chosen.get(_UUID, ""), chosen[NATIVE_IDENTITY])) is True


def named_account(account: str, selection: str) -> str:
    """What a row names the account of a change by; empty if it names none.

    Args:
        account: Key of the change's account; empty if there is only one.
        selection: How its request names the account.
    """
    said = written(account) if account else ""
    return chosen_account(selection, account)[0] or said if not said or is_hash(said) else said


def needs_nesting(selection: str) -> bool:
    """Whether only the nested form can carry a selection."""
    return ACCOUNT_SELECTION in selected_fields(selection)


def row_accounts(accounts: object) -> frozenset[str]:
    """The keys of the accounts that a row's `requestedAccounts` names; empty if it names none that can be read."""
    if not isinstance(accounts, list):
        return frozenset()
    keys = [row_key(_word(one, _UUID), _word(one, _ACCOUNT_ID)) for one in accounts if isinstance(one, dict)]
    return frozenset(key for key in keys if key)


def is_selected(account: str, accounts: frozenset[str]) -> bool | None:
    """Whether a row with these accounts is about a change for an account; None if that is not known.

    Args:
        account: Key of the change's account; it names one.
        accounts: From `row_accounts`.
    """
    said = {is_account(account, one) for one in accounts}
    return True if True in said else None if None in said or not said else False


def _word(fields: Mapping[str, Any], name: str) -> str:
    word = fields.get(name)
    return word if isinstance(word, str) else ""


def _text(fields: Mapping[str, Any]) -> str:
    """Always the same text for the same fields."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
