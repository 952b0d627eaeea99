-- Gives a lease up, unless another has taken it since.
--
-- KEYS[1] lease  string  the holder's token
-- ARGV[1] token
-- returns 1 if the caller held it
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
