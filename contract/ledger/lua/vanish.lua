-- A worker says that a process of its own ended with a line in hand, and what ended it. The strike
-- stays; the lease ends, so that the message, given back, may be claimed at once.
--
-- KEYS[1] claimed  zset
-- KEYS[2] holders  hash    line -> token
-- KEYS[3] deaths   hash    line -> what ended its processes, comma-separated
-- ARGV[1] line
-- ARGV[2] how the token of the process begins
-- ARGV[3] what ended it
-- returns 1 where it had the line
local holder = redis.call('HGET', KEYS[2], ARGV[1])
if not holder or string.sub(holder, 1, #ARGV[2]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], 0, ARGV[1])
local before = redis.call('HGET', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], before and (before .. ', ' .. ARGV[3]) or ARGV[3])
return 1
