-- Deletes the reservation of an idempotency key, unless another request has replaced it.
--
-- KEYS[1] reservation  string  digest, cutout ID and, once the cutout exists, `committed`
-- ARGV[1] the reservation as it was read
-- returns 1 if it was deleted, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
