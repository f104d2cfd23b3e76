"""What the tenant says of access items and people that decides the fate of a request for them.

A field that the tenant does not send, or that we can't read, is None, and says nothing.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


PEOPLE: Final = "PEOPLE"
"""In place of a type of item: identities."""

CONFIGURATIONS: Final = "CONFIGURATIONS"
"""In place of a type of item: the request configurations of entitlements, each of which takes a call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemFacts:
    """What the tenant says of an access item.

    Attributes:
        listed: Whether the list of such items shows it, asked by its id.
        enabled: Whether it is in use.
        requestable: Whether it can be requested.
        end_date_required: Whether a grant needs an end date.
        longest_hours: The longest access, in hours; a month counts as its longest.
        comment_required: Whether a grant needs a comment.
        form_required: Whether the requester must fill in a form.
        reauthorization_required: Whether the requester must sign in again.
        owner: Id of its owner.
        approvers: Who approves a grant, in order: the vendor's words, such as `OWNER` or `MANAGER`.
        revoke_approvers: The same for a revoke.
        name: Its name.
        owner_name: Its owner's name.
    """

    listed: bool | None = None
    enabled: bool | None = None
    requestable: bool | None = None
    end_date_required: bool | None = None
    longest_hours: int | None = None
    comment_required: bool | None = None
    form_required: bool | None = None
    reauthorization_required: bool | None = None
    owner: str | None = None
    approvers: tuple[str, ...] | None = None
    revoke_approvers: tuple[str, ...] | None = None
    name: str | None = None
    owner_name: str | None = None

    def with_rules(self, rules: ItemFacts) -> ItemFacts:
        """These facts, with what is known of other rules in place of them."""
        known = {name: value for name in self.__slots__ if (value := getattr(rules, name)) is not None}
        return replace(self, **known)

    def as_list(self) -> list[Any]:
        """The fields as a list, for JSON."""
        return list(astuple(self))

    @classmethod
    def from_list(cls, fields: Sequence[Any]) -> ItemFacts:
        """The reverse of `as_list`."""
        # JSON has lists for tuples.
        kept: list[Any] = [tuple(value) if isinstance(value, list) else value for value in fields]
        # What an older version has cached has fewer fields.
        return cls(**dict(zip(cls.__slots__, kept, strict=False)))


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonFacts:
    """What the tenant says of an identity.

    Attributes:
        listed: Whether the search index or the list of identities shows it, asked by its id.
        inactive: Whether it is inactive.
        protected: Whether it is protected.
        lifecycle: Its lifecycle state, in the tenant's own word; empty if unknown.
        name: Its display name; empty if unknown.
    """

    listed: bool | None = None
    inactive: bool | None = None
    protected: bool | None = None
    lifecycle: str = ""
    name: str = ""

    def as_list(self) -> list[Any]:
        """The fields as a list, for JSON."""
        return list(astuple(self))

    @classmethod
    def from_list(cls, fields: Sequence[Any]) -> PersonFacts:
        """The reverse of `as_list`."""
        return cls(**dict(zip(cls.__slots__, fields, strict=False)))


KNOWN: Final = PersonFacts(listed=True)
"""What is known of an identity that the tenant shows, and nothing else."""


def flag(value: Any) -> bool | None:
    """A field of the tenant that is true or false; None for anything else."""
    return value if isinstance(value, bool) else None
