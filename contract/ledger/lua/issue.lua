-- Takes the next lines of a batch for publishing. The cursor and the issued set change together,
-- before anything is published: a crash in between leaves lines that fall due and are issued again.
--
-- KEYS[1] batch        hash    fields `cursor`, `total`, `state`
-- KEYS[2] settled      bitmap  one bit a line
-- KEYS[3] issued       zset    line -> when it is due to be issued again (Redis's clock)
-- KEYS[4] quarantined  zset    likewise, of the quarantine queue
-- KEYS[5] claimed      zset
-- KEYS[6] deferred     zset
-- ARGV[1] most lines to take
-- ARGV[2] window: most lines outstanding at a time
-- ARGV[3] seconds until what is taken falls due
-- returns the moment, as text, and the lines to publish, in order; lines that are settled already,
-- or outstanding (a retry set the cursor back), are passed over
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local answer = {tostring(now)}
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return answer end
local cursor = tonumber(redis.call('HGET', KEYS[1], 'cursor'))
local total = tonumber(redis.call('HGET', KEYS[1], 'total'))
local room = tonumber(ARGV[2])
for zset = 3, 6 do room = room - redis.call('ZCARD', KEYS[zset]) end
room = math.min(tonumber(ARGV[1]), room)
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
