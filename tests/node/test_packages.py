"""Our reading of cookies beside that of the packages which servers on Node use."""

from __future__ import annotations

import json
import re

from gateway.policy.cookies import cookie_values, plainly_written, without_cookies
from tests.minting import NOW, OTHER_SECRET, SECRET, mint
from tests.node.conftest import HERE, RunScript
from tests.node.cookies import nasty_cookies
from tests.security.node_readings import READERS, as_node_joins

GOOD, EVIL = mint({"sub": "ann", "exp": NOW}, SECRET), mint({"sub": "evil", "exp": NOW}, OTHER_SECRET)
TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")


def test_packages_read_the_cookie_that_the_gateway_judges(run_script: RunScript) -> None:
    name, lines = "__session", nasty_cookies("__session", GOOD, EVIL, 4000)
    # What goes up where this cookie was judged: see `onward.Withheld`.
    sent = [plainly_written(without_cookies(line, frozenset({"mastra-token"})) or "", name) for line in lines]
    read = run_script("cookies.mjs", {"name": name, "lines": [as_node_joins([line]) for line in sent + lines]})
    judged = 0
    for line, readings in zip(lines, read, strict=False):
        values = cookie_values([line], name)
        if len(values) == 1 and TOKEN.fullmatch(values[0]):
            judged += 1
            assert set(readings.values()) == {values[0]}, line
    assert judged > 500
    # And the tests of the ordinary run have them right.
    for line, readings in zip(sent + lines, read, strict=True):
        for reader, value in readings.items():
            own = READERS[reader.removesuffix(" by name")](as_node_joins([line]), name)
            assert value == own or (value is not None and "%" in (own or "")), (reader, line, value)


def test_lock_file_names_no_registry() -> None:
    text = (HERE / "package-lock.json").read_text()
    assert '"resolved"' not in text
    packages = json.loads(text)["packages"]
    assert [name for name, one in packages.items() if name and "integrity" not in one] == []
