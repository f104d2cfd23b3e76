"""What the user gets to see: summaries, result files, progress."""
