"""The Lua scripts that read, and that observers, edges and DNS nodes write with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name that Redis knows it by."""

    text: str

    @property
    def sha(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


READ = Script("""
-- KEYS: hashes. Returns for each one a JSON array: its time to live in ms (-1: none), field, value, ...;
-- false if there is nothing, and a status if it is no hash. One string a hash spares the client
-- most of the work that taking HGETALL's reply apart would be.
local found = {}
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'hash' then
    local fields = redis.call('HGETALL', key)
    table.insert(fields, 1, redis.call('PTTL', key))
    found[i] = cjson.encode(fields)
  else
    found[i] = kind ~= 'none' and kind
  end
end
return found
""")

WRITE_VERSIONED = Script("""
-- KEYS[1]: a hash of one writer. ARGV: epoch, sequence, lease in ms, field, value, field, value, ...
-- Returns 1 if written, 0 if what is there is newer. A record without a lease is not one of ours.
if redis.call('TYPE', KEYS[1]).ok == 'hash' and redis.call('PTTL', KEYS[1]) >= 0 then
  local old = redis.call('HMGET', KEYS[1], 'epoch', 'sequence')
  local epoch, sequence = tonumber(old[1] or ''), tonumber(old[2] or '')
  local new_epoch, new_sequence = tonumber(ARGV[1]), tonumber(ARGV[2])
  if epoch and sequence and (epoch > new_epoch or (epoch == new_epoch and sequence > new_sequence)) then
    return 0
  end
end
redis.call('DEL', KEYS[1])
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")

CONCLUDE = Script("""
-- KEYS[1]: the hash of a verdict that many may write. KEYS[2]: the stream of events. ARGV: lease in ms,
-- 1 for a change or 0 for a renewal, the state, the number of XADD's arguments, these, field, value, ...
-- If the state becomes another by this call, the event is entered: so exactly one of many writers does it,
-- and none is lost with a reply. A renewal never undoes somebody's change.
local old = false
if redis.call('TYPE', KEYS[1]).ok == 'hash' then old = redis.call('HGET', KEYS[1], 'state') end
if ARGV[2] == '0' and old and old ~= ARGV[3] then return 0 end
local fields = 5 + ARGV[4]
redis.call('DEL', KEYS[1])
for i = fields, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if old ~= ARGV[3] then redis.call('XADD', KEYS[2], unpack(ARGV, 5, fields - 1)) end
return 1
""")

SEEN = Script("""
-- KEYS[1]: the sorted set of observers. ARGV: a name. Returns 1 if it was not there.
-- Redis's own clock is used: those of the observers need not agree. A script that has begun to write may go
-- on when there is no memory left, and taking out may always begin: a name must not be forgotten for want
-- of memory, or nobody would hear its votes.
local time = redis.call('TIME')
local known = redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
return 1 - known
""")

GONE = Script("""
-- KEYS[1]: the sorted set of observers. ARGV: ms. Takes out and returns those silent for longer.
local time = redis.call('TIME')
local before = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]
local names = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', before)
for _, name in ipairs(names) do redis.call('ZREM', KEYS[1], name) end
return names
""")

LIMITING = Script("""
-- KEYS[1]: the sorted set of those that share rate limits. ARGV: a name, ms after which the silent are gone.
-- Returns how many there are, that one included. Who seems to be of the future is gone too: the clock was set
-- back, and those that are there tell again.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 1, '+inf')
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
""")

SPEND = Script("""
-- KEYS[1]: the sorted set of a limit's clients. KEYS[2]: that of those that share limits. ARGV: ms in which
-- one request is refilled, ms that each of those can draw on a bucket in advance, clients kept, then for each
-- client: its name, requests admitted, ms from now until its bucket would be full if they had been all.
-- Returns for each client the ms until its bucket is full. The rule is that of token buckets, for many
-- requests at once: each moves the moment on from where it is, or from the request's own if that is later.
-- Nobody can owe more than all can draw in advance: what is more, a clock that was set back has made.
local function text(ms) return string.format('%.4f', ms) end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local most = now + (redis.call('ZCARD', KEYS[2]) + 1) * ARGV[2]
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
local missing, longest = {}, 0
for i = 4, #ARGV, 3 do
  local full = now + ARGV[i + 2]
  local before = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or '-inf')
  full = math.min(most, math.max(full, before + ARGV[i + 1] * ARGV[1]))
  if full > now then redis.call('ZADD', KEYS[1], text(full), ARGV[i]) end
  missing[#missing + 1] = text(full - now)
  longest = math.max(longest, full - now)
end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
if redis.call('PTTL', KEYS[1]) < longest then redis.call('PEXPIRE', KEYS[1], math.ceil(longest) + 1) end
return missing
""")
