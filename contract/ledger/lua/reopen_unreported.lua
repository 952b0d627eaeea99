-- Reopens settled lines whose outcome row was lost, and corrects the counters to what is reported.
--
-- KEYS[1] batch    hash    counters `done`, `skipped`, `failed`; fields `cursor`, `epoch`
-- KEYS[2] settled  bitmap
-- KEYS[3] failed   bitmap
-- ARGV[1] epoch at which the rows were counted
-- ARGV[2] rows with status `done`
-- ARGV[3] rows with status `skipped`
-- ARGV[4] rows with status `failed`
-- ARGV[5..] the lines without a row
-- returns 1 if they are open now, 0 if the batch has changed since
if (redis.call('HGET', KEYS[1], 'epoch') or '0') ~= ARGV[1] then return 0 end
local cursor = tonumber(redis.call('HGET', KEYS[1], 'cursor'))
for i = 5, #ARGV do
  redis.call('SETBIT', KEYS[2], ARGV[i], 0)
  redis.call('SETBIT', KEYS[3], ARGV[i], 0)
  cursor = math.min(cursor, tonumber(ARGV[i]))
end
redis.call('HSET', KEYS[1], 'done', ARGV[2], 'skipped', ARGV[3], 'failed', ARGV[4])
redis.call('HSET', KEYS[1], 'cursor', cursor)
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
return 1
