-- Sets when a callback is due for delivery.
--
-- KEYS[1] callbacks  zset  ID -> when it is due (Unix seconds, Redis's clock)
-- ARGV[1] ID
-- ARGV[2] seconds from now
-- ARGV[3] 1: only if the callback is still pending (another process may have delivered it)
-- returns 1 if it is pending now, 0 if it was dropped meanwhile
local clock = redis.call('TIME')
local due = clock[1] + clock[2] / 1000000 + ARGV[2]
if ARGV[3] == '1' and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], due, ARGV[1])
return 1
