"""Keyrings for tests: a working one, and broken ones. Set with keyring.set_keyring."""

from __future__ import annotations

from threading import Event

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

HUNG = Event()
"""Never set."""


class MemoryKeyring(KeyringBackend):
    """Keeps its entries, and the questions, in memory.

    Attributes:
        entries: Secrets by service and account.
        asked: The services and accounts of each question, in turn.
    """

    priority = 5.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # the library's
        self.entries: dict[tuple[str, str], str] = {}
        self.asked: list[tuple[str, str]] = []

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.append((service, username))
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError


class PlaintextKeyring(MemoryKeyring):
    """Rates itself as the plaintext keyring of keyrings.alt does."""

    priority = 0.5


class BoastfulPlaintextKeyring(MemoryKeyring):
    """Rates itself higher than it should."""


class FailingKeyring(MemoryKeyring):
    """Raises an error at every question."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def get_password(self, service: str, username: str) -> str | None:
        super().get_password(service, username)
        raise self.error

    def set_password(self, service: str, username: str, password: str) -> None:
        del service, username, password
        raise self.error


class HungKeyring(MemoryKeyring):
    """Never answers."""

    def get_password(self, service: str, username: str) -> str | None:
        super().get_password(service, username)
        HUNG.wait()
        return None
