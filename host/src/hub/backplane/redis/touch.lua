-- Rooms with somebody in them are not forgotten. KEYS: the rooms and when they are forgotten, then for each its own.
-- ARGV: milliseconds, the gateway and for how many milliseconds it is believed, then for each room its name.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local till = now + tonumber(ARGV[1])
for number = 2, #KEYS do
  if redis.call('PEXPIRE', KEYS[number], ARGV[1]) == 1 then
    redis.call('ZADD', KEYS[1], till, ARGV[number + 2])
    redis.call('HSET', KEYS[number], 'n:' .. ARGV[2], string.format('%.0f', now + tonumber(ARGV[3])))
  end
end
return 1
