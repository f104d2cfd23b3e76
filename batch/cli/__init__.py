"""The command line: parses, calls one function, prints. Commands import what they need, so that --help starts fast."""

import sys

from batch.cli import evidence, inputs, plans, runs, tenants, topics
from batch.cli.app import app

__all__ = ["app", "evidence", "inputs", "main", "plans", "runs", "tenants", "topics"]


def main() -> None:
    """The program: turns every error into a message and an exit code."""
    from batch.cli.boundary import run
    from batch.commands.interrupt import end_as_by_ctrl_c
    from batch.commands.streams import keep_streams

    keep_streams()
    end_as_by_ctrl_c()
    sys.exit(run(app))
