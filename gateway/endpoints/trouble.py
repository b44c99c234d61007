"""What is wrong with a gateway: what, why, since when, and what to do. Told from its state, the worst first.

`error`: somebody is being refused who should not be, or soon will be. `warning`: it works, and should be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_DAY_SECONDS = 86400.0
_CERTIFICATE_ERROR_SECONDS, _CERTIFICATE_WARNING_SECONDS = 3 * _DAY_SECONDS, 21 * _DAY_SECONDS

Trouble = dict[str, Any]  # as JSON has it: level, what, why, since_seconds, do


def troubles_of(state: dict[str, Any]) -> list[Trouble]:
    """Return what is wrong, the worst first; of the same level in the order of this page."""
    found = [
        *_process(state),
        *_providers(state),
        *_upstreams(state),
        *_store(state),
        *_configuration(state),
        *_audit(state),
        *_revocation(state),
        *_engines(state),
        *_certificate(state),
    ]
    return sorted(found, key=lambda one: one["level"] != "error")


def no_worker_answers() -> Trouble:
    """Return what is wrong when nobody can say more."""
    return _trouble(
        "error", "no worker answers", None, None,
        "Look at the log for why they end; each is started again within 30 s.",
    )  # fmt: skip


def _process(state: dict[str, Any]) -> Iterator[Trouble]:
    seconds = state["takes_requests_seconds"]
    if state["draining"] and seconds is not None:
        yield _trouble(
            "error", f"it is draining: requests are taken for {seconds:.0f} s more",
            "SIGTERM or SIGINT came: `/readyz` is 503, so that balancers send no others (`drain_delay`)", None,
            "Nothing, if you stopped it.",
        )  # fmt: skip
    elif state["draining"]:
        yield _trouble(
            "error", "it is stopping", "SIGTERM or SIGINT came: requests under way may end, no other begins", None,
            "Nothing, if you stopped it.",
        )  # fmt: skip
    if not state["agree"]:
        yield _trouble(
            "warning", "the workers have read different routes", None, None,
            "Wait some seconds after a change of the file; if it stays, send SIGHUP.",
        )  # fmt: skip


def _providers(state: dict[str, Any]) -> Iterator[Trouble]:
    for name, keys in _sources(state):
        if keys["state"] == "fresh":
            continue
        since = keys["failing_seconds"]
        if keys["last_error"] is None and keys["state"] == "none":
            yield _trouble(
                "error", f"the keys of {name} are still being fetched", keys["label"], state["uptime_seconds"],
                "Wait: a key server that is slow is given up after `jwks.timeout`.",
            )  # fmt: skip
            continue
        is_gone = keys["state"] == "none"
        what = f"{name} has no usable keys" if is_gone else f"{name} lives on old keys"
        effect = "its callers get 503" if is_gone else "its callers still pass, until `stale_if_error` ends"
        yield _trouble(
            "error" if is_gone else "warning", f"{what}: {effect}", f"{keys['label']}: {keys['last_error']}", since,
            "Check that this machine reaches that address (name, firewall, proxy), and that it answers with a key set. "
            + _next_try(keys),
        )  # fmt: skip


def _sources(state: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each place of keys, and whose it is in words."""
    for provider in state["providers"]:
        if provider["sources"]:
            yield from ((f"provider {provider['name']} for {keys['label']}", keys) for keys in provider["sources"])
        elif provider["keys"] is not None:
            yield f"provider {provider['name']}", provider["keys"]


def _next_try(keys: dict[str, Any]) -> str:
    seconds = keys["next_refresh_seconds"] or 0
    return f"The next try is in {seconds:.0f} s." if seconds >= 1 else "It is being tried again."


def _upstreams(state: dict[str, Any]) -> Iterator[Trouble]:
    for upstream in state["upstreams"]:
        if upstream["state"] == "fails":
            cause, do = _parts(upstream["last_error"] or "", f"upstream {upstream['name']} at {upstream['url']}: ")
            yield _trouble(
                "error", f"upstream {upstream['name']} gives no answers", f"{upstream['url']}: {cause}",
                upstream["failing_seconds"], f"{do} The next answer clears this.",
            )  # fmt: skip
        whose = f"the certificate of upstream {upstream['name']}"
        yield from _ending(
            whose, upstream["certificate_expires_seconds"], "the gateway refuses to connect",
            f"Have a new one made for {upstream['url']}.",
        )  # fmt: skip


def _parts(error: str, beginning: str) -> tuple[str, str]:
    """Return what an upstream's failure says, and what it says to check, as a sentence."""
    cause, _, check = error.removeprefix(beginning).rpartition(": ")
    if not cause:
        return check or "half an answer", "Look at its log of that time."
    return cause, f"{check[:1].upper()}{check[1:]}."


def _store(state: dict[str, Any]) -> Iterator[Trouble]:
    store = state["shared"]
    if store is None or store["state"] != "down":
        return
    refuses = store["if_down"] == "refuse"
    effect = "requests of routes with a budget get 429" if refuses else "each process counts budgets for itself"
    yield _trouble(
        "error" if refuses else "warning", f"the shared store cannot be asked: {effect}",
        f"{store['at']}: {store['problem']}", store["since_seconds"],
        "Check that Redis runs there, takes writes, and knows the user and password of `shared.url`. It is tried again "
        "each second.",
    )  # fmt: skip


def _configuration(state: dict[str, Any]) -> Iterator[Trouble]:
    error = state["configuration"]["reload_error"]
    if error is not None:
        yield _trouble(
            "warning", "the configuration in the file is not in force: the one before it is", error,
            state["configuration"]["reload_failed_seconds_ago"],
            "Correct the file (`gateway check` names every mistake with its place); it is read again when it changes.",
        )  # fmt: skip


def _audit(state: dict[str, Any]) -> Iterator[Trouble]:
    audit = state["audit"]
    if audit is not None and audit["failing_seconds"] is not None:
        effect = "what it has to name is refused (503)" if audit["refuses"] else "requests pass without their line"
        yield _trouble(
            "error", f"the audit cannot be written: {effect}", f"{audit['file']}: {audit['last_error']}",
            audit["failing_seconds"],
            "Make room, or have the gateway's user own the file and its folder; the next line that is there clears it.",
        )  # fmt: skip


def _revocation(state: dict[str, Any]) -> Iterator[Trouble]:
    revocation = state["revocation"]
    if revocation["error"] is not None:
        yield _trouble(
            "error", "the list in `revoked_file` is not in force: the former one is, and `/readyz` is 503",
            revocation["error"], revocation["failed_seconds_ago"],
            "Correct the file (`gateway check` names every mistake with its place); it is read again when it changes.",
        )  # fmt: skip
    if revocation["is_shared"] is False:
        yield _trouble(
            "warning", "logouts that other processes hear of are not known here", "the shared store gives no answer",
            None, "See to the store that `shared.url` names; what was missed is heard once it answers.",
        )  # fmt: skip


def _engines(state: dict[str, Any]) -> Iterator[Trouble]:
    for engine, names in state["outdated_engines"].items():
        yield _trouble(
            "warning", f"{engine} asks with a configuration that was printed before the file changed",
            f"it does not know {', '.join(names)}: it cannot set them, and where it cannot be told to take one away, "
            "a request that carries it is refused", None,
            "Print it again (`gateway compile`), and have the engine read it; the next reload or start clears this.",
        )  # fmt: skip


def _certificate(state: dict[str, Any]) -> Iterator[Trouble]:
    yield from _ending(
        "the certificate of the public port", state["certificate_expires_seconds"], "clients refuse to connect",
        "Put a new one in the place of `tls.certificate_file` and `key_file`: they are read when they change.",
    )  # fmt: skip


def _ending(whose: str, left: float | None, effect: str, do: str) -> Iterator[Trouble]:
    if left is None or left > _CERTIFICATE_WARNING_SECONDS:
        return
    days = round(left / _DAY_SECONDS)
    what = f"ends in {days} day{'' if days == 1 else 's'}" if left > 0 else f"has ended: {effect}"
    level = "error" if left < _CERTIFICATE_ERROR_SECONDS else "warning"
    yield _trouble(level, f"{whose} {what}", None, -left if left < 0 else None, do)


def _trouble(level: str, what: str, why: str | None, since_seconds: float | None, do: str) -> Trouble:
    return {"level": level, "what": what, "why": why, "since_seconds": since_seconds, "do": do}
