-- What every script begins with: a room that is not known yet gets an epoch, if there may be one more.
-- KEYS: the rooms and when they are forgotten; the room, with a field n:GATEWAY for each gateway that has somebody in it and until
-- when that is believed; its stream. ARGV: the room's name, the epoch of a new one,
-- the most rooms, milliseconds until it is forgotten, milliseconds that a message is kept.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HGET', KEYS[2], 'epoch')
if not epoch then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
  redis.call('ZREM', KEYS[1], ARGV[1])
  local most = tonumber(ARGV[3])
  if redis.call('ZCARD', KEYS[1]) >= most then
    -- Rooms that nobody is in, only kept for their histories, give way: those first that have been silent for longest.
    local prefix, spare = string.sub(KEYS[1], 1, -6), math.floor(most / 16) + 1
    for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, 63)) do
      local room, occupied = prefix .. 'room:' .. name, false
      local fields = redis.call('HGETALL', room)
      for place = 1, #fields, 2 do
        if string.sub(fields[place], 1, 2) == 'n:' and tonumber(fields[place + 1]) > now then occupied = true end
      end
      if not occupied then
        redis.call('DEL', room, prefix .. 'stream:' .. name)
        redis.call('ZREM', KEYS[1], name)
        spare = spare - 1
        if spare == 0 then break end
      end
    end
    if redis.call('ZCARD', KEYS[1]) >= most then return 0 end
  end
  epoch = ARGV[2]
  redis.call('HSET', KEYS[2], 'epoch', epoch)
  redis.call('DEL', KEYS[3])
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[4]), ARGV[1])
