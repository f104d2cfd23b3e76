"""From names to ids. Pure."""
