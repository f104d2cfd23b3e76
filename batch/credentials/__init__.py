"""Where the tenant and the credentials come from.

The strongest source that has something for the tenant wins:

1. flags, then `ACCESS_BATCH_…`, then `SAIL_…` in the environment; the secret itself is never a flag,
2. our config file: `[profile.NAME]`, then its top level,
3. the vendor's CLI: an environment of `~/.sailpoint/config.yaml`, with its secret in the system keyring,
4. a login: `access-batch login` stores it in the system keyring,
5. `./config.json` of the vendor's SDK.

One rule holds throughout: **a stored secret goes only to the tenant that it was stored for.** A secret of the config
file belongs to the `base_url` there, one of the CLI to its environment's `baseurl`, a login to its tenant, one of the
SDK to its `BaseURL`, and one in the environment to the base URL beside it there, if there is one. Apart from that, the
user may combine flags and environment freely, and complete them from the config file or from a named profile. Such a
secret is never sent to an ambient tenant, which nobody named: the CLI's active environment, the last login's tenant, or
that of a `config.json` in the current folder.

`find_tenant` finds the tenant without any secret: it asks no keyring and reads no file that holds only a secret.
"""
