"""The named rules by which the tenant judges a change, each with the sentence for a row that breaks it.

A rule looks at what the tenant says of the item, of the person, or of the two together; status.findings has its
condition, and the command line knows only the names. That a row which breaks one comes to nothing is hardly ever
certain before this tenant has refused the like (see status.refused_before). The flags of an item, such as
`requestable`, are documented without their effect on a request, and take 20 minutes to apply. Lists leave out what the
token's user may not see, and what is new. That access given by a role's membership or a lifecycle state can't be
revoked by a request is documented for createAccessRequest, but not that the search index's `revocable` tells of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class About(StrEnum):
    """Whose facts a rule looks at."""

    ITEM = "item"
    PERSON = "person"
    PAIR = "pair"


class Rejects(StrEnum):
    """When a rule rejects rows."""

    ALWAYS = "always"
    STRICT = "with --strict"
    NEVER = "never"


class TenantRule(NamedTuple):
    """A rule of the tenant.

    about: Whose facts it looks at.
    problem: What is wrong, in words; `{}` stands for the kind of item.
    remedy: What to do about it.
    rejects: When it rejects a row that breaks it, if this tenant has not refused the like.
    """

    about: About
    problem: str
    remedy: str
    rejects: Rejects = Rejects.STRICT


ACCOUNT_FOUND: Final = "account_found"
"""The rule that a row breaks whose account is not found, or that must name one and does not. Only a row that names none
can be sent all the same."""

TENANT_RULES: Final[Mapping[str, TenantRule]] = {
    "item_unlisted": TenantRule(
        About.ITEM,
        "the tenant lists no {} with this id",
        "check item_type and item_id",
    ),
    "item_disabled": TenantRule(
        About.ITEM,
        "the {} is disabled",
        "enable it in the tenant",
    ),
    "item_not_requestable": TenantRule(
        About.ITEM,
        "the {} is not requestable",
        "make it requestable in the tenant",
    ),
    "end_date_required": TenantRule(
        About.ITEM,
        "the {} needs an end date, and none is given",
        "give a remove_date",
    ),
    "end_date_too_late": TenantRule(
        About.ITEM,
        "the access lasts longer than the {} permits",
        "give a remove_date that is early enough",
    ),
    "comment_required": TenantRule(
        About.ITEM,
        "the {} needs a comment, and none is given",
        "add a comment, or give --comment",
    ),
    "form_required": TenantRule(
        About.ITEM,
        "the {} needs a form, which access-batch can't fill in",
        "request it in the tenant, or detach the form there",
    ),
    "reauthorization_required": TenantRule(
        About.ITEM,
        "the {} needs its requester to sign in again, which access-batch can't do",
        "request it in the tenant, or change that there",
    ),
    "person_unlisted": TenantRule(
        About.PERSON,
        "the tenant lists no identity with this id",
        "check identity_id",
        # The index lags by hours, and the list of identities may be closed: then this is no evidence at all.
        rejects=Rejects.NEVER,
    ),
    "person_inactive": TenantRule(
        About.PERSON,
        "the identity is inactive",
        "leave the row out until the identity is active",
    ),
    "person_protected": TenantRule(
        About.PERSON,
        "the identity is protected",
        "leave the row out, or end its protection in the tenant",
    ),
    "held_by_membership": TenantRule(
        About.PAIR,
        "the tenant does not show this {} as revocable, so a role or a lifecycle state may give it",
        "if so, change that in the tenant",
    ),
    "held_indirectly": TenantRule(
        About.PAIR,
        "other access seems to give this {}, so a request may not revoke it",
        "revoke or change what gives it",
    ),
    "extend_not_held": TenantRule(
        About.PAIR,
        "the tenant does not show that the identity holds this {}, and an EXTEND would grant it",
        "write GRANT if that is meant, or submit the row again when the tenant shows the access",
        # An end date is changed by a grant, which gives access that is not held.
        rejects=Rejects.ALWAYS,
    ),
}
"""All rules by name, in the order of their messages."""

_GIVEN: Final = r"\bmembership|\bbirthright\b|\blife ?cycle ?state\b|\b(can'?t|not) be revoked\b|\bnot revocable"

_END: Final = r"\b(end ?date|remove ?date|sunset)\b"
_LACKS: Final = r"\b(need(s|ed)?|requires?|required|missing|mandatory|without|must be (given|set|provided|present))\b"

REFUSAL_WORDS: Final[Mapping[str, str]] = {
    "item_disabled": r"\bdisabled\b|\bnot enabled\b",
    "item_not_requestable": r"\brequestable\b|\b(can'?t|can ?not|not) be requested\b",
    "end_date_required": rf"{_END}.*{_LACKS}|{_LACKS}.*{_END}",
    "end_date_too_late": r"\bduration\b|\bmaxPermitted|\bmaximum (access|period|time)\b|\bheld (too|that) long\b",
    "comment_required": rf"\bcomments?\b.*{_LACKS}|{_LACKS}.*\bcomments?\b",
    "form_required": r"\bform(Instance|Definition)|\b(completed?|custom|required|missing) form\b|\bform (is|must)\b",
    "reauthorization_required": r"\bre-?(authenticat|authori[sz])",
    "person_inactive": r"\binactive\b|\bnot active\b",
    "person_protected": r"\bprotected\b",
    "held_by_membership": _GIVEN,
    "held_indirectly": _GIVEN,
}
"""What the words of a tenant's refusal must match, in any case, to show that it enforces a likely rule."""
