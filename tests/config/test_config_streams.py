"""`streams:` and `revoked_file:` what they say, and every mistake in them with its place, naming nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.document import ConfigError
from gateway.config.revoked import load_revoked
from gateway.policy.streams import Streams
from tests.configuring import SECRET, file_with, full, mistakes, read
from tests.machines import line_of

ALL = "streams: {end: with_token, grace: 10s, max: 2h, heartbeat: 15s}"


def streams_of(route: str = "", streams: str = "", **more: str) -> Streams | None:
    said = f", streams: {route}" if route else ""
    routes = f"routes: {{/api: {{provider: jobs, allow: authenticated{said}}}}}"
    config = read(file_with(routes=routes, streams=streams, **more), mounted={"revoked.yaml": b""})
    return config.policy.routes[0].streams


def test_route_says_otherwise_key_by_key() -> None:
    assert streams_of() is None
    assert streams_of(streams=ALL) == Streams(10.0, 7200.0, 15.0)
    assert streams_of("{max: 5m}", ALL) == Streams(10.0, 300.0, 15.0)
    assert streams_of("{grace: 0s}", ALL) == Streams(0.0, 7200.0, 15.0)
    assert streams_of("{end: with_token}", ALL) == Streams(30.0, 7200.0, 15.0), "an end of its own, with its default"
    assert streams_of("{end: by_itself, max: none, heartbeat: none}", ALL) is None
    assert streams_of("{heartbeat: 15s}") == Streams(heartbeat_seconds=15.0)
    assert streams_of("{end: with_token}") == Streams(30.0)


def test_streams_are_followed_where_a_caller_may_be_revoked() -> None:
    assert streams_of(revoked="revoked_file: revoked.yaml") == Streams()
    public = file_with(routes="routes: {/api: {public: true}}", revoked="revoked_file: revoked.yaml")
    config = read(public, mounted={"revoked.yaml": b""})
    assert config.policy.routes[0].streams is None, "there is no caller"


@pytest.mark.parametrize(
    ("streams", "found"),
    [
        ("{grace: 5s}", "4:11: streams.grace: found 'grace' of streams without an end, expected 'end: with_token'"),
        (
            "{end: by_itself, grace: 5s}",
            "4:27: streams.grace: found 'grace' of streams without an end, expected 'end: with_token'",
        ),
        ("{end: token}", "4:16: streams.end: found 'token', expected with_token or by_itself"),
        ("{max: 0s}", "4:16: streams.max: found '0s' which is no time at all, expected a duration"),
        ("{max: off}", "4:16: streams.max: found 'off', expected a value or the word none"),
        ("{beat: 1s}", "4:11: streams.beat: unknown key (did you mean 'heartbeat'?)"),
    ],
)  # fmt: skip
def test_mistake_in_streams(streams: str, found: str) -> None:
    (said,) = mistakes(file_with(streams=f"streams: {streams}"))
    assert said.startswith(found.partition(" (did")[0])


def revoked(text: str, file: str | None = None) -> list[str]:
    whole = file or file_with(revoked="revoked_file: revoked.yaml")
    return mistakes(whole, mounted={"revoked.yaml": text.encode(), "keys.yaml": line_of("worker").encode()})


def test_entries_are_read() -> None:
    text = "revoked:\n  - {sub: a, provider: jobs}\n  - sid: b\n  - {jti: 42}\n  - before: 2026-11-21T05:00:00Z\n"
    config = read(file_with(revoked="revoked_file: revoked.yaml"), mounted={"revoked.yaml": text.encode()})
    assert config.policy.revoked is not None and config.revoked_file is not None
    sub, sid, jti, before = config.policy.revoked.listed.entries
    assert (sub.subject, sub.provider, sub.where) == ("a", "jobs", "revoked.yaml:2")
    assert (sid.session, jti.token, before.before) == ("b", "42", 1795237200.0)
    assert config.sources == (), "it is watched by itself"


@pytest.mark.parametrize("text", ["", "# all was taken back\n", "revoked: []\n"])
def test_nobody_is_revoked_by_an_empty_file(text: str) -> None:
    assert revoked(text) == []
    assert read(file_with(revoked="revoked_file: revoked.yaml"), mounted={"revoked.yaml": text.encode()}).policy.revoked is None  # fmt: skip # noqa: E501


def test_file_that_is_not_there_can_be_made() -> None:
    said = full(file_with(revoked="revoked_file: revoked.yaml"))
    assert "revoked_file: the file cannot be read: No such file or directory" in said
    assert "  make it: an empty file revokes nothing\n" in said


MISTAKES = {
    "nobody": ("revoked: [{provider: jobs}]", "revoked.yaml:1:11: revoked[0]: found nobody, expected"),
    "alone": ("revoked: [SECRET-NAME]", "revoked.yaml:1:11: revoked[0]: found a single value"),
    "mapping": ("revoked: {sub: SECRET-NAME}", "revoked.yaml:1:10: revoked: found a mapping"),
    "key": ("revoked: [{subject: SECRET-NAME}]", "revoked.yaml:1:12: revoked[0].subject: unknown key (the claim is"),
    "token": ("revoked: [{token: SECRET-NAME}]", "revoked.yaml:1:12: revoked[0].token: unknown key (no file holds"),
    "whole": (
        "revoked: [{jti: eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.SECRET-NAME}]",
        "revoked.yaml:1:17: revoked[0].jti: found a whole token, expected the id of a token",
    ),
    "empty": ("revoked: [{sub: ''}]", "revoked.yaml:1:17: revoked[0].sub: found an empty value"),
    "list": ("revoked: [{sub: [SECRET-NAME]}]", "revoked.yaml:1:17: revoked[0].sub: found a list"),
    "moment": ("revoked: [{before: yesterday}]", "revoked.yaml:1:20: revoked[0].before: found 'yesterday'"),
    "provider": (
        "revoked: [{sub: SECRET-NAME, provider: jbos}]",
        "revoked.yaml:1:40: revoked[0].provider: unknown provider 'jbos' (did you mean 'jobs'?)",
    ),
    "other": ("denied: []", "revoked.yaml:1:1: denied: unknown key"),
    "twice": ("revoked: []\nrevoked: []", "revoked.yaml:2:1: revoked: "),
    "yaml": ("revoked: [{sub: SECRET-NAME", "revoked.yaml:"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_told_with_its_place_and_names_nobody(name: str) -> None:
    text, found = MISTAKES[name]
    first, *_ = revoked(text)
    assert first.startswith(found)
    with pytest.raises(ConfigError) as refusal:
        read(file_with(revoked="revoked_file: revoked.yaml"), mounted={"revoked.yaml": text.encode()})
    assert "SECRET-NAME" not in str(refusal.value)


def test_all_mistakes_come_out_of_one_run() -> None:
    assert len(revoked("revoked:\n  - {}\n  - {sub: }\n  - x\n")) == 3


def test_subject_without_provider_is_warned_about_where_there_are_several() -> None:
    providers = (
        f"providers: {{jobs: {{type: jwt, secret: {SECRET}, issuer: a}}, m: {{type: keys, keys_file: keys.yaml}}}}"
    )
    text = b"revoked:\n  - {sub: a}\n  - {sub: a, provider: m}\n  - {sid: b}\n"
    mounted = {"revoked.yaml": text, "keys.yaml": line_of("worker").encode()}
    config = read(file_with(providers=providers, revoked="revoked_file: revoked.yaml"), mounted=mounted)
    assert [one for one in config.warnings if "revoked.yaml" in one] == [
        "revoked.yaml:2:5: revoked[0]: names no provider: of every provider whoever is called so is refused"
        " (`provider: NAME`)"
    ]


def test_file_is_read_alone_for_a_configuration_in_force(tmp_path: Path) -> None:
    config, path = read(file_with()), tmp_path / "revoked.yaml"
    path.write_text("revoked: [{sub: a}]")
    assert load_revoked(path, config.providers).find("jobs", "a", {}) is not None
    path.write_text('revoked: [{sub: "${HOME}"}]')
    with pytest.raises(ConfigError, match="1:17"):
        load_revoked(path, config.providers)
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_revoked(path, config.providers)


def test_large_list_is_read_and_looked_up_in_no_time() -> None:
    text = "revoked:\n" + "".join(f"  - {{sub: user-{number}}}\n" for number in range(10_000))
    config = read(file_with(revoked="revoked_file: revoked.yaml"), mounted={"revoked.yaml": text.encode()})
    assert config.policy.revoked is not None and len(config.policy.revoked.listed.entries) == 10_000
