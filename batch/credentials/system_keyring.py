"""The system's keyring: macOS Keychain, Windows Credential Manager, the Secret Service or KWallet of a Linux desktop.

Whatever it does (it may be missing, locked, store in the clear, or wait forever for somebody to unlock it) ends in a
value or in a KeyringUnusableError. Nothing that a backend says is repeated, since it may hold a secret.
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
"""Seconds to wait for the keyring: its user may have to type a password."""

_Answer = TypeVar("_Answer")
WITHOUT_KEYRING: Final = (
    "Set SAIL_CLIENT_ID and SAIL_CLIENT_SECRET in the environment instead, or name a file with --client-secret-file."
)


class KeyringUnusableError(SettingsError):
    """The keyring can't be asked, or must not be trusted with a secret."""


class SystemKeyring:
    """The system's keyring, which is opened when it is first asked, and not asked again once it has failed.

    Args:
        patience: Seconds to wait for each answer.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why it can't be asked, in a sentence; empty as far as is known."""
        return self._trouble

    def name(self) -> str:
        """What it is called, for people.

        Raises:
            KeyringUnusableError: See `get`; all methods raise it alike.
        """
        return self._ask(lambda keyring: str(keyring.name))

    def get(self, service: str, account: str) -> str | None:
        """The secret of an entry; None where there is no such entry.

        Raises:
            KeyringUnusableError: There is no keyring that is safe, or it is locked, fails or does not answer.
        """
        return self._ask(lambda keyring: keyring.get_password(service, account))

    def put(self, service: str, account: str, secret: str) -> None:
        """Makes an entry, or replaces it."""
        self._ask(lambda keyring: keyring.set_password(service, account, secret))

    def remove(self, service: str, account: str) -> bool:
        """Removes an entry; whether there was one."""
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
            except Exception as error:  # noqa: BLE001 - backends are plugins, and raise what their libraries do
                self._trouble = f"The system keyring can't be used ({type(error).__name__})."
        raise KeyringUnusableError(self._trouble, next_step=WITHOUT_KEYRING)


def _safe_backend() -> KeyringBackend:
    """The first backend that keeps secrets safe, as the library itself rates them."""
    import keyring  # noqa: PLC0415 - finding backends takes its time, and most commands need none
    from keyring.backends.chainer import ChainerBackend  # noqa: PLC0415 - likewise
    from keyring.core import recommended  # noqa: PLC0415 - likewise

    chosen = keyring.get_keyring()
    offered = list(chosen.backends) if isinstance(chosen, ChainerBackend) else [chosen]
    for backend in offered:
        # Those that fail, forget or store in the clear are not recommended; the name is for one that says it is.
        if recommended(backend) and "plaintext" not in type(backend).__name__.lower():
            return backend
    raise KeyringUnusableError("This machine has no keyring that keeps secrets safe.")


def _within(seconds: float, call: Callable[[], _Answer]) -> _Answer:
    """What a call returns or raises, or TimeoutError: a thread that never ends is left behind and stops nobody."""
    future: Future[_Answer] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - nothing is handled here: the caller gets it
            future.set_exception(error)

    Thread(target=work, name="keyring", daemon=True).start()
    return future.result(timeout=seconds)
