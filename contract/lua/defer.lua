-- Puts a line back for a later try: an orderly end, so the strike is taken back.
--
-- KEYS[1] batch     hash    field `state`
-- KEYS[2] settled   bitmap
-- KEYS[3] issued    zset
-- KEYS[4] strikes   hash
-- KEYS[5] attempts  hash
-- ARGV[1] line
-- ARGV[2] when it falls due (unix seconds)
-- returns the orderly retries so far, this one included; 0 where there is nothing left to do
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return 0 end
if redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then return 0 end
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
return redis.call('HINCRBY', KEYS[5], ARGV[1], 1)
