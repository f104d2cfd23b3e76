"""The words that made-up names are put together from."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

FIRST_NAMES: Final = tuple(
    """
    Anna Ben Carla David Elif Farid Grace Hugo Irene Jakub Keiko Liam Maria Noah Olga Pedro Quinn Ravi Sofia Tomas
    Uma Victor Wanda Xavier Yara Zoe Amir Beatriz Cedric Dalia Emil Fatima Goran Hanna Ivan Jana Kofi Leila Marek
    Nadia Oscar Priya Renée Samir Teresa Ulrich Vera William Ximena Yusuf Zdenka Aisha Björn Chloé Diego Esther Filip
    Gita Henrik
    """.split()  # noqa: SIM905 - as words of a text they stay readable
)
"""59 of them: coprime with the step at which people are named, so that all combinations come up."""

LAST_NAMES: Final = tuple(
    """
    Kowalski Smith García Müller O'Brien Nguyen Rossi Andersson Dubois Ivanov Yamamoto Silva Haddad Okafor Novák Patel
    Schmidt Lopez Janssen Papadopoulos Virtanen Horvat Popescu Kaya Cohen Ali Chen Kim Sato Wang Brown Jones Wilson
    Taylor Evans Walker Wright Hughes Green Hall Wood Clarke Turner Hill Cooper Ward Morris Moore Clark Lee King Baker
    Harrison Morgan Allen James Scott Phillips Watson Davis Parker Price Bennett Young Griffiths Mitchell Kelly Cook
    Carter Richardson Bailey Collins Bell Shaw Murphy Miller Cox Richards Khan Marshall Anderson Simpson Ellis Adams
    Singh Begum Wilkinson Foster Chapman Powell Webb Rogers Gray Mason Ahmed Hunt Hussain Campbell Matthews Owen Palmer
    Holmes Mills Barnes Knight Lloyd Butler Russell Barker Fisher Stevens Jenkins Murray Dixon Harvey
    """.split()  # noqa: SIM905 - as words of a text they stay readable
)

DEPARTMENTS: Final = ("Accounting", "Branch", "Claims", "Legal", "Logistics", "Marketing", "Nursing", "Warehouse")

AREAS: Final = (
    *DEPARTMENTS,
    *("Compliance", "Developer", "Field Sales", "Helpdesk", "Payroll", "Procurement", "Research", "Treasury"),
    *('"Gold" Customer', "R&D", "Sales (North)", "Café"),
)
"""What access is for. Some need care in filters and addresses."""

LEVELS: Final = (
    *("Reader", "Editor", "Approver", "Manager", "Auditor", "Administrator", "Operator", "Analyst", "Trainee", "Lead"),
    *("Visitor", "Planner", "Clerk", "Expert", "Deputy", "Coordinator", "Supervisor", "Archivist", "Tester", "Owner +"),
)

SOURCES: Final = (
    "Active Directory",
    "SAP ERP",
    "Salesforce",
    "ServiceNow",
    "Workday",
    "GitHub",
    "Claims Archive",
    "Treasury \\ Bank",
)

GROUPS: Final = ("Readers", "Writers", "Admins", "VPN", "Reports+")


def plain(name: str) -> str:
    """A name as it goes into an account name: without accents, in lower case, letters and digits only."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", ascii_only.lower())
