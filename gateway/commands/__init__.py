"""What a person types: `gateway serve`, `check`, `token`, `schema`, `demo`."""
