"""Plans are signed and verified by OpenSSH's own program."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from batch.credentials.ssh_signatures import in_words, may_be_one, sign, signers_of
from batch.errors import PlanRefusedError, SettingsError
from tests.ssh_keys import allow, new_key, requires_ssh

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = requires_ssh
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_a_signature_names_the_principal_whose_key_has_made_it(tmp_path: Path) -> None:
    anna, ben = new_key(tmp_path / "anna"), new_key(tmp_path / "ben")
    allowed = allow(tmp_path, {"anna@acme.com": anna, "ben@acme.com": ben})
    signature = sign(b"text", anna)
    assert signers_of(b"text", signature, allowed, NOW) == {"anna@acme.com"}
    assert signers_of(b"text", sign(b"text", ben), allowed, NOW) == {"ben@acme.com"}


def test_another_text_another_key_and_another_purpose_are_nobodys(tmp_path: Path) -> None:
    anna, ben = new_key(tmp_path / "anna"), new_key(tmp_path / "ben")
    allowed = allow(tmp_path, {"anna@acme.com": anna})
    assert signers_of(b"other", sign(b"text", anna), allowed, NOW) == frozenset()
    assert signers_of(b"text", sign(b"text", ben), allowed, NOW) == frozenset()
    for_git = allow(tmp_path, {"anna@acme.com": anna}, options='namespaces="git"')
    assert signers_of(b"text", sign(b"text", anna), for_git, NOW) == frozenset()


def test_a_key_counts_while_it_is_valid(tmp_path: Path) -> None:
    anna = new_key(tmp_path / "anna")
    allowed = allow(tmp_path, {"anna@acme.com": anna}, options='valid-before="20261129120000Z"')
    signature = sign(b"text", anna)
    assert signers_of(b"text", signature, allowed, NOW - timedelta(hours=1)) == {"anna@acme.com"}
    assert signers_of(b"text", signature, allowed, NOW + timedelta(hours=1)) == frozenset()


def test_a_key_of_two_principals_is_both(tmp_path: Path) -> None:
    anna = new_key(tmp_path / "anna")
    allowed = allow(tmp_path, {"anna@acme.com": anna, "root@acme.com": anna})
    assert signers_of(b"text", sign(b"text", anna), allowed, NOW) == {"anna@acme.com", "root@acme.com"}


@pytest.mark.parametrize("written", ["*@acme.com", "!root@acme.com,*@acme.com", "anna@acme.com,a.n@acme.com", "a??a"])
def test_a_principal_may_be_a_list_of_patterns(tmp_path: Path, written: str) -> None:
    anna = new_key(tmp_path / "anna")
    allowed = allow(tmp_path, {written: anna})
    assert signers_of(b"text", sign(b"text", anna), allowed, NOW) == {written}


def test_a_pattern_is_not_said_to_be_a_person() -> None:
    assert in_words({"ben@acme.com", "anna@acme.com,a.n@acme.com"}) == "anna@acme.com,a.n@acme.com, ben@acme.com"
    for pattern in ("*", "*,!anna@acme.com", "ann?@acme.com"):
        assert in_words([pattern]) == f"somebody whose key is allowed for '{pattern}'"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("anna@acme.com", "ben@acme.com", False),
        ("anna@acme.com", "Anna@ACME.com", True),
        ("anna@acme.com", "*@acme.com", True),
        ("anna@acme.com", "*@corp.com", False),
        ("anna@acme.com", "!anna@acme.com,*@acme.com", False),
        ("anna@acme.com", "!ben@acme.com,*@acme.com", True),
        ("anna@acme.com,root@acme.com", "ben@acme.com,root@acme.com", True),
        ("anna@acme.com,!root@acme.com", "ben@acme.com,root@acme.com", False),
        ("a*@acme.com", "*a@acme.com", True),
        ("a*@acme.com", "b*@acme.com", False),
        ("*", "?", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("*a*", "b*c", True),
        ("!anna@acme.com", "*", False),
    ],
)
def test_principals_that_some_name_matches_may_be_one_person(one: str, other: str, *, same: bool) -> None:
    assert may_be_one(one, other) is same
    assert may_be_one(other, one) is same


def test_a_signature_in_another_spelling_is_refused(tmp_path: Path) -> None:
    anna = new_key(tmp_path / "anna")
    allowed = allow(tmp_path, {"anna@acme.com": anna})
    for wrong in (f"{sign(b'text', anna)} ", "not base64", ""):
        if wrong:
            with pytest.raises(PlanRefusedError):
                signers_of(b"text", wrong, allowed, NOW)
    assert signers_of(b"text", "", allowed, NOW) == frozenset()


def test_a_missing_key_and_a_file_that_is_no_key_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no key"):
        sign(b"text", tmp_path / "anna")
    (tmp_path / "anna").write_text("no key\n")
    (tmp_path / "anna").chmod(0o600)
    with pytest.raises(SettingsError, match="can't sign"):
        sign(b"text", tmp_path / "anna")


def test_allowed_signers_that_everybody_can_write_are_refused(tmp_path: Path) -> None:
    anna = new_key(tmp_path / "anna")
    allowed = allow(tmp_path, {"anna@acme.com": anna})
    allowed.chmod(0o666)
    with pytest.raises(SettingsError, match="Everybody can write"):
        signers_of(b"text", sign(b"text", anna), allowed, NOW)
    with pytest.raises(SettingsError, match="no file"):
        signers_of(b"text", sign(b"text", anna), tmp_path / "none", NOW)
