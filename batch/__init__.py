"""access-batch: access changes in bulk to SailPoint Identity Security Cloud, exactly once."""

__version__ = "0.1.0"
