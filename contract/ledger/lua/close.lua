-- Closes a batch all of whose lines are settled. Counters and bits can still be read for a while.
--
-- The fence: the report was written from what the batch was at one epoch, by the holder of the lease
-- of the report. If a retry has raised the epoch since, if the lease was lost, or if outcome rows are
-- left that the report lacks, or if the batch is closed, it stays as it is. Its callback becomes due in the same step, so
-- none is lost, and each end of the batch has one.
--
-- KEYS[1] batch         hash    fields `state`, `total`, `done`, `skipped`, `failed`, `closed`, `epoch`
-- KEYS[2] settled       bitmap
-- KEYS[3] failed        bitmap
-- KEYS[4] open          set     IDs of the batches that are not closed
-- KEYS[5] report_lease  string  token of the dispatcher that writes the report
-- KEYS[6] callbacks     zset    `ID:epoch` -> when it is due (Unix seconds, Redis's clock)
-- KEYS[7] outcomes      stream
-- KEYS[8..] every other key of the batch; they are deleted
-- ARGV[1] the batch's ID
-- ARGV[2] now (Unix seconds)
-- ARGV[3] seconds to keep the counters and bits
-- ARGV[4] epoch at which the report was written; empty: close it even if lines are unsettled
-- ARGV[5] token of the caller's lease of the report
-- returns 1 if it is closed now, 0 if the fence or an unsettled line forbids it
local row = redis.call('HMGET', KEYS[1], 'total', 'done', 'skipped', 'failed', 'epoch', 'has_callback', 'state')
if not row[1] then return 0 end
if ARGV[4] ~= '' then
  if row[2] + row[3] + row[4] < tonumber(row[1]) then return 0 end
  if row[5] ~= ARGV[4] or row[7] == 'closed' then return 0 end
  if redis.call('GET', KEYS[5]) ~= ARGV[5] then return 0 end
  if redis.call('XLEN', KEYS[7]) > 0 then return 0 end
  if row[6] == '1' then
    redis.call('ZADD', KEYS[6], redis.call('TIME')[1], ARGV[1] .. ':' .. ARGV[4])
  end
end
redis.call('HSET', KEYS[1], 'state', 'closed', 'closed', ARGV[2])
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
redis.call('SREM', KEYS[4], ARGV[1])
for i = 7, #KEYS do redis.call('UNLINK', KEYS[i]) end
return 1
