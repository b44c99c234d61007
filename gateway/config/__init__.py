"""The YAML file: text and environment in, a frozen `Config` out, or every mistake with its place.

In reading order: `document` (values that know their place), `env_file` and `variables` (what stands beside the file),
`events` (what the YAML parser reads), `parse`, `syntax` (what it says, in words that help) and `substitution` (text
to values; `typescript` for those who paste something else), `reading` (mistakes are collected here), `readers`,
`lists`, `records` and `json_values` (value by value; the JSON Schema comes from the same tables), `addresses`,
`origins`, `domains`, `targets`, `claim_names`, `token_sources` and `secrets`, then the sections of the file:
`server`, `observing`, `audit`, `decisions`, `budgets`, `shared`, `upstream_headers`, `ownership` and `upstreams`,
`issuer_names`, `key_files` and `key_requests` (what a provider says of issuers and keys), `preset_fields`, `presets`
(well-known issuers, as data), their `expansion` and `preset_lint`, `machine_keys`, `provider_fields`, `issuers`,
`key_sources` and `providers`, `mastra`, `conditions` and `rules`, `login`, `revoked`, `streams`, `route_fields`,
`twins`, `resources`, `routes`, `own_routes` and `owners`, `cases`. `sections` lists them; `header_names` holds that
no header means two things; `model` is what comes out, and `file` joins them; `lint`, `mastra_lint` and `budget_lint`
warn, of what lies around a route by `overlaps`, `describe` says it in words, `schema` serves editors, `places` finds
a key again for who has something to say about it later, `digest` says which file it was.
"""
