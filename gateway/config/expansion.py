"""What a preset stands for, written out: its row and its parameters in, a provider of type oidc out, as a file says it.

What is written out points at the parameter it comes from, so that a mistake in it does as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product

from gateway.config.document import Entry, Fields, Items, Node, Place, Text
from gateway.config.model import Expansion
from gateway.config.presets import PRESETS, Given, Parameter, Preset
from gateway.config.readers import Mistake
from gateway.config.reading import Reading, Unreadable, attempt
from gateway.config.variables import set_instead
from gateway.policy.words import listed

_BRACES = re.compile(r"\{(\w+)\}")
_KEYS_GIVEN = ("jwks_uri", "jwks_file", "public_key_files")  # one of these in the file: the preset says none


@dataclass(frozen=True, slots=True)
class _Piece:
    """One value of a parameter. `shown` is what a message may show of it: the variable's name, where it is one's."""

    text: str
    shown: str
    place: Place


_Pieces = Mapping[str, tuple[_Piece, ...]]


def expand(kind: str, node: Fields, reading: Reading) -> tuple[Fields, Expansion]:
    """Return the provider as type oidc has it, and what was added. Raises `Unreadable`, with the why in the reading.

    What the file says counts before what the preset says, but for what would open a hole.
    """
    preset = PRESETS[kind]
    pieces = _pieces(preset, node, reading)
    given = {name: tuple(piece.text for piece in values) for name, values in pieces.items()}
    _check_either(preset, node, given, reading)
    _check_shut(preset, node, given, reading)
    _check_written_by_users(preset, node, reading)
    at = _place_of_type(node)
    says, claims = _said(preset, given)
    named = {entry.key.text for entry in node.entries}
    if named.intersection(_KEYS_GIVEN):
        says.pop("jwks_uri", None)
    written = {name: _write(templates, pieces, at) for name, templates in says.items() if name not in named}
    for name, what in preset.needs.items():
        if name not in named and name not in written:
            reading.add(node.key_place, f"'{name}' is missing, expected {what}")
            raise Unreadable
    entries = [_entry(name, values, node, at) for name, values in written.items()]
    asked = {name: _write((template,), pieces, at) for name, template in claims.items()}
    expansion = Expansion(
        path=node.key_place.path,
        preset=kind,
        says=tuple((name, tuple(value.shown for value in values)) for name, values in written.items()),
        claims=tuple((name, tuple(value.shown for value in values)) for name, values in asked.items()),
        expected_claims=tuple((name, frozenset(value.text for value in values)) for name, values in asked.items()),
        open_to=preset.open_to if preset.is_open(given) else "",
        without_email=preset.without_email if preset.lacks_email(given) and "email_claim" not in named else "",
    )
    return replace(node, entries=(*node.entries, *entries)), expansion


def _pieces(preset: Preset, node: Fields, reading: Reading) -> _Pieces:
    found: dict[str, tuple[_Piece, ...]] = {}
    is_broken = False
    is_said = any(node.get(name) is not None for name in preset.either)
    for parameter in preset.parameters:
        # What the file says in another way counts before the environment.
        asks = not (is_said and parameter.key.name in preset.either)
        values = attempt(_values, parameter, node, reading, asks_environment=asks)
        if values is None:
            is_broken = True
            continue
        if values:
            found[parameter.key.name] = values
        for name, follow in parameter.also.items():
            found[name] = tuple(_following(one, name, follow) for one in values)
    if is_broken:
        raise Unreadable
    return found


def _following(piece: _Piece, name: str, follow: Callable[[str], str]) -> _Piece:
    text = follow(piece.text)
    return replace(piece, text=text, shown=text if piece.shown == piece.text else f"({name} of {piece.shown})")


def _values(parameter: Parameter, node: Fields, reading: Reading, *, asks_environment: bool) -> tuple[_Piece, ...]:
    """Return what the file says for a parameter, else the environment, else its default; none where nobody does."""
    field = parameter.key
    value = node.get(field.name)
    if value is not None:
        read = field.reader.read(value, reading)
        members = value.members if isinstance(value, Items) else (value,)
        texts = read if isinstance(read, tuple) else (read,)
        return tuple(_piece(text, member) for text, member in zip(texts, members, strict=True))
    held = reading.environment.get(parameter.variable, "").strip() if asks_environment else ""
    if held:
        try:
            text = field.reader.parse(held)  # type: ignore[attr-defined]  # those with a variable are scalars
        except Mistake as mistake:
            said = f" {mistake.unquoted}" if mistake.unquoted else ""
            expected = field.reader.expected  # type: ignore[attr-defined]
            reading.refuse_at(node.key_place, f"{parameter.variable}: found a value{said}, expected {expected}")
        return (_Piece(text, f"${{{parameter.variable}}}", node.key_place),)
    if field.is_required:
        reading.refuse_at(node.key_place, f"'{field.name}' is missing, expected {field.meaning}")
    if field.default and not parameter.variable:
        return (_Piece(field.default, field.default, node.key_place),)
    return ()


def _piece(text: str, node: Node) -> _Piece:
    is_hidden = isinstance(node, Text) and node.is_replaced
    return _Piece(text, node.written if is_hidden and isinstance(node, Text) else text, _start(node))


def _check_either(preset: Preset, node: Fields, given: Given, reading: Reading) -> None:
    if not preset.either:
        return
    written = [name for name in preset.either if node.get(name) is not None]
    if len(written) > 1:
        second = node.get(written[1])
        place = second.key_place if second is not None else node.key_place
        reading.refuse_at(place, f"found {listed(written, 'and')}, expected one of them")
    if not any(name in given for name in preset.either):
        variables = [p.variable for p in preset.parameters if p.variable]
        instead = set_instead(variables[0], reading.environment) if variables else ""
        unset = f" and {variables[0]} is not set{instead}" if variables else ""
        missing = listed([f"'{name}'" for name in preset.either])
        fields = {parameter.key.name: parameter.key for parameter in preset.parameters}
        expected = fields[preset.either[0]].meaning
        reading.refuse_at(node.key_place, f"{missing} is missing{unset}, expected {expected}")


def _check_shut(preset: Preset, node: Fields, given: Given, reading: Reading) -> None:
    """Refuse what would open a hole: with type oidc it can be said, where somebody means it."""
    for (key, shut), (why, applies) in preset.shut.items():
        value = node.get(key)
        if isinstance(value, Text) and value.text == shut and applies(given):
            reading.refuse(value, f"found {shut}, which does not go with this type: {why}")


def _check_written_by_users(preset: Preset, node: Fields, reading: Reading) -> None:
    for entry in node.entries:
        value = entry.value
        if not preset.written_by_users or not entry.key.text.endswith("_claim") or not isinstance(value, Text):
            continue
        if value.text.removeprefix("/").partition("/")[0] == preset.written_by_users:
            found = f"found a claim of {preset.written_by_users}, which users write themselves"
            reading.refuse(value, f"{found}, expected one that they cannot change, such as /app_metadata/role")


def _said(preset: Preset, given: Given) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    says: dict[str, tuple[str, ...]] = {}
    claims: dict[str, str] = {}
    for words in preset.words:
        if words.when(given):
            says |= {name: (told,) if isinstance(told, str) else told for name, told in words.says.items()}
            claims |= words.claims
    return says, claims


def _write(templates: Iterable[str], pieces: _Pieces, at: Place) -> list[_Piece]:
    """Return every value that some templates give: a parameter of several values gives several."""
    return [value for template in templates for value in _filled(template, pieces, at)]


def _filled(template: str, pieces: _Pieces, at: Place) -> Iterable[_Piece]:
    names = [name for name in dict.fromkeys(_BRACES.findall(template)) if name in pieces]
    for chosen in product(*(pieces[name] for name in names)):
        by_name = dict(zip(names, chosen, strict=True))
        text = _fill(template, {name: piece.text for name, piece in by_name.items()})
        shown = _fill(template, {name: piece.shown for name, piece in by_name.items()})
        yield _Piece(text, shown, chosen[0].place if chosen else at)


def _fill(template: str, values: Mapping[str, str]) -> str:
    return _BRACES.sub(lambda found: values.get(found[1], found[0]), template)


def _entry(name: str, values: list[_Piece], node: Fields, at: Place) -> Entry:
    # Its path is that of the parameter: there is no such key in the file.
    first = values[0].place
    members = tuple(Text(value.place, value.place, value.text, value.shown) for value in values)
    value: Node = members[0] if len(members) == 1 else Items(first, first, members)
    return Entry(Text(at, at, name, name), value)


def _place_of_type(node: Fields) -> Place:
    value = node.get("type")
    return _start(value) if value is not None else node.key_place


def _start(node: Node) -> Place:
    return replace(node.place, path=node.key_place.path)
