"""The tenant over HTTP: its address, the token, the pace and the submitting of requests."""
