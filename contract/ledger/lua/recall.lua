-- Marks lines whose message may be gone for republishing at once, some lines per call. Once none is
-- left, retry counts restart at zero (the cause of the failures counts as fixed) and a paused batch is
-- opened.
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
--   a batch stays in its state; 0: only a paused batch is recalled
-- ARGV[2] maximum number of lines to mark
-- ARGV[3] 1: only a batch with `retry_at` is recalled, so that a pause of an operator stays
-- returns 1 if lines may be left to mark, else 0; then how many lines wait to be published
local idle = ARGV[1] == '1'
if not idle and redis.call('HGET', KEYS[1], 'state') ~= 'paused' then return {0, 0} end
if ARGV[3] == '1' and redis.call('HEXISTS', KEYS[1], 'retry_at') == 0 then return {0, 0} end
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local room = tonumber(ARGV[2])
local function defer(lines, step)
  if #lines == 0 then return end
  local entries = {}
  for i = 1, #lines, step do
    entries[#entries + 1] = now
    entries[#entries + 1] = lines[i]
  end
  redis.call('ZADD', KEYS[5], unpack(entries))
end
for zset = 2, (idle and 4 or 3) do
  local popped = redis.call('ZPOPMIN', KEYS[zset], room)
  defer(popped, 2) -- every second one is a score
  room = room - #popped / 2
end
local later = redis.call('ZRANGEBYSCORE', KEYS[5], '(' .. now, '+inf', 'LIMIT', 0, room)
defer(later, 1)
local waiting = redis.call('ZCARD', KEYS[5])
if room == #later then return {1, waiting} end
if idle then redis.call('UNLINK', KEYS[6], KEYS[7]) end
redis.call('UNLINK', KEYS[8], KEYS[9])
if not idle then
  redis.call('HSET', KEYS[1], 'state', 'open', 'stalled_reason', '')
  redis.call('HDEL', KEYS[1], 'retry_at')
end
return {0, waiting}
