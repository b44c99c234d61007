-- What wrk sends. Environment: METHOD, TOKENS (a file, one a line; empty: none), VARY=1 (no two heads alike), BODY_BYTES,
-- RESULT (where the figures go).
local tokens, at, sequence = {}, 0, 0
local method, varies = os.getenv("METHOD"), os.getenv("VARY") == "1"
local fields = {
  ["User-Agent"] = "agent-client/1.4 (linux; x64)", ["Accept"] = "application/json",
  ["Accept-Encoding"] = "gzip, deflate", ["Accept-Language"] = "en",
}
local requests = {}

function init(args)
  local size = tonumber(os.getenv("BODY_BYTES"))
  local body = size > 0 and string.rep("x", size) or nil
  if os.getenv("TOKENS") ~= "" then
    for line in io.lines(os.getenv("TOKENS")) do tokens[#tokens + 1] = line end
  end
  for number = 1, math.max(#tokens, 1) do
    if #tokens > 0 then fields["Authorization"] = "Bearer " .. tokens[number] end
    requests[number] = wrk.format(method, wrk.path, fields, body)
  end
end

function request()
  at = at % #requests + 1
  if not varies then return requests[at] end
  sequence = sequence + 1
  local whole = requests[at]
  local version = string.find(whole, " HTTP/1.1\r\n", 1, true)
  return string.sub(whole, 1, version - 1) .. "?n=" .. sequence .. " HTTP/1.1\r\nx-request-id: 0f8b7c1e-" .. sequence
    .. string.sub(whole, version + 9)
end

function done(summary, latency, _)
  local file = assert(io.open(os.getenv("RESULT"), "w"))
  local errors = summary.errors
  file:write(string.format('{"requests": %d, "microseconds": %d, "p50": %f, "p99": %f, "status_errors": %d, "broken": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
  file:close()
end
