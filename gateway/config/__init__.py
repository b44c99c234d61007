"""The YAML file: text and environment in, a frozen `Config` out, or every mistake with its place.

In reading order: `document` (values that know their place), `env_file` and `variables` (what stands beside the
file), `parse`, `syntax` (what the YAML parser says, in words that help) and `substitution` (text to values;
`typescript` for those who paste something else), `reading` (mistakes are collected here), `readers`, `lists`,
`records` and `json_values` (value by value; the JSON Schema comes from the same tables), `addresses`, `domains`,
`targets`, `claim_names`, `token_sources` and `secrets`, then the sections of the file: `server`, `observing`,
`upstreams`, `provider_fields`, `issuers` and `providers`, `conditions` and `rules`, `route_fields` and `routes`,
`cases`. `sections` lists them; `model` is what comes out, and `file` joins them; `lint` warns, `describe` says it
in words, `schema` serves editors.
"""
