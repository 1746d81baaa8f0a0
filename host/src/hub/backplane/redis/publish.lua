-- Numbers a message, keeps it and sends it to all gateways. ARGV: 6 messages that are kept, 7 the channel, 8 the message.
local offset = redis.call('HINCRBY', KEYS[2], 'offset', 1)
if tonumber(ARGV[6]) > 0 then
  redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[6], string.format('%.0f-0', offset), 't', now, 'm', ARGV[8])
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
redis.call('PUBLISH', ARGV[7], string.format('%.0f ', offset) .. epoch .. ' ' .. ARGV[8])
return {offset, epoch}
