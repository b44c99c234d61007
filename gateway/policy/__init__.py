"""What is decided, and from what. Nothing here reads a clock, a socket, a log or a file, but for a table beside it.

In reading order: `reasons`, `denied`, `session` and `model` (the vocabulary); `paths`, `addresses`, `cookies`,
`parameters`, `fields`, `origins`, `onward` and `credentials` (what the request says, and what of it goes on);
`token`, `jwk`, `pem`, `secrets`, `claim_names`, `issuers`, `machine_keys`, `providers`, `claim_values`, `emails`,
`organizations`, `callers`, `claims`, `clerk`, `conditions`, `verify`, `key_lookup` (whom a token speaks for); `seal`
and `login` (whom a session does); `seen_sessions`, `ended_sessions` and `revocation` (who counts no more);
`likeness`, `expressions`, `freshness`, `mastra_routes` (what Mastra serves), `mastra_roles`, `rules`, `asked`,
`words`, `studio` and `guard` (who may pass); `budgets` (how much one caller may use up); `enquiries`, `json_bodies`,
`json_edits`, `own_query`, `mastra_names` and `judged_names` (what a path names, and who judges by it); `ownership`,
`own_ids`, `own_names`, `own_context`, `own_treatment`, `own_lookups`, `own_messages`, `own_options`, `own_bodies`,
`own_responses`, `own_tasks`, `owning`, `owners` and `own_words` (whose is what a request speaks of); `upstreams`,
`resources`, `streams` and `routes` (where to); `mastra_access` (what of Mastra somebody may use); `machines` (whom a
key speaks for); `memory`, `seen` and `cache` (what is remembered); `decision` (the one line that joins them).
"""
