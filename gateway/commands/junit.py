"""JUnit's XML, which every CI reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree  # writes only: nothing is parsed

from gateway.explain.judge import Judged

# XML 1.0 section 2.2 has no way to write these.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, results: Sequence[Judged]) -> None:
    """Write the results of cases. Raises `OSError`."""
    failures = sum(1 for result in results if not result.is_as_expected)
    suite = ElementTree.Element("testsuite", name="gateway test", tests=str(len(results)), failures=str(failures))
    for result in results:
        case = ElementTree.SubElement(suite, "testcase", name=_clean(result.case.name), classname=result.case.where)
        if not result.is_as_expected:
            message = f"expected {result.case.expect}, found {result.words}"
            ElementTree.SubElement(case, "failure", message=message).text = _clean(result.detail)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
