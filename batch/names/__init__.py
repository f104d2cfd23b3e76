"""Names become ids. Pure."""
