-- Marks every line whose message may be gone for republishing at once. Retry counts restart at zero:
-- the cause of the failures counts as fixed.
--
-- KEYS[1] batch           hash  fields `state`, `stalled_reason`, `retry_at`
-- KEYS[2] issued          zset
-- KEYS[3] quarantined     zset
-- KEYS[4] claimed         zset
-- KEYS[5] deferred        zset  line -> when to publish it again (Redis's clock)
-- KEYS[6] claim_tokens    hash
-- KEYS[7] crash_count     hash
-- KEYS[8] retries         hash
-- KEYS[9] recent_results  list
-- ARGV[1] 1: no worker is running, so claimed lines are taken back too, without counting a crash, and
--   a paused batch stays paused
-- returns how many lines now wait to be published
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
for zset = 2, (ARGV[1] == '1' and 4 or 3) do
  for _, line in ipairs(redis.call('ZRANGE', KEYS[zset], 0, -1)) do
    redis.call('ZADD', KEYS[5], now, line)
  end
  redis.call('DEL', KEYS[zset])
end
if ARGV[1] == '1' then redis.call('DEL', KEYS[6], KEYS[7]) end
redis.call('DEL', KEYS[8], KEYS[9])
for _, line in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
  redis.call('ZADD', KEYS[5], now, line)
end
if ARGV[1] ~= '1' and redis.call('HGET', KEYS[1], 'state') == 'paused' then
  redis.call('HSET', KEYS[1], 'state', 'open', 'stalled_reason', '')
  redis.call('HDEL', KEYS[1], 'retry_at')
end
return redis.call('ZCARD', KEYS[5])
