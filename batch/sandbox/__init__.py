"""The sandbox: a simulated tenant for rehearsals and tests, with the rules, the limits and the quirks of a real one.

It reads in this order: `rules` (what a request may be), `tenant` (what is remembered of it), `course` (what becomes of
it), `holdings` (who holds what then), `status` (the status lists), `cancelling`; `directory` (a made-up company),
`known` (who and what exists), `search` and `shelves` (how they are found); `throttle`, `faults` and `tokens`: all pure,
with the time as an argument. Then `gate`, `requests_routes`, `directory_routes`, `app` and `server` put them behind
HTTP.
"""
