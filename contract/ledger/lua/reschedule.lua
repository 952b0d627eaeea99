-- Replaces the spec of a batch by one with another schedule.
--
-- KEYS[1] batch  hash  fields `spec`, `state`
-- ARGV[1] the spec as JSON
-- returns 1 if it was stored, 0 if the batch is neither open nor paused
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'open' and state ~= 'paused' then return 0 end
redis.call('HSET', KEYS[1], 'spec', ARGV[1])
return 1
