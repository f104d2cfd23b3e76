"""Makes and writes saved plans."""

from __future__ import annotations

import platform
import shlex
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.commands.plan_signatures import signature_of
from batch.errors import SettingsError
from batch.files import whole_file
from batch.plan.saved import (
    DATE,
    PLANNER,
    SAVED_COLUMNS,
    Circumstances,
    SavedPlan,
    describe_saved,
    from_bytes,
    row_hashes,
)
from batch.settings import APPLICATION
from batch.tenant.address import tenant_names
from batch.text import without_password
from batch.validate.rows import EXTENDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batch.commands.screen import Screen
    from batch.names.accounts import Wanted
    from batch.pipeline import Classified
    from batch.plan import Plan
    from batch.read import Column
    from batch.report.plan_view import PlanView
    from batch.settings import Settings


_PLACE: Final = ("file", "line", "identity_id", "item_type", "item_id")
_SHOWN: Final = ("person", "item", "owner", "group")
_KNOWN: Final = ("tenant", "made_at", "made_by", "requester", "inputs", "rows", "calls", "approvals", "warnings")
"""Of the JSON of a plan, what its lines don't tell."""


def saved_plan(
    classified: Classified,
    plan: Plan,
    view: PlanView,
    settings: Settings,
    *,
    ledger: str,
    tenant: str,
    digest: str,
    now: datetime,
    by: Column | None,
    unsaid: Sequence[Wanted] = (),
) -> SavedPlan:
    """A plan as it is saved, without signatures.

    Args:
        classified: The input's rows with their classes.
        plan: The plan of the fresh changes.
        view: What is shown of it.
        settings: What it was made with.
        ledger: Id of the ledger that was asked.
        tenant: The tenant's address.
        digest: Identifies the input's rows.
        now: When it was made.
        by: The user's column that changes are counted by.
        unsaid: From Accounts.unsaid.

    Raises:
        SettingsError: Nothing is to be sent.
    """
    if not plan.requests:
        raise SettingsError(
            "There is nothing to send, so no plan was saved.", next_step="Nothing is left to do with this input."
        )
    fresh = classified.changes.filter("fresh")
    hashes = row_hashes(classified.table.originals)
    shown = view.planned.select(*_PLACE, *_SHOWN).unique(_PLACE, keep="first")
    changes = plan.changes.with_columns(
        fresh.get_column(EXTENDS),
        file=fresh.get_column("file"),
        line=fresh.get_column("line"),
        row_hash=pl.Series(hashes, dtype=pl.String).gather(fresh.get_column("row")),
    ).join(shown, on=_PLACE, how="left", maintain_order="left")
    document = view.as_json()
    circumstances = Circumstances(
        tenant=(tenant_names(tenant) if "://" in tenant else (tenant,))[0],
        address=tenant,
        ledger=ledger,
        api=settings.api,
        effort=settings.effort.value,
        planned_at=now.astimezone(UTC).strftime(DATE),
        planned_by=" on ".join(filter(None, [document["made_by"], platform.node()])),
        version=version(APPLICATION),
        inputs=[*document["inputs"]],
        input_digest=digest,
        lower_bound=plan.lower_bound,
        envelopes=[[*one] for one in plan.envelopes.rows()],
        skipped=[[*one] for one in view.lines.filter(pl.col("request").is_null()).drop("request").rows()],
        options={
            "resubmit": sorted(map(str, settings.resubmit)),
            "ignore": [*settings.ignore],
            "strict": settings.strict,
            "place": _place(settings),
        }
        | ({"accounts": [[*one] for one in unsaid]} if unsaid else {})
        | ({"request_metadata": {**settings.metadata}} if settings.metadata else {}),
        known={name: document[name] for name in _KNOWN} | {"by": {"column": by.header} if by else None},
    )
    ordered = changes.select(
        pl.col(name).cast(kind).fill_null("") if kind == pl.String else pl.col(name).cast(kind)
        for name, kind in SAVED_COLUMNS.items()
    ).sort("request", maintain_order=True)
    # What is written is what will be read: a time that the JSON can't hold would be refused later.
    return from_bytes(SavedPlan(circumstances=circumstances, changes=ordered).to_bytes(), "the new plan")


def save(plan: SavedPlan, path: Path, settings: Settings, screen: Screen) -> None:
    """Write a plan into a new file, signed by its planner if a key is given.

    Raises:
        SettingsError: It must be signed, and no key is given or the key can't sign; or the file can't be written.
    """
    if settings.signing_key is not None:
        plan = plan.signed(signature_of(plan, PLANNER, settings.signing_key, plan.circumstances.planned_at))
    elif settings.approvals_required:
        raise SettingsError(
            "A plan that others must approve is signed by its planner, and no key is given.",
            next_step="Nothing was saved. Name your SSH key: --signing-key PATH, or signing_key in the config file.",
        )
    write(plan, path, new=True)
    then = "Another person approves it" if settings.approvals_required else "To send exactly this"
    named = shlex.quote(str(path))
    command = f"access-batch approve {named}" if settings.approvals_required else to_submit(plan, named)
    screen.say(
        f"Saved {describe_saved(plan)}, in {path}{'' if plan.signatures else ', unsigned'}.",
        f"{then}: {command}",
    )


def _place(settings: Settings) -> list[str]:
    """The options by which the same ledger and tenant are found again."""
    flags = settings.sources.flags
    words = ["--ledger", without_password(settings.ledger_location)] if "ledger" in flags else []
    words += ["--new-ledger"] if settings.new_ledger else []
    words += ["--base-url", settings.base_url] if "base_url" in flags else []
    return [*words, "--sandbox"] if settings.sandbox else words


def to_submit(plan: SavedPlan, named: str) -> str:
    """The command that submits a plan where it was planned.

    Args:
        plan: The plan.
        named: Its file, as it is typed.
    """
    place = plan.circumstances.options.get("place", ())
    return " ".join(["access-batch submit", named, *(shlex.quote(str(word)) for word in place)])


def write(plan: SavedPlan, path: Path, *, new: bool = False) -> None:
    """Write a plan's file, whole or not at all.

    Args:
        plan: The plan.
        path: The file.
        new: Whether an existing file stays as it is.

    Raises:
        SettingsError: It can't be written, or is there already.
    """
    try:
        with whole_file(path, new=new, keeps_mode=not new, option="--save") as file:
            file.write(plan.to_bytes())
    except FileExistsError:
        raise SettingsError(
            f"{path} exists already, and may be a plan that somebody has approved.",
            next_step="Nothing was saved. Remove it, or name another file.",
        ) from None
    except OSError as error:
        raise SettingsError(
            f"The plan can't be written to {path}: {error.strerror}.", next_step="Nothing was saved. Name another file."
        ) from error
