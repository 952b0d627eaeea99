-- Pauses or cancels a batch: no further lines are published or claimed. Claimed lines are finished.
--
-- KEYS[1] batch  hash  fields `state`, `stalled_reason`, `retry_at`
-- ARGV[1] `paused` or `cancelling`
-- ARGV[2] the reason
-- ARGV[3] when the dispatcher may resume it (Unix seconds), or empty
-- ARGV[4] 1: only an open batch is stopped, so that a pause of an operator stays; 0: a paused one too
-- returns 1 if the batch is stopped now, 0 if its state forbids it
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'open' and (state ~= 'paused' or ARGV[4] == '1') then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'stalled_reason', ARGV[2])
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], 'retry_at')
else
  redis.call('HSET', KEYS[1], 'retry_at', ARGV[3])
end
return 1
