"""People and access items as the tenant lists them; fields that we do not understand are read as empty.

Source: `IdentityDocument`, `IdentityDto`, `PublicIdentity`, `Role`, `AccessProfile` and `Entitlement` of the vendor's
OpenAPI documents.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

from pydantic import AliasPath, BaseModel, Field, PlainValidator, ValidationError

from batch.names.meaning import Item, Person, is_id

_LONGEST: Final = 2_000
"""Most characters of a name; no cell of an input holds more."""


def _id(value: Any) -> str:
    if isinstance(value, str) and is_id(value):
        return value
    raise ValueError("no id")


def _text(value: Any) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if len(text) <= _LONGEST else ""


def _employee_number(attributes: Any) -> str:
    """The number among the attributes of an identity, or of a public identity, whose attributes are a list."""
    if isinstance(attributes, list):
        entries = [entry for entry in attributes if isinstance(entry, dict) and entry.get("key") == "employeeNumber"]
        return _text(entries[-1].get("value")) if entries else ""
    return _text(attributes.get("employeeNumber")) if isinstance(attributes, dict) else ""


Id = Annotated[str, PlainValidator(_id)]
Text = Annotated[str, PlainValidator(_text)]


class _Person(BaseModel):
    id: Id
    alias: Text = ""
    name: Text = ""
    email: Text = ""
    email_address: Text = Field(default="", validation_alias="emailAddress")
    number: Text = Field(default="", validation_alias="employeeNumber")
    number_attribute: Annotated[str, PlainValidator(_employee_number)] = Field(
        default="", validation_alias="attributes"
    )


class _FoundPerson(_Person):
    alias: Text = Field(default="", validation_alias="name")
    name: Text = Field(default="", validation_alias="displayName")


class _Item(BaseModel):
    id: Id
    name: Text = ""
    display_name: Text = Field(default="", validation_alias="displayName")
    owner: Text = Field(default="", validation_alias=AliasPath("owner", "name"))
    source: Text = Field(default="", validation_alias=AliasPath("source", "name"))
    attribute: Text = ""
    value: Text = ""


_Row = TypeVar("_Row", bound=BaseModel)


def person_found(raw: Any) -> Person | None:
    """The person in a document of the search index; None if it has no id."""
    return _person(_read(_FoundPerson, raw))


def person_listed(raw: Any) -> Person | None:
    """The person in a row of the identities or public identities; None if it has no id."""
    return _person(_read(_Person, raw))


def item_listed(raw: Any) -> Item | None:
    """The role, access profile or entitlement in a row; None if it has no id."""
    if (row := _read(_Item, raw)) is None:
        return None
    return Item(
        id=row.id,
        names=_distinct(row.name, row.display_name),
        owner=row.owner,
        source=row.source,
        attribute=row.attribute,
        value=row.value,
    )


def _person(row: _Person | None) -> Person | None:
    if row is None:
        return None
    return Person(
        id=row.id,
        alias=row.alias,
        email=row.email or row.email_address,
        numbers=_distinct(row.number, row.number_attribute),
        name=row.name,
    )


def _read(model: type[_Row], raw: Any) -> _Row | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


def _distinct(*texts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, texts)))
