"""Where the tenant and the credentials come from.

The strongest source that has something for the tenant wins:

1. flags, then `ACCESS_BATCH_…`, then `SAIL_…` in the environment; the secret itself is never a flag,
2. our config file: `[profile.NAME]`, then its top level,
3. the vendor's CLI: an environment of `~/.sailpoint/config.yaml`, whose secret lies in the system keyring,
4. what `access-batch login` has put into the system keyring,
5. `./config.json` of the vendor's SDK.

The rule that everything here keeps: **a stored secret goes to the tenant it was stored for, and nowhere else.** The
secret of the config file belongs to the `base_url` there, the CLI's to its environment's `baseurl`, a login to the
tenant it was made for, the SDK's to its `BaseURL`, and one in the environment to the base URL that stands beside it
there, if one does. Apart from that, what the user gives on the spot (flags, environment) may be combined as the user
does it, and completed by the config file or by a profile that is named; it is never sent to a tenant that only lies
about: the CLI's active environment, a login's, or that of a `config.json` in the current folder.

The tenant alone (`find_tenant`) is found without any secret: neither the keyring is asked nor a secret's file read.
"""
