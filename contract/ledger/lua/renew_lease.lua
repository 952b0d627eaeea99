-- Renews a lease, unless it has ended: somebody may have held it since, even if it is free again.
--
-- KEYS[1] lease  string  the holder's token
-- ARGV[1] token
-- ARGV[2] milliseconds
-- returns 1 if the caller holds it still
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
