"""The input schema, its named rules, and the parting of rows into valid changes and rejected rows."""
