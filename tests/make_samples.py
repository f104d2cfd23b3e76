"""Makes the files in `sample_csvs/`, always the same: `python tests/make_samples.py`.

Made-up identities and items; their ids are hashes of made-up names, but in `by_name.csv` stand names that the
sandbox knows. The mistakes in `onboarding.csv` are deliberate.
"""

from __future__ import annotations

import csv
import hashlib
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from batch.sandbox.directory import make_directory
from batch.sandbox.sample_rows import COLUMNS, sample_mistakes, sample_rows
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

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = list[str]


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
    """Changes in which people and items stand by name, as the sandbox's directory has them; the last three mistaken."""
    directory = make_directory(EMBEDDED_PEOPLE)
    return [list(row) for row in (*sample_rows(directory, 57), *sample_mistakes(directory))]


def write_csv(name: str, rows: list[Row], header: Sequence[str] = HEADER) -> None:
    """Writes a sample file."""
    with (FOLDER / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main() -> None:
    """Makes all files."""
    random_source = random.Random(2026)  # noqa: S311 - samples, not secrets
    write_csv("onboarding.csv", onboarding(random_source))
    write_csv("leavers.csv", leavers(random_source))
    write_csv("by_name.csv", by_name(), COLUMNS)
    contractors(random_source).write_parquet(FOLDER / "contractors.parquet")


if __name__ == "__main__":
    main()
