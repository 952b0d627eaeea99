-- Takes callbacks that are due, the longest due first. Each is due again when its lease ends, so
-- that a process that vanishes with one in hand loses none.
--
-- KEYS[1] callbacks  zset  id -> when it is due (unix seconds, Redis's clock)
-- KEYS[2] attempts   hash  id -> how often it was taken
-- ARGV[1] most to take
-- ARGV[2] seconds of the lease
-- returns their ids
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
  redis.call('ZADD', KEYS[1], now + ARGV[2], id)
  redis.call('HINCRBY', KEYS[2], id, 1)
end
return ids
