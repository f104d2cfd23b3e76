"""The sandbox: a simulated tenant with a real one's rules, limits and quirks, for rehearsals and tests.

| To find | read |
|---|---|
| which endpoints there are, and what answers each | `routes` |
| what a request may contain, whatever the tenant holds | `rules` |
| what it may ask for in this tenant, and what becomes of it otherwise | `tenant_rules`, `intake` |
| what the tenant does with a request, a cancel call, an intervention | `tenant`, `cancelling` |
| how a change proceeds, and who holds which items in the end | `lifecycle`, `rows`, `holdings` |
| the status lists, the pending approvals | `status_list`, `pending_approvals`, with `row_filters` |
| the search; the lists of people and items | `search`, `list_endpoints`, `filters`, `documents`, `item_documents` |
| accounts to choose from, assignments of roles | `accounts_selection` |
| the tenant's configuration, subscriptions to its events | `configuration` |
| which people and items exist, and their rules | `directory`, `item_rules`, `made_up_directory`, `oddities` |
| tokens, rate limit, scopes | `tokens`, `gate` |
| faults, and connections that end without an answer | `faults`, `connection` |
| what was accepted | `audit` |
| settings, HTTP server | `settings`, `app`, `server` |

Everything but `gate`, `routes`, `connection`, `app` and `server` is pure and takes the time as an argument.
"""
