"""Which changes are new, and the class of each row. Pure."""
