"""The sandbox: a simulated tenant for rehearsals and tests, with the rules, the limits and the quirks of a real one.

It reads in this order: `rules` (what a request may be), `tenant` (what is remembered of it), `status` (the status
list), `throttle`, `faults` and `tokens`, all pure, with the time as an argument; then `app` and `server`, which put
them behind HTTP.
"""
