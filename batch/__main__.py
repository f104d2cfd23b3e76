"""`python -m batch` is `access-batch`."""

from batch.cli import main

main()
