"""The Lua scripts for what must not be lost or undone: operators' words, intakes, and the era of Redis."""

from __future__ import annotations

from gslb.store.scripts import Script

# What is no sorted set is not one of ours. Redis that is out of memory lets a script go on that has written
# before; so what takes something away comes first: an operator's word must get through.
_BEGIN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function sorted(key)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
end
local function write(key, first, lifetime)
  redis.call('DEL', key)
  for i = first, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
  if lifetime ~= '0' then redis.call('PEXPIRE', key, lifetime) end
end
local function list(index, member, lifetime)
  if member == '' then return end
  redis.call('ZADD', index, lifetime == '0' and '+inf' or now + lifetime, member)
end
local function took_back(cleared, key)
  local hour = 3600000
  redis.call('ZREMRANGEBYSCORE', cleared, '-inf', now - hour)
  redis.call('ZADD', cleared, now, key)
  redis.call('PEXPIRE', cleared, hour)
end
"""

SAY = Script(
    _BEGIN
    + """
-- KEYS: the hash of a word, the index it is listed in, the words taken back lately, the stream of events.
-- ARGV: its name in the index (empty: it is not listed), ms to live (0: no end), the number of XADD's
-- arguments, these, field, value, ... The event is entered first: if it cannot be, nothing is in force.
sorted(KEYS[2])
sorted(KEYS[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local fields = 4 + ARGV[3]
redis.call('XADD', KEYS[4], unpack(ARGV, 4, fields - 1))
write(KEYS[1], fields, ARGV[2])
list(KEYS[2], ARGV[1], ARGV[2])
redis.call('ZREM', KEYS[3], KEYS[1])
return 1
"""
)

TAKE_BACK = Script(
    _BEGIN
    + """
-- KEYS: as for SAY. ARGV: the name in the index, XADD's arguments. Returns 0 if there was no such word; that
-- it is taken back is noted all the same, as Redis may have lost it, and somebody be about to give it back.
sorted(KEYS[2])
sorted(KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('TYPE', KEYS[1]).ok == 'none' then
  took_back(KEYS[3], KEYS[1])
  return 0
end
redis.call('XADD', KEYS[4], unpack(ARGV, 2))
redis.call('DEL', KEYS[1])
took_back(KEYS[3], KEYS[1])
return 1
"""
)

CHANGE_SERVER = Script(
    _BEGIN
    + """
-- KEYS: the hash of a server's changes, the index of its region, the words taken back lately. ARGV: its name
-- in the index, ms for which all of it is to last (0: no end), the number of fields that go, these, field,
-- value, ... What is not named stays. A hash that changes nothing any more goes. The index is ordered by when
-- its members end; those that have ended are taken out.
sorted(KEYS[2])
sorted(KEYS[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local fields = {}
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  local flat = redis.call('HGETALL', KEYS[1])
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
end
local going = tonumber(ARGV[3])
for i = 4, 3 + going do fields[ARGV[i]] = nil end
for i = 4 + going, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
redis.call('DEL', KEYS[1])
local lasting = fields['weight'] or fields['added'] or fields['removed']
if not lasting and not fields['mode'] then
  redis.call('ZREM', KEYS[2], ARGV[1])
  took_back(KEYS[3], KEYS[1])
  return 0
end
for field, value in pairs(fields) do redis.call('HSET', KEYS[1], field, value) end
local lifetime = lasting and '0' or ARGV[2]
if lifetime ~= '0' then redis.call('PEXPIRE', KEYS[1], lifetime) end
list(KEYS[2], ARGV[1], lifetime)
redis.call('ZREM', KEYS[3], KEYS[1])
return 1
"""
)

RESTORE = Script(
    _BEGIN
    + """
-- KEYS: the hash of a word that Redis may have lost, its index, the words taken back lately. ARGV: its name
-- in the index (empty: it is not listed), ms to live (0: no end), field, value, ... Returns 1 if written.
-- Whatever was said, or taken back, since then is newer.
sorted(KEYS[2])
sorted(KEYS[3])
if redis.call('TYPE', KEYS[1]).ok ~= 'none' or redis.call('ZSCORE', KEYS[3], KEYS[1]) then return 0 end
write(KEYS[1], 3, ARGV[2])
list(KEYS[2], ARGV[1], ARGV[2])
return 1
"""
)

UNLIST = Script("""
-- KEYS: an index, then hashes. ARGV: their names in the index. Takes out those that are gone.
for i, name in ipairs(ARGV) do
  if redis.call('TYPE', KEYS[i + 1]).ok == 'none' then redis.call('ZREM', KEYS[1], name) end
end
return 1
""")

PROPOSE = Script(
    _BEGIN
    + """
-- KEYS: the hash of an intake that many may write, the stream of events. ARGV: lease in ms, its sequence,
-- the number of XADD's arguments (0: it is no event), these, field, value, ... Written, and told of, if its
-- sequence is greater than what is there: so one of many with the same wins. An equal one gets a new lease.
-- Returns 1 if written, else 0. A record without a lease is not one of ours.
if redis.call('TYPE', KEYS[1]).ok == 'hash' and redis.call('PTTL', KEYS[1]) >= 0 then
  local old = tonumber(redis.call('HGET', KEYS[1], 'sequence') or '')
  if old and old >= tonumber(ARGV[2]) then
    if old == tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
    return 0
  end
end
local fields = 4 + ARGV[3]
write(KEYS[1], fields, ARGV[1])
if fields > 4 then redis.call('XADD', KEYS[2], unpack(ARGV, 4, fields - 1)) end
return 1
"""
)

REMEMBER = Script("""
-- KEYS: the hash of the era, the stream of events. ARGV: an id for a new era, the moment it would begin, the
-- id of the era that the caller knows (empty: none), XADD's arguments. Returns the id of the era that is.
-- Of all who knew another one, the first enters the event.
local id = redis.call('TYPE', KEYS[1]).ok == 'hash' and redis.call('HGET', KEYS[1], 'id')
if not id then
  id = ARGV[1]
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'id', id)
  redis.call('HSET', KEYS[1], 'since', ARGV[2])
end
if ARGV[3] ~= '' and ARGV[3] ~= id and not redis.call('HGET', KEYS[1], 'told') then
  redis.call('HSET', KEYS[1], 'told', 'yes')
  redis.call('XADD', KEYS[2], unpack(ARGV, 4))
end
return id
""")
