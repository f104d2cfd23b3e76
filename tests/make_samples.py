"""Makes the files in `sample_csvs/`, always the same: `python tests/make_samples.py`.

Identities and items are made up, and their ids are hashes of made-up names. `by_name.csv` has names that the sandbox's
directory knows instead. The mistakes in `onboarding.csv` and `by_name.csv` are deliberate.
"""

from __future__ import annotations

import csv
import hashlib
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from batch.api.dialects import ItemType, Operation
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.settings import EMBEDDED_PEOPLE

FOLDER = Path(__file__).resolve().parent.parent / "sample_csvs"
HEADER = ["operation", "identity_id", "item_type", "item_id", "comment", "remove_date", "department"]
PROFILES = (
    "Accounting", "Branch", "Claims", "Compliance", "Developer", "Field Sales",
    "Helpdesk", "Legal", "Logistics", "Marketing", "Nursing", "Warehouse",
)  # fmt: skip
JOINERS = 200
BIRTHRIGHT = 6
ITEM_TYPES = ("ROLE", "ACCESS_PROFILE", "ENTITLEMENT")

NAMED_HEADER = ("operation", "identity", "item_type", "item", "comment")
REVOKE_EVERY = 9
"""In `by_name.csv`, one row in so many is a revoke."""

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.sandbox.directory import AccessItem, Directory, Person

Row = list[str]
NamedRow = tuple[str, str, str, str, str]


def made_up_id(name: str) -> str:
    """An id as the tenant has them: 32 hex digits."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def item(number: int, group: str) -> tuple[str, str]:
    """Type and id of one made-up access item."""
    return ITEM_TYPES[number % 3], made_up_id(f"item {group} {number}")


def grant(person: str, wanted: tuple[str, str], department: str, comment: str = "") -> Row:
    """A grant as a row."""
    return ["GRANT", made_up_id(person), *wanted, comment, "", department]


def onboarding(random_source: random.Random) -> list[Row]:
    """About 3,000 changes of 200 joiners: birthright items, a job profile, some individual items; and the mistakes."""
    rows: list[Row] = []
    everybody = [item(number, "everybody") for number in range(BIRTHRIGHT)]
    bundles = {name: [item(n, name) for n in range(random_source.randint(6, 11))] for name in PROFILES}
    for number in range(JOINERS):
        profile = PROFILES[number % len(PROFILES)]
        person = f"joiner {number}"
        rows += [grant(person, wanted, profile) for wanted in (*everybody, *bundles[profile])]
        extras = random_source.sample(range(40), random_source.choice([0, 0, 0, 1, 2]))
        rows += [grant(person, item(extra, "individual"), profile, "asked for by the manager") for extra in extras]
    a_role, another = item(0, "everybody"), item(3, "everybody")
    rows[100:100] = [rows[20]]
    rows[700:700] = [["GRANT", made_up_id("joiner 7"), *item(1, "individual x"), "", "2020-06-30", "Legal"]]
    rows[1200:1200] = [["REVOKE", made_up_id("mover 1"), *a_role, "", "", "Branch"]]
    rows[1500:1500] = [["GRANT", "jane.doe", *a_role, "", "", "Nursing"]]
    rows[1800:1800] = [["GRANT", made_up_id("joiner 9"), "ROLE", made_up_id("x")[:30], "", "", "Branch"]]
    rows += [
        ["GRANT", made_up_id("mover 2"), *another, "", "", "Claims"],
        ["REVOKE", made_up_id("mover 2"), *another, "moves to Legal", "", "Claims"],
    ]
    return rows


def leavers(random_source: random.Random) -> list[Row]:
    """Revokes of 25 leavers."""
    rows = []
    for number in range(25):
        for wanted in random_source.sample(range(40), random_source.randint(2, 8)):
            kind, item_id = item(wanted, "individual")
            rows.append(["REVOKE", made_up_id(f"leaver {number}"), kind, item_id, "leaves on 30 June", "", "HR"])
    return rows


def contractors(random_source: random.Random) -> pl.DataFrame:
    """Grants with end dates, several items in a row as a list column."""
    return pl.DataFrame(
        [
            {
                "operation": "GRANT",
                "identity_id": made_up_id(f"contractor {number}"),
                "item_type": "ACCESS_PROFILE",
                "item_id": [made_up_id(f"item contract {n}") for n in random_source.sample(range(8), 3)],
                "comment": "contract work",
                "remove_date": datetime(2030, random_source.choice([3, 6, 9, 12]), 28, tzinfo=UTC),
                "metadata.contract": f"C-{number // 5:03}",
            }
            for number in range(60)
        ]
    )


def by_name() -> list[Row]:
    """Changes that name people and items of the sandbox's directory; the last three are mistakes."""
    directory = make_directory(EMBEDDED_PEOPLE)
    return [list(row) for row in (*sample_rows(directory, 57), *sample_mistakes(directory))]


def sample_rows(directory: Directory, count: int) -> list[NamedRow]:
    """The first `count` rows that resolve: every kind of name in turn, every type of item.

    Grants are of requestable items that the person does not hold, revokes of items that the person holds.
    """
    return [row for row, _ in zip(_rows(directory), range(count), strict=False)]


def sample_mistakes(directory: Directory) -> list[NamedRow]:
    """Three rows that don't resolve: an unknown person, a display name of two people, an unknown role."""
    role = _wanted(directory, ItemType.ROLE)[0].name
    times = Counter(person.display_name for person in directory.people)
    namesake = next(person for person in directory.people if times[person.display_name] > 1)
    grant = Operation.GRANT
    return [
        (grant, "nobody.known", ItemType.ROLE, role, "there is no such person"),
        (grant, namesake.display_name, ItemType.ROLE, role, "two people are called this"),
        (grant, directory.people[0].alias, ItemType.ROLE, "Unheard-of Role", "there is no such role"),
    ]


def _rows(directory: Directory) -> Iterator[NamedRow]:
    held = set(directory.held)
    held_by = {person.id: [key for key in directory.held if key[0] == person.id] for person in directory.people[:1000]}
    wanted = {kind: _wanted(directory, kind) for kind in ItemType}
    times = Counter(person.display_name for person in directory.people)
    for number, person in enumerate(directory.people[:1000]):
        name = _names(person, unique=times[person.display_name] == 1)[number % 4]
        if number % REVOKE_EVERY == REVOKE_EVERY - 1:
            _, kind, item_id = held_by[person.id][number % len(held_by[person.id])]
            item = directory.item_by_id[item_id]
            yield Operation.REVOKE, name, kind, _item_name(item, number), "moves to another department"
            continue
        kind = list(ItemType)[number % len(ItemType)]
        item = wanted[kind][number * 11 % len(wanted[kind])]
        if (person.id, kind, item.id) not in held:
            yield (
                Operation.GRANT,
                name,
                kind,
                _item_name(item, number),
                "" if number % 5 else "asked for by the manager",
            )


def _wanted(directory: Directory, kind: ItemType) -> list[AccessItem]:
    return [item for item in directory.of_type(kind) if item.requestable]


def _names(person: Person, *, unique: bool) -> tuple[str, ...]:
    return person.alias, person.email, person.employee_number, person.display_name if unique else person.alias


def _item_name(item: AccessItem, number: int) -> str:
    """The item's name; for entitlements `Source|attribute|value` and `Source|name` (without a plus sign) in turn."""
    if item.type is not ItemType.ENTITLEMENT or item.source is None:
        return item.name
    by_value = number % 2 or "+" in item.name
    return f"{item.source.name}|" + (f"{item.attribute}|{item.value}" if by_value else item.name)


def write_csv(name: str, rows: list[Row], header: Sequence[str] = HEADER) -> None:
    """Write a sample file."""
    with (FOLDER / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main() -> None:
    """Make all files."""
    random_source = random.Random(2026)  # noqa: S311 - samples, not secrets
    write_csv("onboarding.csv", onboarding(random_source))
    write_csv("leavers.csv", leavers(random_source))
    write_csv("by_name.csv", by_name(), NAMED_HEADER)
    contractors(random_source).write_parquet(FOLDER / "contractors.parquet")


if __name__ == "__main__":
    main()
