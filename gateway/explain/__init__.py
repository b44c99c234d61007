"""What becomes of a request and why, step by step: the functions that decide, with what each found and expected.

In reading order: `step` (what an explanation is made of), `hiding` (what it never shows) and `phrases` (how it calls
things); `token`, `session`, `rules`, `spent`, `own` and `identity` (one part of the line each), `findings` and `walk`
(the whole line), `branches` (the ways in that were missed); `form_causes`, `opaque_causes`, `preset_causes`,
`token_causes`, `key_causes`, `secret_causes`, `rule_causes`, `fact_causes`, `mastra_causes`, `keycloak_causes` and
`general` (what is known to go wrong, and what to do) and `causes` (which of them it is); `explain` joins them. Then
what is made of it: `request` (one that nobody has sent) and `issuer`, `known_keys` (its token), `coverage` and
`judge` (cases), `replay` and `report` (logs), `operations` (a whole server, by its OpenAPI document).
"""
