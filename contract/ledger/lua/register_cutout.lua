-- Stores a cutout, new or lost, unless it is known already or was deleted. It is open at once.
--
-- KEYS[1] batch    hash    every field of a batch; `outcome` if it has ended
-- KEYS[2] deleted  string  exists if a client has deleted the cutout
-- KEYS[3] open     set     IDs of the batches that are not closed
-- ARGV[1] the cutout's ID
-- ARGV[2] its BatchSpec as JSON
-- ARGV[3] its outcome as JSON; empty: it has not ended
-- ARGV[4] status of the outcome
-- ARGV[5] now (Unix seconds)
-- ARGV[6] seconds to keep a cutout that has ended
-- returns 1 if it was stored
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return 0 end
redis.call('HSET', KEYS[1], 'spec', ARGV[2], 'total', 1, 'done', 0, 'skipped', 0, 'failed', 0)
if ARGV[3] == '' then
  redis.call('HSET', KEYS[1], 'state', 'open', 'cursor', 0, 'duplicates', 0, 'epoch', 0)
  redis.call('SADD', KEYS[3], ARGV[1])
else
  redis.call('HSET', KEYS[1], 'state', 'closed', 'outcome', ARGV[3], 'closed', ARGV[5], ARGV[4], 1)
  redis.call('EXPIRE', KEYS[1], ARGV[6])
end
return 1
