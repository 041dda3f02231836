"""The rules of claims (`book.py`) as scripts for Redis. Each decides in one step for all gateways.

Times are Redis's own, in milliseconds. Claims are fields of three hashes, the parts of a window. New claims go into the
newest part. When that part is half a window old, or full, the next one begins and the oldest is forgotten. So the
number of claims is bounded, and none has a key or a time of its own.

The value of a field is "s" for a stored event. Otherwise it says when the claim lapses and who holds it:
"1772357213007:…". Names that are bound are fields in the same hashes.
"""

from __future__ import annotations

_PARTS = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window, half, most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local newest = tonumber(redis.call('HGET', window, 'newest'))
if not newest then
  newest = 0
  redis.call('HSET', window, 'newest', 0, 'turned', now, 'born', now)
end
local function part(number)
  return window .. ':' .. number
end
if now - redis.call('HGET', window, 'turned') >= half or redis.call('HLEN', part(newest)) >= most then
  newest = newest + 1
  redis.call('HSET', window, 'newest', newest, 'turned', now)
  redis.call('UNLINK', part(newest - 3))
end
redis.call('PEXPIRE', window, 6 * half)
local function find(field)
  for number = newest, newest - 2, -1 do
    local value = redis.call('HGET', part(number), field)
    if value then
      return number, value
    end
  end
end
local function put(number, field, value)
  redis.call('HSET', part(number), field, value)
  if number == newest then
    redis.call('PEXPIRE', part(number), 3 * half)
  end
end
local function held(value)
  local ending, holder = string.match(value, '^(%d+):(.*)$')
  return tonumber(ending), holder
end
"""

TAKE = (
    _PARTS
    + """
-- KEYS: the window. ARGV: half of it, the most in a part, who asks, the lease, then of each claim the id and whose may
-- be taken over.
-- Returns for how many milliseconds there has been a window, and of each claim 0 (own), 1 (stored), 2 (held), or whose
-- it was where it has lapsed.
local mine, lease = ARGV[3], tonumber(ARGV[4])
local found = {now - redis.call('HGET', window, 'born')}
for index = 5, #ARGV, 2 do
  local field, lapsed = ARGV[index], ARGV[index + 1]
  local number, value = find(field)
  local answer = 0
  if value == 's' then
    answer = 1
  elseif value then
    local ending, holder = held(value)
    if holder ~= mine and ending > now then
      answer = 2
    elseif holder ~= mine and holder ~= lapsed then
      answer = holder
    end
  end
  if answer == 0 then
    put(number or newest, field, (now + lease) .. ':' .. mine)
  end
  found[#found + 1] = answer
end
return found
"""
)

RENEW = (
    _PARTS
    + """
-- KEYS: the window. ARGV: half of it, the most in a part, who asks, the lease, then the ids.
-- Returns of each whether it is the asker's.
local mine, lease = ARGV[3], tonumber(ARGV[4])
local found = {}
for index = 5, #ARGV do
  local number, value = find(ARGV[index])
  local own = 0
  if value and value ~= 's' then
    local _, holder = held(value)
    if holder == mine then
      put(number, ARGV[index], (now + lease) .. ':' .. mine)
      own = 1
    end
  end
  found[#found + 1] = own
end
return found
"""
)

SETTLE = (
    _PARTS
    + """
-- KEYS: the window. ARGV: half of it, the most in a part, who tells, how many are stored, the ids of these, those of
-- claims that are free again.
local mine, stored = ARGV[3], tonumber(ARGV[4])
for index = 5, #ARGV do
  local number, value = find(ARGV[index])
  if index < 5 + stored then
    put(number or newest, ARGV[index], 's')
  elseif value and value ~= 's' then
    local _, holder = held(value)
    if holder == mine then
      redis.call('HDEL', part(number), ARGV[index])
    end
  end
end
return 0
"""
)

BIND = (
    _PARTS
    + """
-- KEYS: the window. ARGV: half of it, the most in a part, a name, a value. Returns the value that the name has.
local _, value = find('=' .. ARGV[3])
if value then
  return value
end
put(newest, '=' .. ARGV[3], ARGV[4])
return ARGV[4]
"""
)
