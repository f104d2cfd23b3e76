"""People and access items as the tenant lists them, as far as they can be understood.

Source: `IdentityDocument`, `IdentityDto`, `PublicIdentity`, `Role`, `AccessProfile` and `Entitlement` of the vendor's
OpenAPI documents.
"""

from __future__ import annotations

from typing import Any, Final

from batch.names.meaning import Item, Person, is_id

_LONGEST: Final = 2_000
"""Characters of a name: a longer one can't be meant by any cell."""


def person_found(raw: Any) -> Person | None:
    """The person that a document of the search index is; None where it has no id."""
    return _person(raw, alias="name", name="displayName")


def person_listed(raw: Any) -> Person | None:
    """The person that a row of the identities, or of the public identities, is; None where it has no id."""
    return _person(raw, alias="alias", name="name")


def item_listed(raw: Any) -> Item | None:
    """The role, access profile or entitlement that a row is; None where it has no id."""
    if not isinstance(raw, dict) or not (id_ := _id(raw)):
        return None
    source = raw.get("source")
    owner = raw.get("owner")
    return Item(
        id=id_,
        names=tuple(dict.fromkeys(filter(None, (_text(raw.get("name")), _text(raw.get("displayName")))))),
        owner=_text(owner.get("name")) if isinstance(owner, dict) else "",
        source=_text(source.get("name")) if isinstance(source, dict) else "",
        attribute=_text(raw.get("attribute")),
        value=_text(raw.get("value")),
    )


def _person(raw: Any, *, alias: str, name: str) -> Person | None:
    if not isinstance(raw, dict) or not (id_ := _id(raw)):
        return None
    attributes = _attributes(raw.get("attributes"))
    numbers = (raw.get("employeeNumber"), attributes.get("employeeNumber"))
    return Person(
        id=id_,
        alias=_text(raw.get(alias)),
        email=_text(raw.get("email")) or _text(raw.get("emailAddress")),
        numbers=tuple(dict.fromkeys(filter(None, map(_text, numbers)))),
        name=_text(raw.get(name)),
    )


def _attributes(value: object) -> dict[Any, Any]:
    """Attributes by name, which public identities have as a list."""
    if isinstance(value, list):
        return {one.get("key"): one.get("value") for one in value if isinstance(one, dict)}
    return value if isinstance(value, dict) else {}


def _id(raw: dict[Any, Any]) -> str:
    """An id that can be sent; empty where there is none."""
    value = raw.get("id")
    return value if isinstance(value, str) and is_id(value) else ""


def _text(value: object) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if len(text) <= _LONGEST else ""
