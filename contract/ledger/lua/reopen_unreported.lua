-- Reopens settled lines whose outcome row was lost. The first call for a batch also corrects the
-- counters to what is reported; lines without a row then count as `done` until they are reopened.
--
-- KEYS[1] batch    hash    counters `done`, `skipped`, `failed`; fields `state`, `cursor`, `epoch`
-- KEYS[2] settled  bitmap
-- KEYS[3] failed   bitmap
-- ARGV[1] epoch at which the rows were counted
-- ARGV[2] done, ARGV[3] skipped, ARGV[4] failed: the new counters; empty: as they are
-- ARGV[5..] the lines without a row
-- returns 1 if they are open now, 0 if the batch has changed since
local row = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'cursor')
if not row[1] or row[1] == 'closed' or row[2] ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'done', ARGV[2], 'skipped', ARGV[3], 'failed', ARGV[4])
end
local cursor, reopened = tonumber(row[3]), 0
for i = 5, #ARGV do
  reopened = reopened + redis.call('SETBIT', KEYS[2], ARGV[i], 0)
  redis.call('SETBIT', KEYS[3], ARGV[i], 0)
  cursor = math.min(cursor, tonumber(ARGV[i]))
end
redis.call('HINCRBY', KEYS[1], 'done', -reopened)
redis.call('HSET', KEYS[1], 'cursor', cursor)
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
return 1
