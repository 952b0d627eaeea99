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
-- returns the time, as text; 1 if another call may find more; and the lines to publish, in order;
-- skips lines that are settled or outstanding already (a retry sets the cursor back)
local MAX_TAKEN, MAX_SKIPPED = 100, 150 -- per call, whatever the caller asks for
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local answer = {tostring(now), 0}
local row = redis.call('HMGET', KEYS[1], 'state', 'cursor', 'total')
if row[1] ~= 'open' then return answer end
local cursor, total = tonumber(row[2]), tonumber(row[3])
local sizes, occupied = {}, {}
for zset = 3, 6 do
  sizes[zset] = redis.call('ZCARD', KEYS[zset])
  if sizes[zset] > 0 then occupied[#occupied + 1] = KEYS[zset] end
end
local active, waiting = sizes[3] + sizes[5], sizes[4] + sizes[6]
local limit = math.min(MAX_TAKEN, tonumber(ARGV[1]))
local room = math.min(limit, tonumber(ARGV[2]) - active, tonumber(ARGV[4]) - active - waiting)
-- the next line that is not settled, `line` included; whole bytes of settled lines cost nothing
local function unsettled(line)
  while line % 8 ~= 0 do
    if redis.call('GETBIT', KEYS[2], line) == 0 then return line end
    line = line + 1
  end
  return math.max(line, redis.call('BITPOS', KEYS[2], 0, line / 8))
end
local function outstanding(line)
  for _, key in ipairs(occupied) do
    if redis.call('ZSCORE', key, line) then return true end
  end
  return false
end
local taken, skipped, entries = 0, 0, {}
while taken < room and skipped < MAX_SKIPPED do
  cursor = math.min(unsettled(cursor), total)
  if cursor == total then break end
  if outstanding(cursor) then
    skipped = skipped + 1
  else
    entries[#entries + 1] = now + ARGV[3]
    entries[#entries + 1] = cursor
    answer[#answer + 1] = cursor
    taken = taken + 1
  end
  cursor = cursor + 1
end
if taken == limit or skipped == MAX_SKIPPED then answer[2] = 1 end
if taken > 0 then redis.call('ZADD', KEYS[3], unpack(entries)) end
redis.call('HSET', KEYS[1], 'cursor', cursor)
return answer
