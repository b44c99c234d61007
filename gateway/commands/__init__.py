"""What a person types: `gateway serve`, `check`, `test`, `explain` and the others. One module for each command.

In reading order: `call` (what all share: how a command is described, the option `-c`, how it says no) and `main` (which
command); `printing` (for people, on a terminal or in a pipe), `reading` (the file, for a command that is about
something else), `asking` (a request, as somebody types it), `junit` and `mint` (a signed token); then `serve`, `check`
with its `operations` and `live`, and what is asked of servers for them (`fetching`), `test`, `explain`, `report`,
`init` with its `interview`, `answers`, `draft` and `preset_drafts`, `token`, `key` (for a machine), `schema`, `compile`
(for an engine in front), `completion`, `standin` (in place of a Mastra server) and `demo`; `health` and `secret` are
for containers, and not in the list of commands.
"""
