-- Takes the next lines of a batch for publishing. The cursor and the issued set change together,
-- before anything is published: after a crash in between, the lines become overdue and are reissued.
--
-- KEYS[1] batch        hash    fields `cursor`, `total`, `state`
-- KEYS[2] settled      bitmap  one bit per line
-- KEYS[3] issued       zset    line -> when it becomes overdue (Redis's clock)
-- KEYS[4] quarantined  zset    the same for the quarantine queue
-- KEYS[5] claimed      zset
-- KEYS[6] deferred     zset
-- ARGV[1] maximum number of lines to take
-- ARGV[2] window: maximum number of lines in `issued` and `claimed`
-- ARGV[3] seconds until the taken lines become overdue
-- ARGV[4] maximum number of outstanding lines, in all four sets
-- returns the time, as text, and the lines to publish, in order; skips lines that are settled or
-- outstanding already (a retry sets the cursor back)
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local answer = {tostring(now)}
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return answer end
local cursor = tonumber(redis.call('HGET', KEYS[1], 'cursor'))
local total = tonumber(redis.call('HGET', KEYS[1], 'total'))
local active = redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[5])
local waiting = redis.call('ZCARD', KEYS[4]) + redis.call('ZCARD', KEYS[6])
local room = math.min(
  tonumber(ARGV[1]), tonumber(ARGV[2]) - active, tonumber(ARGV[4]) - active - waiting)
local function outstanding(line)
  for zset = 3, 6 do
    if redis.call('ZSCORE', KEYS[zset], line) then return true end
  end
  return false
end
local looked = 0
while #answer <= room and cursor < total and looked < 10000 do
  if redis.call('GETBIT', KEYS[2], cursor) == 0 and not outstanding(cursor) then
    redis.call('ZADD', KEYS[3], now + ARGV[3], cursor)
    answer[#answer + 1] = cursor
  end
  cursor = cursor + 1
  looked = looked + 1
end
redis.call('HSET', KEYS[1], 'cursor', cursor)
return answer
