-- Takes lines to publish again: their message was lost, their worker died, or their retry is due.
--
-- KEYS[1] batch         hash  field `state`
-- KEYS[2] issued        zset  line -> when it becomes overdue (Redis's clock)
-- KEYS[3] quarantined   zset  the same for the quarantine queue
-- KEYS[4] claimed       zset  line -> when its lease ends
-- KEYS[5] deferred      zset  line -> when its retry is due
-- KEYS[6] claim_tokens  hash
-- KEYS[7] crash_count   hash
-- KEYS[8] crash_causes  hash
-- ARGV[1] maximum number of lines to take
-- ARGV[2] seconds until the taken lines become overdue
-- ARGV[3] seconds between a worker's receiving a message and its claim of the line
-- ARGV[4] when the oldest message in the bulk queue was issued; empty if the queue is empty
-- ARGV[5] the same for the quarantine queue
-- ARGV[6] window: retries are taken while fewer lines are in `issued` and `claimed`
-- returns the time, as text, then a pair for each line: the line, 1 if it goes to quarantine
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local answer = {tostring(now)}
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return answer end
local due = now + ARGV[2]
local taken = 0
local function take(from, before, limit)
  limit = math.min(limit, ARGV[1] - taken)
  if limit <= 0 then return end
  local lines = redis.call('ZRANGEBYSCORE', KEYS[from], '-inf', '(' .. before, 'LIMIT', 0, limit)
  for _, line in ipairs(lines) do
    local crashed = redis.call('HEXISTS', KEYS[8], line) == 1
      or tonumber(redis.call('HGET', KEYS[7], line) or 0) > 1
    redis.call('ZREM', KEYS[from], line)
    redis.call('HDEL', KEYS[6], line)
    redis.call('ZADD', KEYS[crashed and 3 or 2], due, line)
    answer[#answer + 1] = line
    answer[#answer + 1] = crashed and 1 or 0
  end
  taken = taken + #lines
end
-- Queues are first in, first out: a message is lost if its line is overdue and it was issued before
-- the oldest one in the queue.
local function lost_before(oldest)
  if oldest == '' then return now - ARGV[3] end
  return math.min(now, oldest + ARGV[2]) - ARGV[3]
end
local limit = tonumber(ARGV[1])
take(5, now, ARGV[6] - redis.call('ZCARD', KEYS[2]) - redis.call('ZCARD', KEYS[4]))
take(4, now, limit)
take(2, lost_before(ARGV[4]), limit)
take(3, lost_before(ARGV[5]), limit)
return answer
