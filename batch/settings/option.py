"""How a field of the settings declares an option of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Option:
    """How help shows an option.

    Attributes:
        help: A sentence.
        metavar: The name of its value; empty for a flag.
        short: Its one-letter form, such as `-y`.
        default: The default in words, if the field's own default does not say it.
        vendor: Whether the vendor's variable `SAIL_NAME` sets it too; ours has precedence.
        consents: Whether it consents: then neither a variable nor the config file can give it.
    """

    help: str
    metavar: str = ""
    short: str = ""
    default: str = ""
    vendor: bool = False
    consents: bool = False


def options_of(model: type[BaseModel]) -> dict[str, tuple[Option, Any]]:
    """The options that a model's fields declare: each with its default."""
    return {
        name: (option, declared.default)
        for name, declared in model.model_fields.items()
        for option in declared.metadata
        if isinstance(option, Option)
    }
