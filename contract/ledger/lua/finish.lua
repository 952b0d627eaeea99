-- Settles a line: bit, counter and outcome row together, once, however often it is called.
--
-- KEYS[1]  batch           hash    counters `done`, `skipped`, `failed`, `duplicates`; field `epoch`
-- KEYS[2]  settled         bitmap
-- KEYS[3]  issued          zset
-- KEYS[4]  quarantined     zset
-- KEYS[5]  claimed         zset
-- KEYS[6]  deferred        zset
-- KEYS[7]  claim_tokens    hash
-- KEYS[8]  crash_count     hash
-- KEYS[9]  crash_causes    hash
-- KEYS[10] retries         hash
-- KEYS[11] outcomes        stream  `row`: the outcome as JSON; `epoch`: the batch's, when the line was settled
-- KEYS[12] recent_results  list    `code seconds worker` of the latest attempts, newest first
-- KEYS[13] failed          bitmap  one bit per line whose status is `failed`
-- KEYS[14] settled counts  hash    status -> images settled so, of all batches; never reset
-- ARGV[1] line
-- ARGV[2] status, which is also the counter's name
-- ARGV[3] outcome as JSON
-- ARGV[4] result of the attempt: the code of the error behind a failure, or `ok`
-- ARGV[5] number of recent results to keep
-- ARGV[6] name of the worker
-- ARGV[7] state that the batch must be in; empty or missing: any but closed
-- returns 1 if this call settled it, 0 if it was settled before or the batch is closed
local batch = redis.call('HMGET', KEYS[1], 'state', 'epoch')
if not batch[1] or batch[1] == 'closed' then return 0 end
if ARGV[7] and ARGV[7] ~= '' and ARGV[7] ~= batch[1] then return 0 end
for _, zset in ipairs({5, 3, 6, 4}) do -- it is in at most one of them, most often in `claimed`
  if redis.call('ZREM', KEYS[zset], ARGV[1]) == 1 then break end
end
redis.call('HDEL', KEYS[7], ARGV[1])
redis.call('HDEL', KEYS[8], ARGV[1])
if redis.call('EXISTS', KEYS[9], KEYS[10]) > 0 then -- seldom
  redis.call('HDEL', KEYS[9], ARGV[1])
  redis.call('HDEL', KEYS[10], ARGV[1])
end
if redis.call('SETBIT', KEYS[2], ARGV[1], 1) == 1 then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return 0
end
redis.call('HINCRBY', KEYS[1], ARGV[2], 1)
redis.call('HINCRBY', KEYS[14], ARGV[2], 1)
if ARGV[2] == 'failed' then redis.call('SETBIT', KEYS[13], ARGV[1], 1) end
redis.call('XADD', KEYS[11], '*', 'row', ARGV[3], 'epoch', batch[2])
redis.call('LPUSH', KEYS[12], ARGV[4] .. ' ' .. redis.call('TIME')[1] .. ' ' .. ARGV[6])
redis.call('LTRIM', KEYS[12], 0, ARGV[5] - 1)
return 1
