-- Takes a lease, the dispatcher's or that of a batch's report, or renews it.
--
-- KEYS[1] lease  string  the holder's token
-- ARGV[1] token
-- ARGV[2] milliseconds
-- returns 1 if the caller holds it now
local token = redis.call('GET', KEYS[1])
if token and token ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
