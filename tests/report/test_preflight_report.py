"""The messages about the tenant's rules."""

from __future__ import annotations

import re

from batch.api.dialects import DIALECTS
from batch.api.tenant_settings import Unshown
from batch.errors import TenantLostError
from batch.report.preflight import describe_closed, describe_unconfigured, describe_unsought, describe_warnings
from batch.status.findings import Warned
from batch.validate.tenant_rules import TENANT_RULES


def described(rule: str, lines: dict[str, tuple[int, ...]], *kinds: str) -> str:
    return told(rule, lines, *kinds, several_files=len(lines) > 1)


def told(rule: str, lines: dict[str, tuple[int, ...]], *kinds: str, several_files: bool) -> str:
    warned = Warned(rule=rule, lines=lines, kinds=frozenset(kinds))
    (line,) = describe_warnings([warned], several_files=several_files)
    return line


def test_a_warning_counts_the_rows_names_the_first_and_says_what_to_do() -> None:
    assert described("end_date_required", {"a.csv": tuple(range(3, 15))}, "ROLE") == (
        "The tenant may refuse 12 rows (lines 3, 4, 5, 6, 7 …): the role needs an end date, and none is given "
        "(end_date_required). Give a remove_date; `--strict` rejects them, `--ignore end_date_required` silences this."
    )
    assert "The tenant may refuse 1 row (line 3): the identity is inactive (person_inactive)." in described(
        "person_inactive", {"a.csv": (3,)}
    )
    assert "`--strict` rejects it," in described("person_inactive", {"a.csv": (3,)})


def test_a_warning_names_the_kinds_of_the_items_in_its_rows() -> None:
    found = described("item_disabled", {"a.csv": (3, 4)}, "ENTITLEMENT", "ROLE")
    assert "(lines 3, 4): the role or entitlement is disabled (item_disabled)." in found


def test_a_warning_promises_no_rejection_that_strict_does_not_make() -> None:
    assert "--strict" not in described("person_unlisted", {"a.csv": (3,)}, "ROLE")


def test_with_several_files_each_line_names_its_own() -> None:
    found = described("form_required", {"a.csv": (3, 8), "b.csv": (3,)}, "ROLE")
    assert found.startswith(
        "The tenant may refuse 3 rows (lines 3 of a.csv, 8 of a.csv, 3 of b.csv): the role needs a form"
    )
    alone = told("form_required", {"b.csv": (3,)}, "ROLE", several_files=True)
    assert alone.startswith("The tenant may refuse 1 row (line 3 of b.csv): the role needs a form")


def test_people_who_are_not_looked_for_are_told() -> None:
    assert list(describe_unsought(980, 980)) == []
    (line,) = describe_unsought(20_000, 980)
    assert line.startswith("The search index does not show 20,000 of these people. Only the first 980 of them")


def test_no_warning_has_a_gap() -> None:
    for rule in TENANT_RULES:
        found = described(rule, {"a.csv": (3,)}, "ROLE")
        assert not re.search(r"[{}]|  ", found)


def no(why: str) -> Unshown:
    return Unshown(why=why, forbidden=True)


def test_a_list_that_is_broken_needs_no_scope() -> None:
    lost = TenantLostError("The tenant's list of roles can't be read: it answered 500.", next_step="Later.")
    assert list(describe_closed(DIALECTS["v1"], {"ROLE": Unshown(why=lost.reason)})) == [
        "The tenant does not show the rules of roles (its list of roles can't be read: it answered 500)."
    ]


def test_one_notice_names_every_scope_that_the_token_lacks() -> None:
    dialect = DIALECTS["v2025"]
    assert list(describe_closed(dialect, {})) == []
    assert list(describe_closed(dialect, {"ROLE": no("403 Forbidden")})) == [
        "The tenant does not show the rules of roles (403 Forbidden): that takes the scope idn:role-unchecked:read."
    ]
    closed = {"ROLE": no("no"), "ENTITLEMENT": no("no"), "PEOPLE": no("never")}
    (line,) = describe_closed(dialect, closed)
    assert line == (
        "The tenant does not show the rules of roles, entitlements and identities (no; never): that takes the scopes "
        "idn:role-unchecked:read, idn:entitlement:read and idn:identity:read."
    )


def test_entitlements_that_are_not_asked_for_their_configuration_are_told() -> None:
    assert list(describe_unconfigured(200, 200)) == []
    (line,) = describe_unconfigured(300, 200)
    assert line == (
        "The input grants 300 entitlements. The tenant is asked for the request configuration of the 200 that are "
        "granted most often; the others may need an end date or a comment all the same."
    )


def test_a_notice_names_configurations_of_single_entitlements_and_each_scope_once() -> None:
    (line,) = describe_closed(DIALECTS["v1"], {"ENTITLEMENT": no("no"), "CONFIGURATIONS": no("not you")})
    assert line == (
        "The tenant does not show the rules of entitlements and single entitlements (no; not you): that takes the "
        "scope idn:entitlement:read."
    )
