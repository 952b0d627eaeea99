-- Stores when a batch is expected to end. A batch that Redis has forgotten stays forgotten.
--
-- KEYS[1] batch  hash  field `eta`
-- ARGV[1] Unix seconds
-- returns 1 if it was stored
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'eta', ARGV[1])
return 1
