"""`gateway schema`: the JSON Schema of the file, for editors."""

from __future__ import annotations

import argparse
import json

from gateway.commands.call import Command
from gateway.config.schema import json_schema


def _add_arguments(_parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def _run(_call: argparse.Namespace) -> int:
    print(json.dumps(json_schema(), indent=2))
    return 0


_EXAMPLES = """\
examples:
  gateway schema > gateway.schema.json      and in gateway.yaml, for the YAML extension of an editor:
                                            # yaml-language-server: $schema=gateway.schema.json
"""
COMMAND = Command(
    "Print the JSON Schema of the configuration file, so that an editor completes and checks it.",
    _add_arguments,
    _run,
    _EXAMPLES,
)
