"""`python -m gateway`, and what `.venv/bin/gateway` calls."""

from __future__ import annotations

import sys

from gateway.commands.main import run_command


def main() -> None:
    """Run the command of this process's arguments and end with its exit status."""
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
