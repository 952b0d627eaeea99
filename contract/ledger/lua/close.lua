-- Closes a batch all of whose lines are settled. Counters and bits can still be read for a while.
--
-- KEYS[1] batch    hash    fields `state`, `total`, `done`, `skipped`, `failed`, `closed`
-- KEYS[2] settled  bitmap
-- KEYS[3] open     set     IDs of the batches that are not closed
-- KEYS[4..] every other key of the batch; they are deleted
-- ARGV[1] the batch's ID
-- ARGV[2] now (Unix seconds)
-- ARGV[3] seconds to keep the counters and bits
-- ARGV[4] 1: close it even if lines are unsettled
-- returns 1 if it is closed now, 0 if lines are unsettled
local row = redis.call('HMGET', KEYS[1], 'total', 'done', 'skipped', 'failed')
if not row[1] then return 0 end
if ARGV[4] ~= '1' and row[2] + row[3] + row[4] < tonumber(row[1]) then return 0 end
redis.call('HSET', KEYS[1], 'state', 'closed', 'closed', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('SREM', KEYS[3], ARGV[1])
for i = 4, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
