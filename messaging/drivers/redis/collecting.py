"""The Lua scripts that work on many queues of a project at once."""

GATHER = """
local limit = tonumber(ARGV[2])
local queues = redis.call('SRANDMEMBER', READY, limit)
local share = #queues > 0 and math.floor(limit / #queues)
local out = {'ok'}
for _, queue in ipairs(queues) do
  visit(queue)
  local at, state = place()
  if state == 'open' then
    settle(5000)
    for _, id in ipairs(redis.call('ZRANGE', FREE, 0, share - 1)) do
      local info = alive(id)
      if info then
        local n = #out
        out[n + 1], out[n + 2], out[n + 3], out[n + 4] = queue, text(at), id, redis.call('HGET', BODY, id)
        out[n + 5] = text(math.max(0, math.floor((now - info[CREATED]) / 1000)))
      end
    end
  end
end
return out
"""

DUE = """
local out = {'ok'}
for n = 2, #ARGV, 2 do
  visit(ARGV[n])
  local at, state = place()
  local wait = ''
  if state == 'open' and at == tonumber(ARGV[n + 1]) then
    settle(5000)
    if redis.call('EXISTS', FREE) == 1 then wait = '0' end
    for _, key in ipairs({DELAYED, HELD}) do
      local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
      if first and (wait == '' or first - now < tonumber(wait)) then wait = text(first - now) end
    end
  end
  out[#out + 1] = wait
end
return out
"""

DISCARD = """
local removed = 0
for n = 2, #ARGV, 3 do
  visit(ARGV[n])
  local at, state = place()
  if state == 'open' and at == tonumber(ARGV[n + 1]) and alive(ARGV[n + 2]) then
    remove(ARGV[n + 2])
    removed = removed + 1
  end
end
return {'ok', removed}
"""
