-- Takes callbacks that are due, longest overdue first, under a lease: each is due again when the
-- lease ends, so a process that dies loses none.
--
-- KEYS[1] callbacks  zset  ID -> when it is due (Unix seconds, Redis's clock)
-- KEYS[2] attempts   hash  ID -> how often it was taken
-- ARGV[1] maximum number to take
-- ARGV[2] lease in seconds
-- returns their IDs
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
  redis.call('ZADD', KEYS[1], now + ARGV[2], id)
  redis.call('HINCRBY', KEYS[2], id, 1)
end
return ids
