-- Takes or keeps the dispatcher's lease.
--
-- KEYS[1] lease  string  the holder's token
-- ARGV[1] token
-- ARGV[2] milliseconds
-- returns 1 where the caller holds it now
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
