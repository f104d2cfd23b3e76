"""The sandbox: a simulated tenant with a real one's rules, limits and quirks, for rehearsals and tests.

| To find | read |
|---|---|
| which endpoints there are, and what answers each | `routes` |
| what a request may contain | `rules` |
| what the tenant does with a request, a cancel call, an intervention | `tenant`, `cancelling` |
| how a change proceeds, and who holds which items in the end | `lifecycle`, `rows`, `holdings` |
| the status lists | `status_list` |
| the search and the lists of people and items | `search`, `list_endpoints`, with `filters`, `documents` |
| which people and items exist | `directory`, `made_up_directory` |
| tokens, rate limit, scopes | `tokens`, `gate` |
| faults, and connections that end without an answer | `faults`, `connection` |
| what was accepted | `audit` |
| settings, HTTP server | `settings`, `app`, `server` |

Everything but `gate`, `routes`, `connection`, `app` and `server` is pure and takes the time as an argument.
"""
