-- Replaces the spec of a batch by one with another schedule, unless it has changed meanwhile.
--
-- KEYS[1] batch  hash  fields `spec`, `state`
-- ARGV[1] the spec as JSON
-- ARGV[2] the spec that it replaces, as it was read
-- returns 1 if it was stored, 0 if the batch is neither open nor paused, -1 if the spec has changed
local batch = redis.call('HMGET', KEYS[1], 'state', 'spec')
if batch[1] ~= 'open' and batch[1] ~= 'paused' then return 0 end
if batch[2] ~= ARGV[2] then return -1 end
redis.call('HSET', KEYS[1], 'spec', ARGV[1])
return 1
