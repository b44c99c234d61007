"""The YAML file: text and environment in, a frozen `Config` out, or every mistake with its place.

In reading order: `document` (values that know their place), `env_file` and `variables` (what stands beside the file),
`parse` and `substitution` (text to values; `typescript` for those who paste something else),
`reading` (mistakes are collected here), `readers`, `lists` and `records` (value by value; the JSON Schema comes from
the same tables), `addresses` and `secrets`, then one module per section of the file: `server`, `upstreams`,
`providers`, `rules`, `routes`. `file` joins them; `lint` warns, `describe` says it in words, `schema` serves editors.
"""
