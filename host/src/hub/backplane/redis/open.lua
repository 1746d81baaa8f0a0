-- What every script begins with: a room that is not known yet gets an epoch, if there may be one more.
-- KEYS: the rooms and when they are forgotten; the room; its stream. ARGV: the room's name, the epoch of a new one,
-- the most rooms, milliseconds until it is forgotten, milliseconds that a message is kept.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HGET', KEYS[2], 'epoch')
if not epoch then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
  redis.call('ZREM', KEYS[1], ARGV[1])
  if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
  epoch = ARGV[2]
  redis.call('HSET', KEYS[2], 'epoch', epoch)
  redis.call('DEL', KEYS[3])
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[4]), ARGV[1])
