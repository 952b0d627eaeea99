-- Remembers an idempotency key whose cutout exists, unless another request has taken the key since.
-- (A reservation that is not committed in time expires, and the key is free.)
--
-- KEYS[1] reservation  string  digest, cutout ID and, once the cutout exists, `committed`
-- ARGV[1] the reservation before
-- ARGV[2] the reservation, committed
-- ARGV[3] seconds to keep it
-- returns 1 if the key belongs to this reservation now
local row = redis.call('GET', KEYS[1])
if row and row ~= ARGV[1] and row ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
