-- Takes lines that are to be published again: their message was lost, their worker vanished, or
-- the time of their retry has come.
--
-- KEYS[1] batch        hash  field `state`
-- KEYS[2] issued       zset  line -> when it falls due (Redis's clock)
-- KEYS[3] quarantined  zset  likewise, of the quarantine queue
-- KEYS[4] claimed      zset  line -> when its lease ends
-- KEYS[5] deferred     zset  line -> when its retry is due
-- KEYS[6] holders      hash
-- KEYS[7] strikes      hash
-- KEYS[8] deaths       hash
-- ARGV[1] most lines to take
-- ARGV[2] seconds until what is taken falls due
-- ARGV[3] seconds from a worker's taking a message to its claim of the line
-- ARGV[4] when the oldest message that waits in the bulk queue was issued; empty where none waits
-- ARGV[5] likewise, of the quarantine queue
-- returns the moment, as text, then a pair for each line: the line, 1 where it is for quarantine
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local answer = {tostring(now)}
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return answer end
local due = now + ARGV[2]
local taken = 0
local function take(from, before)
  local found = redis.call(
    'ZRANGEBYSCORE', KEYS[from], '-inf', '(' .. before, 'LIMIT', 0, ARGV[1] - taken)
  for _, line in ipairs(found) do
    local struck = redis.call('HEXISTS', KEYS[8], line) == 1
      or tonumber(redis.call('HGET', KEYS[7], line) or 0) > 1
    redis.call('ZREM', KEYS[from], line)
    redis.call('HDEL', KEYS[6], line)
    redis.call('ZADD', KEYS[struck and 3 or 2], due, line)
    answer[#answer + 1] = line
    answer[#answer + 1] = struck and 1 or 0
  end
  taken = taken + #found
end
-- Queues are first in, first out: a message is lost when its line is overdue and it was issued
-- before the oldest one that waits.
local function lost_before(oldest)
  if oldest == '' then return now - ARGV[3] end
  return math.min(now, oldest + ARGV[2]) - ARGV[3]
end
take(5, now)
take(4, now)
take(2, lost_before(ARGV[4]))
take(3, lost_before(ARGV[5]))
return answer
