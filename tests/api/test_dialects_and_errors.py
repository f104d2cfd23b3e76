"""The facts of each API version, and the exit code of each kind of error."""

from __future__ import annotations

import re

import pytest

from batch import errors
from batch.api.dialects import DIALECTS, Limits, Rate, dialect_named


@pytest.mark.parametrize(
    ("name", "submit", "status", "later"),
    [
        ("beta", "/beta/access-requests", "/beta/access-request-status", False),
        ("v3", "/v3/access-requests", "/v3/access-request-status", True),
        ("v2024", "/v2024/access-requests", "/v2024/access-request-status", True),
        ("v2025", "/v2025/access-requests", "/v2025/access-request-status", True),
        ("v2026", "/v2026/access-requests", "/v2026/access-request-status", True),
        ("v1", "/access-requests/v1", "/access-request-status/v1", True),
    ],
)
def test_each_api_version_has_its_paths_and_fields(name: str, submit: str, status: str, later: bool) -> None:  # noqa: FBT001 - a table
    dialect = dialect_named(name)
    assert (dialect.name, dialect.paths.submit, dialect.paths.status) == (name, submit, status)
    assert (dialect.start_date, dialect.entitlement_remove_date) == (later, later)
    assert dialect.limits == Limits(recipients=10, items=25, revoke_items=25, revoke_entitlements=1)
    assert dialect.rate == Rate(requests=100, seconds=10.0)


def test_beta_is_the_first_choice_and_there_are_no_others_than_documented() -> None:
    assert list(DIALECTS) == ["beta", "v3", "v2024", "v2025", "v2026", "v1"]


def test_an_unknown_api_version_is_refused_with_the_known_ones() -> None:
    with pytest.raises(errors.SettingsError, match="no API version 'v4'") as caught:
        dialect_named("v4")
    assert caught.value.exit_code == 2
    assert all(name in caught.value.next_step for name in DIALECTS)


def every_error() -> list[type[errors.AccessBatchError]]:
    return [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.AccessBatchError)]


def drawn_exit_code(error: type) -> int:
    """The exit code that the tree in the docstring gives an error itself; 0 for none."""
    found = re.search(rf"{error.__name__} +exit (\d+):", errors.__doc__ or "")
    return int(found[1]) if found else 0


@pytest.mark.parametrize("error", every_error())
def test_each_error_has_the_exit_code_of_its_kind(error: type[errors.AccessBatchError]) -> None:
    assert error.exit_code == next((code for one in error.__mro__ if (code := drawn_exit_code(one))), 1)
    made = error("It broke.", next_step="Mend it.")
    assert (str(made), made.message, made.next_step) == ("It broke.", "It broke.", "Mend it.")
    assert error("It broke.").next_step == ""


def test_the_tree_in_the_docstring_names_every_error() -> None:
    drawn = set(re.findall(r"\w+Error\b", errors.__doc__ or ""))
    assert drawn == {error.__name__ for error in every_error()}


def test_the_exit_codes_are_the_documented_ones() -> None:
    assert {error: drawn_exit_code(error) for error in every_error() if drawn_exit_code(error)} == {
        errors.UsageError: 2,
        errors.StoppedError: 4,
        errors.DeclinedError: 130,
        errors.BrokenPromiseError: 1,
    }
