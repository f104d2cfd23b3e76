"""The input schema with its named rules: rows become valid changes and rejected rows."""
