-- Rooms with somebody in them are not forgotten. KEYS: the rooms and when they are forgotten, then for each its own.
-- ARGV: milliseconds, then for each its name.
local time = redis.call('TIME')
local till = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
for number = 2, #KEYS do
  if redis.call('PEXPIRE', KEYS[number], ARGV[1]) == 1 then
    redis.call('ZADD', KEYS[1], till, ARGV[number])
  end
end
return 1
