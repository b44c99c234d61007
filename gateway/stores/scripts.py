"""What Redis does for us in one step each, by its own clock. In Lua, as Redis 6.2 and later run it.

A window is a text: the moments of requests in microseconds, and how many came at each, in twelve bytes. With a sorted
set or a list each moment takes three to thirty times as much. A stream is a member of a sorted set, with the moment at
which it is over unless it is renewed.
What is found of another type under a key of ours is thrown away: nobody else has keys that begin so.
"""

from __future__ import annotations

from typing import Final

# KEYS: for each budget that of its streams, and that of its window. ARGV: the lease (empty: none is taken), for how
# many milliseconds it is good (0: nothing is counted, it is only told what there is), and for each budget how many
# streams (-1: any number), how many requests (-1: likewise), and the lengths of window and granule in microseconds.
# Returns the number of the budget that refuses (0: none), 1 for its streams or 2 for its requests, after how many
# microseconds it would not; and for each budget how many requests and streams there are, and for how long the first of
# the requests counts.
SPEND: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lease, life = ARGV[1], tonumber(ARGV[2])
local answer = {0, 0, 0}
local windows = {}

local function own(kind, ...)
  local found = redis.pcall(...)
  if type(found) == 'table' and found.err then
    if not string.find(found.err, 'WRONGTYPE', 1, true) then return found end
    redis.call('DEL', (select(2, ...)))
    return kind
  end
  return found
end

for i = 1, #KEYS / 2 do
  local most = tonumber(ARGV[4 * i - 1])
  local open = 0
  if most >= 0 then
    open = own(0, 'ZCOUNT', KEYS[2 * i - 1], string.format('(%.0f', now), '+inf')
    if type(open) == 'table' then return open end
    if lease ~= '' and open >= most and answer[1] == 0 then answer[1], answer[2] = i, 1 end
  end
  answer[3 * i + 2] = open
end

for i = 1, #KEYS / 2 do
  local most, length, granule = tonumber(ARGV[4 * i]), tonumber(ARGV[4 * i + 1]), tonumber(ARGV[4 * i + 2])
  local count, first = 0, 0
  if most >= 0 then
    local raw = own(false, 'GET', KEYS[2 * i])
    if type(raw) == 'table' then return raw end
    if not raw or #raw % 12 ~= 0 then raw = '' end
    local moments, counts, last, at = {}, {}, -1, 1
    while at <= #raw do
      local moment, n = struct.unpack('>dI4', raw, at)
      if moment > now - length then break end
      at = at + 12
    end
    if at > 1 then raw = string.sub(raw, at) end
    if #raw > 0 then
      last = struct.unpack('>d', raw, #raw - 11)
      if last > now + length then raw = '' end
    end
    if #raw > 0 then
      first = struct.unpack('>d', raw, 1) + length - now
      if granule == 0 then
        count = #raw / 12
      else
        for j = 9, #raw, 12 do count = count + struct.unpack('>I4', raw, j) end
      end
      if count >= most and answer[1] == 0 then answer[1], answer[2], answer[3] = i, 2, first end
    end
    windows[i] = raw
  end
  answer[3 * i + 1], answer[3 * i + 3] = count, first
end
if answer[1] ~= 0 or life == 0 then return answer end

for i = 1, #KEYS / 2 do
  if tonumber(ARGV[4 * i - 1]) >= 0 and lease ~= '' then
    redis.call('ZREMRANGEBYSCORE', KEYS[2 * i - 1], '-inf', string.format('%.0f', now))
    redis.call('ZADD', KEYS[2 * i - 1], string.format('%.0f', now + life * 1000), lease)
    redis.call('PEXPIRE', KEYS[2 * i - 1], life)
  end
  if tonumber(ARGV[4 * i]) >= 0 then
    local length, granule = tonumber(ARGV[4 * i + 1]), tonumber(ARGV[4 * i + 2])
    local raw, moment, n = windows[i], now, 1
    if granule > 0 then moment = (math.floor(now / granule) + 1) * granule end
    if #raw > 0 then
      local last, times = struct.unpack('>dI4', raw, #raw - 11)
      if granule > 0 and last >= moment then
        moment, n, raw = last, times + 1, string.sub(raw, 1, #raw - 12)
      elseif last > moment then
        moment = last
      end
    end
    local kept = string.format('%.0f', math.ceil((length + granule) / 1000))
    redis.call('SET', KEYS[2 * i], raw .. struct.pack('>dI4', moment, n), 'PX', kept)
  end
end
return answer
"""

# KEYS: those of streams; ARGV: for how many milliseconds they are good, and then the lease of each.
# A lease that is not there any more is put back: the store may have lost what it held.
RENEW: Final = """
local time = redis.call('TIME')
local over = string.format('%.0f', time[1] * 1000000 + time[2] + tonumber(ARGV[1]) * 1000)
for i = 1, #KEYS do
  if redis.call('TYPE', KEYS[i]).ok ~= 'zset' then redis.call('DEL', KEYS[i]) end
  redis.call('ZADD', KEYS[i], over, ARGV[i + 1])
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
return #KEYS
"""
