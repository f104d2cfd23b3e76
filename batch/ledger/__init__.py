"""The ledger: the database that remembers every change, request, attempt and run. All SQL of the product is here."""
