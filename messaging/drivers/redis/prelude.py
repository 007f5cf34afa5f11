"""What all scripts begin with, and the keys they work on: those of one queue.

    place     hash    generation, state, last (place in the order), changed
    order     zset    all messages, by place
    expiry    zset    all messages, by when they expire
    free      zset    those that can be claimed, by place
    delayed   zset    those that cannot yet, by when they can
    held      zset    those under a claim, by when it ends
    body      hash    message -> its JSON
    info      hash    message -> {client, created, expires, available, claim, claim_ttl, claimed_at, claim_count}
    claims    hash    claim -> its messages
    ends      zset    claims, by when they end
    recent    zset    the last posts, so that one repeated after a lost answer is not done twice

and one of the whole project:

    ready     set     the queues that hold messages, free or not

A script is given the project and the queue, and makes the keys itself: to send them all costs the caller more.
No key has a Redis TTL: a message ends when `expiry` says so, and a claim can put that off.
"""

PRELUDE = """
local READY = 'coffer:ready:' .. KEYS[1]
local PLACE, ORDER, EXPIRY, FREE, DELAYED, HELD, BODY, INFO, CLAIMS, ENDS, RECENT
local QUEUE
local CLIENT, CREATED, EXPIRES, AVAILABLE, CLAIM, CLAIM_TTL, CLAIMED_AT, COUNT = 1, 2, 3, 4, 5, 6, 7, 8
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local generation = tonumber(ARGV[1])

local function visit(queue)
  local function key(name) return 'coffer:{' .. KEYS[1] .. ':' .. queue .. '}:' .. name end
  QUEUE = queue
  PLACE, ORDER, EXPIRY, FREE = key('place'), key('order'), key('expiry'), key('free')
  DELAYED, HELD, BODY, INFO = key('delayed'), key('held'), key('body'), key('info')
  CLAIMS, ENDS, RECENT = key('claims'), key('ends'), key('recent')
end
if KEYS[2] then visit(KEYS[2]) end

local function text(number) return string.format('%.0f', number) end
local function seq_of(id) return tonumber(string.sub(id, 1, 16), 16) end
local function id_of(seq, nonce) return string.format('%016x', seq) .. nonce end

local function place()
  local found = redis.call('HMGET', PLACE, 'generation', 'state', 'last')
  return tonumber(found[1] or '-1'), found[2] or 'none', tonumber(found[3] or '0')
end

local function set_place(state, last)
  redis.call('HSET', PLACE, 'generation', text(generation), 'state', state, 'last', text(last), 'changed', text(now))
end

local function info_of(id)
  local packed = redis.call('HGET', INFO, id)
  return packed and cmsgpack.unpack(packed)
end

local function keep(id, info) redis.call('HSET', INFO, id, cmsgpack.pack(info)) end

local function remove(id)
  redis.call('ZREM', ORDER, id)
  if redis.call('EXISTS', ORDER) == 0 then redis.call('SREM', READY, QUEUE) end
  redis.call('ZREM', EXPIRY, id)
  redis.call('ZREM', FREE, id)
  redis.call('ZREM', DELAYED, id)
  redis.call('ZREM', HELD, id)
  redis.call('HDEL', BODY, id)
  redis.call('HDEL', INFO, id)
end

local function clear()
  redis.call('DEL', ORDER, EXPIRY, FREE, DELAYED, HELD, BODY, INFO, CLAIMS, ENDS, RECENT)
  redis.call('SREM', READY, QUEUE)
end

local function add(id, info, body)
  keep(id, info)
  redis.call('HSET', BODY, id, body)
  redis.call('ZADD', ORDER, text(seq_of(id)), id)
  redis.call('SADD', READY, QUEUE)
  redis.call('ZADD', EXPIRY, text(info[EXPIRES]), id)
  if info[AVAILABLE] <= now then
    redis.call('ZADD', FREE, text(seq_of(id)), id)
  else
    redis.call('ZADD', info[CLAIM] ~= '' and HELD or DELAYED, text(info[AVAILABLE]), id)
  end
end

local function free(id)
  redis.call('ZREM', DELAYED, id)
  redis.call('ZREM', HELD, id)
  local info = info_of(id)
  if info then
    info[CLAIM], info[AVAILABLE] = '', now
    keep(id, info)
    redis.call('ZADD', FREE, text(seq_of(id)), id)
  end
end

local function due(key, limit) return redis.call('ZRANGEBYSCORE', key, '-inf', text(now), 'LIMIT', 0, limit) end

local function settle(limit)
  local expired = due(EXPIRY, limit)
  for _, id in ipairs(expired) do remove(id) end
  for _, key in ipairs({DELAYED, HELD}) do
    for _, id in ipairs(due(key, limit)) do free(id) end
  end
  for _, claim in ipairs(due(ENDS, limit)) do
    redis.call('ZREM', ENDS, claim)
    redis.call('HDEL', CLAIMS, claim)
  end
  return #expired
end

local function enter()
  local at, state = place()
  if at ~= generation or state ~= 'open' then return false end
  settle(5000)
  return true
end

local function alive(id)
  local info = info_of(id)
  return info and info[EXPIRES] > now and info
end

local function show(out, id, info)
  local n = #out
  out[n + 1], out[n + 2] = id, redis.call('HGET', BODY, id)
  out[n + 3], out[n + 4], out[n + 5] = text(info[CREATED]), text(info[EXPIRES]), text(info[AVAILABLE])
  out[n + 6], out[n + 7], out[n + 8] = info[CLAIM], text(info[CLAIM_TTL]), text(info[CLAIMED_AT])
  out[n + 9] = text(info[COUNT])
end

local function hold(id, info, claim, ttl, grace)
  info[CLAIM], info[CLAIM_TTL], info[CLAIMED_AT], info[AVAILABLE] = claim, ttl, now, now + ttl * 1000
  info[EXPIRES] = math.max(info[EXPIRES], now + (ttl + grace) * 1000)
  keep(id, info)
  redis.call('ZREM', FREE, id)
  redis.call('ZADD', HELD, text(info[AVAILABLE]), id)
  redis.call('ZADD', EXPIRY, text(info[EXPIRES]), id)
end

local function members(claim)
  local found = {}
  local packed = redis.call('HGET', CLAIMS, claim)
  for _, id in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    local info = alive(id)
    if info and info[CLAIM] == claim then found[#found + 1] = {id, info} end
  end
  return found
end

local function note(claim, ids, ttl)
  redis.call('HSET', CLAIMS, claim, cmsgpack.pack(ids))
  redis.call('ZADD', ENDS, text(now + ttl * 1000), claim)
end
"""
