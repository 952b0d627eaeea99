-- Stores the outcome of a cutout beside its counters, unless the cutout was deleted meanwhile.
--
-- KEYS[1] batch  hash  field `outcome`: the outcome as JSON
-- ARGV[1] outcome as JSON
-- returns 1 if it was stored
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'outcome', ARGV[1])
return 1
