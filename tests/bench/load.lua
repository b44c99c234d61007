-- What wrk sends. Environment: METHOD, TOKENS and PATHS (files, one a line; empty: none, and the path of the URL), VARY
-- (`head`: no two heads alike, `fields`: each of MORE_FIELDS differs), MORE_FIELDS, BODY_BYTES, CHUNK_BYTES (0: with a
-- length), PAGE=1 (preflight and POST of a page in turn), ORIGIN, WARM=1 (begin in the middle), RESULT (the figures).
local tokens, paths, requests, at, sequence = {}, {}, {}, 0, 0
local method, varies, origin = os.getenv("METHOD"), os.getenv("VARY"), os.getenv("ORIGIN")
local size, chunk = tonumber(os.getenv("BODY_BYTES")), tonumber(os.getenv("CHUNK_BYTES"))
local is_page = os.getenv("PAGE") == "1"
local fields = {
  ["User-Agent"] = "agent-client/1.4 (linux; x64)", ["Accept"] = "application/json",
  ["Accept-Encoding"] = "gzip, deflate", ["Accept-Language"] = "en",
}
local of_browser = {
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
  ["Accept"] = "*/*", ["Accept-Encoding"] = "gzip, deflate, br, zstd", ["Accept-Language"] = "en-US,en;q=0.9",
  ["Connection"] = "keep-alive", ["Origin"] = origin, ["Referer"] = origin .. "/", ["Sec-Fetch-Dest"] = "empty",
  ["Sec-Fetch-Mode"] = "cors", ["Sec-Fetch-Site"] = "same-site",
}

local function lines_of(name)
  local found = {}
  if os.getenv(name) ~= "" then for line in io.lines(os.getenv(name)) do found[#found + 1] = line end end
  return found
end

local function with(these, more)
  local both = {}
  for name, value in pairs(these) do both[name] = value end
  for name, value in pairs(more) do both[name] = value end
  return both
end

local function chunked(body)
  local pieces = {}
  for from = 1, #body, chunk do
    local piece = string.sub(body, from, from + chunk - 1)
    pieces[#pieces + 1] = string.format("%x\r\n%s\r\n", #piece, piece)
  end
  return table.concat(pieces) .. "0\r\n\r\n"
end

function init(args)
  tokens, paths = lines_of("TOKENS"), lines_of("PATHS")
  local body = (size > 0 or method == "POST") and string.rep("x", size) or nil
  -- An @ is what becomes a number that never came before.
  for number = 1, tonumber(os.getenv("MORE_FIELDS")) do
    fields[string.format("X-Context-%02d", number)] = string.format("0f8b7c1e-%02d-%s", number, varies == "fields" and "@" or "0")
  end
  for number = 1, math.max(#tokens, #paths, 1) do
    local path = #paths > 0 and paths[(number - 1) % #paths + 1] or wrk.path
    local bearer = #tokens > 0 and { ["Authorization"] = "Bearer " .. tokens[(number - 1) % #tokens + 1] } or {}
    if is_page then
      requests[2 * number - 1] = wrk.format("OPTIONS", path, with(of_browser, {
        ["Access-Control-Request-Method"] = "POST", ["Access-Control-Request-Headers"] = "authorization,content-type" }))
      requests[2 * number] = wrk.format("POST", path, with(with(of_browser, bearer), {
        ["Content-Type"] = "application/json", ["Cookie"] = "theme=dark; _ga=GA1.1.1234567890.1700000000; sidebar=open",
        ["sec-ch-ua"] = '"Chromium";v="140", "Not=A?Brand";v="24"', ["sec-ch-ua-mobile"] = "?0",
        ["sec-ch-ua-platform"] = '"Linux"' }), body)
    elseif chunk > 0 then
      requests[number] = wrk.format(method, path, with(with(fields, bearer), { ["Transfer-Encoding"] = "chunked" }))
        .. chunked(body)
    else
      requests[number] = wrk.format(method, path, with(fields, bearer), body)
    end
  end
  -- The measurement begins at the first one again, so what is new to it was not asked for just before.
  if os.getenv("WARM") == "1" then at, sequence = 2 * math.floor(#requests / 4), 1000000000 end
end

function request()
  at = at % #requests + 1
  local whole = requests[at]
  if varies == "" then return whole end
  sequence = sequence + 1
  if varies == "fields" then return (string.gsub(whole, "@", sequence)) end
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
