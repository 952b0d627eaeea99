-- Forgets the first request with an idempotency key, unless another has taken its place.
--
-- KEYS[1] idempotency  string  digest, identity and, once it was carried out, `kept`
-- ARGV[1] what it said when it was looked at
-- returns 1 where it is forgotten
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
