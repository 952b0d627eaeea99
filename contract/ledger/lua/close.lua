-- Ends a batch whose every line is settled. Counters and bits stay readable for a while.
--
-- KEYS[1] batch    hash    fields `state`, `total`, `done`, `skipped`, `failed`, `closed`
-- KEYS[2] settled  bitmap
-- KEYS[3] open     set     ids of the batches that are not closed
-- KEYS[4..] all the rest of the batch, which is dropped
-- ARGV[1] the batch's id
-- ARGV[2] now (unix seconds)
-- ARGV[3] seconds to keep it
-- ARGV[4] 1 to close it whatever is settled: it cannot go on
-- returns 1 where it is closed now, 0 where lines are open (again)
local row = redis.call('HMGET', KEYS[1], 'total', 'done', 'skipped', 'failed')
if not row[1] then return 0 end
if ARGV[4] ~= '1' and row[2] + row[3] + row[4] < tonumber(row[1]) then return 0 end
redis.call('HSET', KEYS[1], 'state', 'closed', 'closed', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('SREM', KEYS[3], ARGV[1])
for i = 4, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
