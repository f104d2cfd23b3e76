"""The system's keyring: macOS Keychain, Windows Credential Manager, the Secret Service or KWallet of a Linux desktop.

A keyring may be missing, be locked, store in the clear, or wait forever to be unlocked. Every method returns a value or
raises KeyringUnusableError. The error never repeats a backend's message, which may hold a secret.
"""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Final, TypeVar

from batch.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring.backend import KeyringBackend

PATIENCE: Final = 60.0
"""Seconds to wait for the keyring: the user may have to type a password."""

_Answer = TypeVar("_Answer")
WITHOUT_KEYRING: Final = (
    "Set SAIL_CLIENT_ID and SAIL_CLIENT_SECRET in the environment instead, or name a file with --client-secret-file."
)


class KeyringUnusableError(SettingsError):
    """The keyring can't be used, or is not safe for a secret."""


class SystemKeyring:
    """The system's keyring: opened at the first question, and not asked again after a failure.

    Args:
        patience: Seconds to wait for each answer.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why it can't be used, in a sentence; empty if no question has failed."""
        return self._trouble

    def name(self) -> str:
        """Its name, for people.

        Raises:
            KeyringUnusableError: As every method: there is no safe keyring, or it is locked, fails or does not answer.
        """
        return self._ask(lambda keyring: str(keyring.name))

    def get(self, service: str, account: str) -> str | None:
        """The secret of an entry; None if there is no such entry."""
        return self._ask(lambda keyring: keyring.get_password(service, account))

    def put(self, service: str, account: str, secret: str) -> None:
        """Makes an entry, or replaces it."""
        self._ask(lambda keyring: keyring.set_password(service, account, secret))

    def remove(self, service: str, account: str) -> bool:
        """Removes an entry; returns whether there was one."""
        if self.get(service, account) is None:
            return False
        self._ask(lambda keyring: keyring.delete_password(service, account))
        return True

    def _ask(self, question: Callable[[KeyringBackend], _Answer]) -> _Answer:
        if not self._trouble:
            try:
                return _within(self._patience, lambda: question(_safe_backend()))
            except KeyringUnusableError as error:
                self._trouble = error.message
            except TimeoutError:
                self._trouble = f"The system keyring did not answer within {self._patience:g} seconds."
            except Exception as error:  # noqa: BLE001 - backends are plugins, and raise whatever their libraries raise
                self._trouble = f"The system keyring can't be used ({type(error).__name__})."
        raise KeyringUnusableError(self._trouble, next_step=WITHOUT_KEYRING)


def _safe_backend() -> KeyringBackend:
    """The first backend that keeps secrets safe, by the library's own rating."""
    import keyring  # noqa: PLC0415 - finding backends takes time, and most commands need none
    from keyring.backends.chainer import ChainerBackend  # noqa: PLC0415 - as above
    from keyring.core import recommended  # noqa: PLC0415 - as above

    chosen = keyring.get_keyring()
    offered = list(chosen.backends) if isinstance(chosen, ChainerBackend) else [chosen]
    for backend in offered:
        # The library does not recommend backends that fail, forget or store in the clear. The name catches a plaintext
        # backend that rates itself too high.
        if recommended(backend) and "plaintext" not in type(backend).__name__.lower():
            return backend
    raise KeyringUnusableError("This machine has no keyring that keeps secrets safe.")


def _within(seconds: float, call: Callable[[], _Answer]) -> _Answer:
    """What a call returns or raises, or TimeoutError. A thread that hangs is left behind as a daemon."""
    future: Future[_Answer] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            future.set_exception(error)

    Thread(target=work, name="keyring", daemon=True).start()
    return future.result(timeout=seconds)
