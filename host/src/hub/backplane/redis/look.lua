-- Where a room's stream is, and messages of it: those after a place, or the last ones. ARGV: 6 the epoch of that place, or
-- nothing; 7 its offset; 8 the most messages; 9 the most bytes; 10 milliseconds that a gateway is believed; 11 the gateway if
-- it has somebody in the room, or nothing.
if ARGV[11] ~= '' then
  local fields = redis.call('HGETALL', KEYS[2])
  for place = 1, #fields, 2 do
    if string.sub(fields[place], 1, 2) == 'n:' and tonumber(fields[place + 1]) <= now then
      redis.call('HDEL', KEYS[2], fields[place])
    end
  end
  redis.call('HSET', KEYS[2], 'n:' .. ARGV[11], string.format('%.0f', now + tonumber(ARGV[10])))
end
local last = tonumber(redis.call('HGET', KEYS[2], 'offset') or '0')
local most = tonumber(ARGV[8])
local horizon = now - tonumber(ARGV[5])
local oldest
while true do
  local entry = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
  if not entry then break end
  if tonumber(entry[2][2]) >= horizon then
    oldest = tonumber(string.match(entry[1], '^%d+'))
    break
  end
  redis.call('XDEL', KEYS[3], entry[1])
end
local from, complete = math.max(last - most, 0), 1
if ARGV[6] ~= '' then
  from = tonumber(ARGV[7])
  if epoch ~= ARGV[6] or from > last or (from < last and not (oldest and oldest <= from + 1)) then
    from, complete = 0, 0
  end
end
local messages, bytes = {}, 0
if most > 0 and oldest and from < last then
  local entries = redis.call('XRANGE', KEYS[3], string.format('%.0f-0', from + 1), '+', 'COUNT', most + 1)
  for number, entry in ipairs(entries) do
    local message = entry[2][4]
    bytes = bytes + #message
    if number > most or (bytes > tonumber(ARGV[9]) and number > 1) then
      complete = 0
      break
    end
    messages[#messages + 1] = string.match(entry[1], '^%d+')
    messages[#messages + 1] = message
  end
elseif most == 0 and from < last and ARGV[6] ~= '' then
  complete = 0
end
return {last, epoch, complete, messages}
