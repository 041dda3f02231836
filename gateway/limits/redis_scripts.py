"""The decisions of Redis, each in one script, which holds for all processes at once.

Times are Redis's own, in milliseconds. A process reports how many streams it holds, as an absolute number. Repeated
reports change nothing, and nothing is ever added. A report is one hash (bucket → streams). It expires with the process,
because nobody renews it then.
"""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
"""

_SPEND = """
-- See gateway/limits/rates.py. Returns the milliseconds to wait.
local function spend(key, per_second, burst, amount, owing)
  local begun = math.max(tonumber(redis.call('GET', key) or 0), now)
  local owed = begun - now - (burst - 1) * 1000 / per_second
  if not owing and owed > 0 then
    return owed
  end
  local after = begun + amount * 1000 / per_second
  redis.call('SET', key, string.format('%.3f', after), 'PX', math.ceil(after - now) + 1)
  return owing and math.max(0, after - now - burst * 1000 / per_second) or 0
end
"""

ENTER = (
    _NOW
    + _SPEND
    + """
-- KEYS: the processes (by the end of what they said), the hash of this one, its rate of new streams.
-- ARGV: this process, its time to live, the bucket, the streams of this process in the bucket and in all with the new
-- one, the limits of both, the rate and the burst of new streams.
-- Returns whether this process was known, which limit refuses (0: none), and after how many milliseconds it may not.
local mine, ttl, bucket = ARGV[1], tonumber(ARGV[2]), ARGV[3]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known = redis.call('ZSCORE', KEYS[1], mine) and 1 or 0
local here, all = tonumber(ARGV[4]), tonumber(ARGV[5])
for _, other in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if other ~= mine then
    local held = redis.call('HMGET', KEYS[1] .. ':' .. other, bucket, 'all')
    here = here + tonumber(held[1] or 0)
    all = all + tonumber(held[2] or 0)
  end
end
local most_here, most_all = tonumber(ARGV[6]), tonumber(ARGV[7])
if most_all > 0 and all > most_all then
  return {known, 1, 0}
end
if most_here > 0 and here > most_here then
  return {known, 2, 0}
end
if tonumber(ARGV[8]) > 0 then
  local wait = spend(KEYS[3], tonumber(ARGV[8]), tonumber(ARGV[9]), 1, false)
  if wait > 0 then
    return {known, 3, math.ceil(wait)}
  end
end
redis.call('HSET', KEYS[2], bucket, ARGV[4], 'all', ARGV[5])
redis.call('PEXPIRE', KEYS[2], ttl)
redis.call('ZADD', KEYS[1], now + ttl, mine)
redis.call('PEXPIRE', KEYS[1], ttl)
return {known, 0, 0}
"""
)

SPEND = (
    _NOW
    + _SPEND
    + """
-- KEYS: the rate. ARGV: rate, burst, amount, whether it is spent already.
return math.ceil(spend(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'))
"""
)

REPORT = (
    _NOW
    + """
-- KEYS: the processes, the hash of this one. ARGV: this process, its time to live, whether what follows is all of it,
-- its streams in all, then buckets and the streams in each.
-- Returns whether this process was known.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
if ARGV[3] == '1' then
  redis.call('DEL', KEYS[2])
end
redis.call('HSET', KEYS[2], 'all', ARGV[4])
for index = 5, #ARGV, 2 do
  if ARGV[index + 1] == '0' then
    redis.call('HDEL', KEYS[2], ARGV[index])
  else
    redis.call('HSET', KEYS[2], ARGV[index], ARGV[index + 1])
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return known
"""
)
