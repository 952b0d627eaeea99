-- Settles a line: bit, counter and outcome row together, once, however often it is called.
--
-- KEYS[1]  batch        hash    counters `done`, `skipped`, `failed`, `duplicates`
-- KEYS[2]  settled      bitmap
-- KEYS[3]  issued       zset
-- KEYS[4]  quarantined  zset
-- KEYS[5]  claimed      zset
-- KEYS[6]  deferred     zset
-- KEYS[7]  holders      hash
-- KEYS[8]  strikes      hash
-- KEYS[9]  deaths       hash
-- KEYS[10] attempts     hash
-- KEYS[11] outcomes     stream  field `row`: the outcome as JSON
-- KEYS[12] endings      list    how the last attempts ended, newest first
-- ARGV[1] line
-- ARGV[2] status, which is the counter's name
-- ARGV[3] outcome as JSON
-- ARGV[4] the code of the error behind it, or `ok`
-- ARGV[5] most endings kept
-- returns 1 where this call settled it, 0 where it was settled before or the batch is closed
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'closed' then return 0 end
for zset = 3, 6 do redis.call('ZREM', KEYS[zset], ARGV[1]) end
for hash = 7, 10 do redis.call('HDEL', KEYS[hash], ARGV[1]) end
if redis.call('SETBIT', KEYS[2], ARGV[1], 1) == 1 then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return 0
end
redis.call('HINCRBY', KEYS[1], ARGV[2], 1)
redis.call('XADD', KEYS[11], '*', 'row', ARGV[3])
redis.call('LPUSH', KEYS[12], ARGV[4])
redis.call('LTRIM', KEYS[12], 0, ARGV[5] - 1)
return 1
