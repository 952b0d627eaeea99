-- Settles a line: bit, counter and outcome row together, once, however often it is called.
--
-- KEYS[1] batch     hash    counters `done`, `skipped`, `failed`
-- KEYS[2] settled   bitmap
-- KEYS[3] issued    zset
-- KEYS[4] strikes   hash
-- KEYS[5] attempts  hash
-- KEYS[6] outcomes  stream  field `row`: the outcome as JSON
-- ARGV[1] line
-- ARGV[2] status, which is the counter's name
-- ARGV[3] outcome as JSON
-- returns 1 where this call settled it, 0 where it was settled before or the batch is not open
if redis.call('HGET', KEYS[1], 'state') == 'closed' then return 0 end
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
if redis.call('SETBIT', KEYS[2], ARGV[1], 1) == 1 then return 0 end
redis.call('HINCRBY', KEYS[1], ARGV[2], 1)
redis.call('XADD', KEYS[6], '*', 'row', ARGV[3])
return 1
