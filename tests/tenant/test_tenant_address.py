"""The addresses that may get a secret, and a tenant's name in the ledger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import SettingsError
from batch.tenant.address import is_loopback, origin, probable_origin


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("https://acme.api.identitynow.com", "https://acme.api.identitynow.com"),
        ("https://acme.api.identitynow.com/", "https://acme.api.identitynow.com"),
        ("  https://acme.api.identitynow.com\n", "https://acme.api.identitynow.com"),
        ("HTTPS://ACME.Api.IdentityNow.com", "https://acme.api.identitynow.com"),
        ("https://acme.example:8443", "https://acme.example:8443"),
        ("https://acme.example:443", "https://acme.example"),
        ("HTTPS://acme.example:443", "https://acme.example"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://LOCALHOST:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[::1]", "http://[::1]"),
        ("https://acme.example.", "https://acme.example"),
        ("http://localhost.:8080", "http://localhost:8080"),
        ("https://[2001:DB8:0::1]", "https://[2001:db8::1]"),
        ("https://acme.example:0443", "https://acme.example"),
    ],
)
def test_a_tenant_is_named_by_its_origin(given_url: str, expected: str) -> None:
    assert origin(given_url) == expected


@pytest.mark.parametrize(
    ("given_url", "said"),
    [
        ("http://acme.api.identitynow.com", "plain http"),
        ("http://10.0.0.1", "plain http"),
        ("http://0.0.0.0:8080", "plain http"),
        ("http://localhost.evil.example", "plain http"),
        ("http://127.0.0.1.evil.example", "plain http"),
        ("http://2130706433", "plain http"),
        ("http://[::2]", "plain http"),
        ("http://127.1", "plain http"),
        ("http://0x7f.0.0.1", "plain http"),
        ("http://localhost。evil.example", "plain http"),
        ("http://localhost:80@evil.example", "user or password"),
        ("https://acme.example\\@evil.example", "user or password"),
        ("http://127.0.0.1%2eevil.example", "not a web address"),
        ("http://127.0.0.1%00.evil.example", "not a web address"),
        ("https://[fe80::1%25eth0]", "not a web address"),
        ("https://acme..example", "not a web address"),
        ("https://acme.example..", "not a web address"),
        ("https://.", "not a web address"),
        (f"https://{'a.' * 127}a", "not a web address"),
        ("http://\uff4cocalhost", "not a URL"),
        ("https://user:hunter2@acme.example", "user or password"),
        ("https://user@acme.example", "user or password"),
        ("http://127.0.0.1@evil.example", "user or password"),
        ("https://acme.example/beta", "path"),
        ("https://acme.example//", "path"),
        ("", "not a web address"),
        ("acme.api.identitynow.com", "not a web address"),
        ("https://", "not a web address"),
        ("ftp://acme.example", "not a web address"),
        ("file:///etc/passwd", "not a web address"),
        ("https://acme.example:port", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://acme\x00.example", "not a URL"),
        ("https://acme.example:99999", "no"),
        ("https://two words.example", "no"),
        ("https://xn--a.example", "no"),
    ],
)
def test_an_unsafe_address_is_refused_with_the_next_step(given_url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        origin(given_url)
    assert caught.value.next_step


@pytest.mark.parametrize("scheme", ["https", "http", "ftp"])
def test_a_password_in_a_refused_address_is_not_repeated(scheme: str) -> None:
    with pytest.raises(SettingsError) as caught:
        origin(f"{scheme}://user:hunter2@acme.example")
    assert "hunter2" not in caught.value.message + caught.value.next_step


@given(st.one_of(st.text(), st.text().map("https://{}".format), st.text().map("http://127.0.0.1{}".format)))
def test_any_text_is_an_origin_or_a_settings_error(text: str) -> None:
    try:
        found = origin(text)
    except SettingsError:
        return
    assert origin(found) == found


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("LocalHost", True), ("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("host", False)],  # noqa: S104 - nothing listens there
)
def test_loopback_is_this_machine(host: str, expected: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    "given_url",
    [
        "acme",
        "ACME",
        "acme.identitynow.com",
        "acme.api.identitynow.com",
        "acme.api.identitynow.com/",
        "https://acme.identitynow.com/ui/d/dashboard",
        "https://acme.identitynow.com/ui/admin#admin:identities?x=1",
        "https://acme.api.identitynow.com/v2025",
    ],
)
def test_what_people_take_for_the_base_url_is_answered_with_the_right_one(given_url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        origin(given_url)
    assert caught.value.next_step.endswith("Did you mean https://acme.api.identitynow.com?")


def test_the_address_of_a_demonstration_tenant_is_guessed_too() -> None:
    assert probable_origin("acme.identitynow-demo.com") == "https://acme.api.identitynow-demo.com"


@pytest.mark.parametrize("given_url", ["localhost", "https://localhost", "127.0.0.1", "user:word@acme", "a b", "", "1"])
def test_nothing_is_guessed_from_other_words(given_url: str) -> None:
    assert probable_origin(given_url) == ""
