-- Says when a callback is to be delivered.
--
-- KEYS[1] callbacks  zset  id -> when it is due (unix seconds, Redis's clock)
-- ARGV[1] id
-- ARGV[2] seconds until then
-- ARGV[3] 1 where only one that still waits is moved: another process may have delivered it
-- returns 1 where it waits now, 0 where it was dropped meanwhile
local clock = redis.call('TIME')
local due = clock[1] + clock[2] / 1000000 + ARGV[2]
if ARGV[3] == '1' and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], due, ARGV[1])
return 1
