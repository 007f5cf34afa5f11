"""The Lua scripts.  The first value each returns is ok, fenced, missing, claimed or bad."""

from messaging.drivers.redis.collecting import DISCARD, DUE, GATHER
from messaging.drivers.redis.prelude import PRELUDE

_OPEN = """
local at, state, last = place()
if at > generation or (at == generation and state ~= 'open') then return {'fenced'} end
if at < generation then
  clear()
  set_place('open', math.max(last, now * 1000))
end
return {'ok'}
"""

_SEAL = """
local at, state, last = place()
if at > generation or (at == generation and state ~= 'open' and state ~= 'sealed') then return {'fenced'} end
if at < generation then
  clear()
  last = 0
end
set_place('sealed', last)
return {'ok', text(last)}
"""

_DROP = """
local at = place()
if at <= generation then
  clear()
  set_place('gone', 0)
end
return {'ok'}
"""

_BEGIN_IMPORT = """
local at, state, last = place()
if at > generation or (at == generation and state ~= 'open' and state ~= 'importing') then return {'fenced'} end
if at == generation then return {'ok', state} end
clear()
set_place('importing', math.max(last, tonumber(ARGV[2])))
return {'ok', 'importing'}
"""

_IMPORT = """
local at, state = place()
if at ~= generation or state ~= 'importing' then return {'fenced'} end
local claims = {}
for n = 2, #ARGV, 10 do
  local id, client, body, claim = ARGV[n], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3]
  local age, expires_in, available_in = tonumber(ARGV[n + 4]), tonumber(ARGV[n + 5]), tonumber(ARGV[n + 6])
  local claim_ttl, claim_age, count = tonumber(ARGV[n + 7]), tonumber(ARGV[n + 8]), tonumber(ARGV[n + 9])
  if not info_of(id) then
    if available_in <= 0 then claim = '' end
    add(id, {client, now - age, now + expires_in, now + available_in, claim, claim_ttl, now - claim_age, count}, body)
    if claim ~= '' then
      local packed = redis.call('HGET', CLAIMS, claim)
      local ids = packed and cmsgpack.unpack(packed) or {}
      ids[#ids + 1] = id
      redis.call('HSET', CLAIMS, claim, cmsgpack.pack(ids))
      redis.call('ZADD', ENDS, text(now + available_in), claim)
    end
  end
end
return {'ok'}
"""

_FINISH_IMPORT = """
local at, state, last = place()
if at ~= generation or (state ~= 'open' and state ~= 'importing') then return {'fenced'} end
set_place('open', last)
return {'ok'}
"""

_EXPORT = """
local at, state = place()
if at ~= generation or state ~= 'sealed' then return {'fenced'} end
local out = {'ok', text(now)}
local after, limit = ARGV[2], tonumber(ARGV[3])
while #out == 2 do
  local ids = redis.call('ZRANGEBYSCORE', ORDER, '(' .. after, '+inf', 'LIMIT', 0, limit)
  if #ids == 0 then return out end
  for _, id in ipairs(ids) do
    local info = alive(id)
    if info then
      show(out, id, info)
      out[#out + 1] = info[CLIENT]
    end
  end
  after = text(seq_of(ids[#ids]))
end
return out
"""

_PURGE = """
if not enter() then return {'fenced'} end
clear()
return {'ok'}
"""

_STATS = """
if not enter() then return {'fenced'} end
local out = {'ok', text(now), redis.call('ZCARD', ORDER), redis.call('ZCARD', HELD)}
for _, rank in ipairs({0, -1}) do
  local id = redis.call('ZRANGE', ORDER, rank, rank)[1]
  local info = id and info_of(id)
  if info then out[#out + 1], out[#out + 2] = id, text(info[CREATED]) end
end
return out
"""

_SWEEP = """
local at, state = place()
local changed = tonumber(redis.call('HGET', PLACE, 'changed') or '0')
if state == 'gone' and changed < now - tonumber(ARGV[3]) then
  redis.call('DEL', PLACE)
  state = 'none'
end
if state == 'none' then return {'missing'} end
local removed = state == 'open' and settle(tonumber(ARGV[2])) or 0
-- Messages of a release that did not keep this set yet.
if redis.call('EXISTS', ORDER) == 1 then redis.call('SADD', READY, QUEUE) end
return {'ok', removed}
"""

_POST = """
if not enter() then return {'fenced'} end
local client, nonce = ARGV[2], ARGV[3]
local count = (#ARGV - 3) / 3
local _, _, last = place()
local first = redis.call('ZSCORE', RECENT, nonce)
if not first then
  first = last + 1
  for n = 0, count - 1 do
    local ttl, delay, body = tonumber(ARGV[4 + n * 3]), tonumber(ARGV[5 + n * 3]), ARGV[6 + n * 3]
    add(id_of(first + n, nonce), {client, now, now + ttl * 1000, now + delay * 1000, '', 0, 0, 0}, body)
  end
  redis.call('HSET', PLACE, 'last', text(last + count))
  redis.call('ZADD', RECENT, text(first), nonce)
  redis.call('ZREMRANGEBYRANK', RECENT, 0, -65)
end
return {'ok', text(tonumber(first))}
"""

_SELECT = """
if not enter() then return {'fenced'} end
local after, limit, without, claimed, delayed = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1', ARGV[6] == '1'
local out, found = {'ok', text(now)}, 0
while found < limit do
  local ids = redis.call('ZRANGEBYSCORE', ORDER, '(' .. after, '+inf', 'LIMIT', 0, limit)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    local info = alive(id)
    if info and found < limit and info[CLIENT] ~= without then
      local waits = info[AVAILABLE] > now
      if not waits or (info[CLAIM] ~= '' and claimed) or (info[CLAIM] == '' and delayed) then
        show(out, id, info)
        found = found + 1
      end
    end
  end
  after = text(seq_of(ids[#ids]))
end
return out
"""

_GET = """
if not enter() then return {'fenced'} end
local out = {'ok', text(now)}
for n = 2, #ARGV do
  local info = alive(ARGV[n])
  if info then show(out, ARGV[n], info) end
end
return out
"""

_DELETE = """
if not enter() then return {'fenced'} end
local info = alive(ARGV[2])
if not info then return {'ok'} end
if info[CLAIM] ~= ARGV[3] then return {info[CLAIM] == '' and 'bad' or 'claimed'} end
remove(ARGV[2])
return {'ok'}
"""

_DELETE_MANY = """
if not enter() then return {'fenced'} end
local count, claims = tonumber(ARGV[3]), {}
for n = 4 + count, #ARGV do claims[ARGV[n]] = true end
local deleted = 0
for n = 4, 3 + count do
  local info = alive(ARGV[n])
  if info and (ARGV[2] == 'any' or claims[info[CLAIM]]) then
    remove(ARGV[n])
    deleted = deleted + 1
  end
end
return {'ok', deleted}
"""

_POP = """
if not enter() then return {'fenced'} end
local out = {'ok', text(now)}
for _, id in ipairs(redis.call('ZRANGE', FREE, 0, tonumber(ARGV[2]) - 1)) do
  local info = alive(id)
  if info then show(out, id, info) end
  remove(id)
end
return out
"""

_CLAIM = """
if not enter() then return {'fenced'} end
local claim, dead_claim = ARGV[2], ARGV[3]
local ttl, grace, limit, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local out = {'ok', text(now)}
if redis.call('HEXISTS', CLAIMS, claim) == 0 and redis.call('HEXISTS', CLAIMS, dead_claim) == 0 then
  local taken, dead, from = {}, {}, 0
  while #taken < limit do
    local ids = redis.call('ZRANGE', FREE, from, from + limit - 1)
    if #ids == 0 then break end
    from = from + #ids
    for _, id in ipairs(ids) do
      local info = alive(id)
      local list = info and most >= 0 and info[COUNT] >= most and dead or taken
      if info and #list < limit then list[#list + 1] = id end
    end
  end
  for name, list in pairs({[claim] = taken, [dead_claim] = dead}) do
    for _, id in ipairs(list) do
      local info = info_of(id)
      info[COUNT] = info[COUNT] + 1
      hold(id, info, name, ttl, grace)
    end
    if #list > 0 then note(name, list, ttl) end
  end
end
for _, name in ipairs({claim, dead_claim}) do
  for _, member in ipairs(members(name)) do show(out, member[1], member[2]) end
end
return out
"""

_GET_CLAIM = """
if not enter() then return {'fenced'} end
local out = {'ok', text(now)}
for _, member in ipairs(members(ARGV[2])) do show(out, member[1], member[2]) end
if #out == 2 then return {'missing'} end
return out
"""

_RENEW_CLAIM = """
if not enter() then return {'fenced'} end
local ttl, grace, ids = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
for _, member in ipairs(members(ARGV[2])) do
  hold(member[1], member[2], ARGV[2], ttl, grace)
  ids[#ids + 1] = member[1]
end
if #ids == 0 then return {'missing'} end
note(ARGV[2], ids, ttl)
return {'ok'}
"""

_RELEASE_CLAIM = """
if not enter() then return {'fenced'} end
for _, member in ipairs(members(ARGV[2])) do free(member[1]) end
redis.call('HDEL', CLAIMS, ARGV[2])
redis.call('ZREM', ENDS, ARGV[2])
return {'ok'}
"""

SCRIPTS = {
    "open": _OPEN,
    "seal": _SEAL,
    "drop": _DROP,
    "begin_import": _BEGIN_IMPORT,
    "import": _IMPORT,
    "finish_import": _FINISH_IMPORT,
    "export": _EXPORT,
    "purge": _PURGE,
    "stats": _STATS,
    "sweep": _SWEEP,
    "post": _POST,
    "select": _SELECT,
    "get": _GET,
    "delete": _DELETE,
    "delete_many": _DELETE_MANY,
    "pop": _POP,
    "claim": _CLAIM,
    "get_claim": _GET_CLAIM,
    "renew_claim": _RENEW_CLAIM,
    "release_claim": _RELEASE_CLAIM,
    "due": DUE,
    "gather": GATHER,
    "discard": DISCARD,
}
SCRIPTS = {name: PRELUDE + body for name, body in SCRIPTS.items()}
