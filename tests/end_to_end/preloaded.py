"""What the server that forks the program imports first; only the server imports it.

Whatever a run imports late is here too, so that no forked process takes half a second to import it again.
"""

from __future__ import annotations

import gc

from anyio._backends import _asyncio

import batch.cli
import batch.commands.cancel
import batch.commands.doctor
import batch.commands.input_run
import batch.commands.precheck
import batch.commands.preview
import batch.commands.runtime
import batch.commands.submit
import batch.commands.track
import batch.ledger.store
import batch.plan.bound
import batch.plan.envelopes
import batch.plan.grants

__all__ = ["_asyncio", "batch"]

# Otherwise each process would search all of this for garbage, and copy it by that.
gc.freeze()
