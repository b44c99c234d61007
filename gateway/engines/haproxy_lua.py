"""The Lua file of HAProxy: it asks, sets what the decision says, and answers with each refusal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gateway.engines.plan import CORS_NAMES, DECISION_SECONDS, Plan, Where, host_and_port
from gateway.proxy.dialects import HAPROXY, REMOVE, TARGET, UPSTREAM

_SCRIPT: Final = """\

local services = %(services)s
local told = %(told)s            -- set by the decision, deleted where it says nothing
local stripped = %(stripped)s
local on_responses = %(responses)s
-- Of the question itself, not of the client.
local own = {["content-length"] = true, ["transfer-encoding"] = true, ["x-original-method"] = true,
    ["x-original-uri"] = true, ["x-forwarded-for"] = true, ["x-forwarded-proto"] = true, ["expect"] = true,
    ["trailer"] = true, ["te"] = true, ["keep-alive"] = true}
local of_connection = {["content-length"] = true, ["connection"] = true, ["transfer-encoding"] = true,
    ["keep-alive"] = true}
local next_service = 0

local function first(headers, name)
    local values = headers[name]
    return values and values[0]
end

local function question(txn)
    local headers, chain = {}, {}
    for name, values in pairs(txn.http:req_get_headers()) do
        local given, count = {}, 0
        while values[count] ~= nil do
            given[count + 1] = values[count]
            count = count + 1
        end
        if name == "x-forwarded-for" then chain = given end
        if not own[name] then headers[name] = given end
    end
    -- Any other protocol ends here, and the request is an ordinary one.
    local upgrade = headers["upgrade"]
    if upgrade and not (#upgrade == 1 and upgrade[1]:lower() == "websocket") then headers["upgrade"] = nil end
    chain[#chain + 1] = txn.sf:src()
    headers["x-forwarded-for"] = {table.concat(chain, ", ")}
    headers["x-forwarded-proto"] = {txn:get_var("txn.gateway_scheme")}
    headers["x-original-method"] = {txn.sf:method()}
    headers["x-original-uri"] = {txn.sf:url()}
    return headers
end

local function ask(headers)
    next_service = next_service %% #services + 1
    -- Of this request alone: while it waits, others move `next_service`, and it would ask the dead one twice.
    local chosen = next_service
    for _ = 1, #services do
        local answer = core.httpclient():get{
            url = "http://gateway.decisions%(asking_at)s", dst = services[chosen], headers = headers,
            timeout = %(milliseconds)d}
        -- Every answer of ours has an id; a 5xx of HAProxy itself has none: nobody answered.
        if answer and answer.headers and answer.headers["x-request-id"] then return answer end
        chosen = chosen %% #services + 1
    end
    return nil
end

local function refuse(txn, answer)
    local headers = {}
    for name, values in pairs(answer.headers) do
        if not of_connection[name] then
            local given, count = {}, 0
            while values[count] ~= nil do
                given[count + 1] = values[count]
                count = count + 1
            end
            headers[name] = given
        end
    end
    local reply = txn:reply{status = answer.status, headers = headers, body = answer.body or ""}
    txn:done(reply)
end

local function pass(txn, answer)
    local target, upstream = first(answer.headers, "%(target)s"), first(answer.headers, "%(upstream)s")
    if not target or target:sub(1, 1) ~= "/" or not upstream then return end
    local upgrade = first(txn.http:req_get_headers(), "upgrade")
    txn.http:req_del_header("upgrade")
    txn.http:req_del_header("connection")
    if %(websocket)s and upgrade and upgrade:lower() == "websocket" then
        txn.http:req_set_header("connection", "upgrade")
        txn.http:req_set_header("upgrade", "websocket")
    end
    for name in (first(answer.headers, "%(remove)s") or ""):gmatch("[^, ]+") do txn.http:req_del_header(name) end
    for _, name in ipairs(stripped) do txn.http:req_del_header(name) end
    for _, name in ipairs(told) do
        local value = first(answer.headers, name)
        if value then txn.http:req_set_header(name, value) else txn.http:req_del_header(name) end
    end
    for _, name in ipairs(on_responses) do
        local value = first(answer.headers, name)
        if value then txn:set_var("txn.gateway_" .. name:gsub("-", "_"), value) end
    end
    txn.http:req_set_uri(target)
    txn:set_var("txn.gateway_upstream", upstream)
    -- Last: whatever went wrong before, nothing is allowed.
    txn:set_var("txn.gateway_allowed", "yes")
end

core.register_action("gateway_decide", {"http-req"}, function(txn)
    local answer = ask(question(txn))
    if not answer then return end
    if answer.status == 200 then pass(txn, answer) else refuse(txn, answer) end
end, 0)
"""


def _asked(where: Where) -> str:
    return f"unix@{where}" if isinstance(where, Path) else f"{host_and_port(where.host, where.port)}"


def _list(names: Iterable[str]) -> str:
    return "{" + ", ".join(f'"{name.lower()}"' for name in names) + "}"


def lua(plan: Plan) -> str:
    on_responses = ("X-Request-Id", *((*CORS_NAMES, "Vary") if plan.owns_cors else ()))
    return _SCRIPT % {
        "services": _list_of_services(plan),
        "asking_at": plan.asking_at(HAPROXY),
        "milliseconds": round(DECISION_SECONDS * 1000),
        "told": _list(plan.told),
        "stripped": _list(plan.stripped),
        "responses": _list(on_responses),
        "target": TARGET.lower(),
        "upstream": UPSTREAM.lower(),
        "remove": REMOVE.lower(),
        "websocket": "true" if plan.has_websocket else "false",
    }


def _list_of_services(plan: Plan) -> str:
    return "{" + ", ".join(f'"{_asked(one)}"' for one in plan.decisions) + "}"
