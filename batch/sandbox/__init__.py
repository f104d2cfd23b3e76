"""The sandbox: a simulated tenant for rehearsals and tests, with the rules, the limits and the quirks of a real one.

Read it in this order: `rules` (what a request may be), `tenant` (what is remembered of it), `lifecycle` (what becomes
of it), `holdings` (who holds what then), `status` (the status lists), `cancelling`; `directory` (a made-up company),
`known` (who and what exists), `search` and `list_endpoints` (how they are found); `throttle`, `faults` and `tokens`.
All of these are pure and take the time as an argument. Then `gate`, `requests_routes`, `directory_routes`, `app` and
`server` put them behind HTTP.
"""
