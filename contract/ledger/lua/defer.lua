-- Puts a line back for a later try: an orderly end, so the strike is taken back.
--
-- KEYS[1] batch     hash    field `state`
-- KEYS[2] settled   bitmap
-- KEYS[3] claimed   zset
-- KEYS[4] deferred  zset    line -> when to publish it again (unix seconds, Redis's clock)
-- KEYS[5] holders   hash
-- KEYS[6] strikes   hash
-- KEYS[7] deaths    hash
-- KEYS[8] attempts  hash
-- KEYS[9] endings   list    how the last attempts ended, newest first
-- ARGV[1] line
-- ARGV[2] token of the run
-- ARGV[3] seconds until then
-- ARGV[4] the error's code
-- ARGV[5] most endings kept
-- returns the orderly retries so far, this one included; 0 where the line is not the caller's
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'closed' then return 0 end
if redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then return 0 end
if redis.call('HGET', KEYS[5], ARGV[1]) ~= ARGV[2] then return 0 end
local clock = redis.call('TIME')
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[4], clock[1] + clock[2] / 1000000 + ARGV[3], ARGV[1])
for hash = 5, 7 do redis.call('HDEL', KEYS[hash], ARGV[1]) end
redis.call('LPUSH', KEYS[9], ARGV[4])
redis.call('LTRIM', KEYS[9], 0, ARGV[5] - 1)
return redis.call('HINCRBY', KEYS[8], ARGV[1], 1)
