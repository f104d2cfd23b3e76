"""The command line: parses, calls one function, prints. Imports stand in the commands, so that --help starts fast."""

import sys

from batch.cli import inputs, runs, tenants, undo
from batch.cli.app import app

__all__ = ["app", "inputs", "main", "runs", "tenants", "undo"]


def main() -> None:
    """The program: the one place where errors become messages and exit codes."""
    from batch.cli.boundary import run

    sys.exit(run(app))
