-- Stores a new batch whose source is to be listed, unless Redis knows the batch already.
--
-- KEYS[1] batch        hash    every field of a batch
-- KEYS[2] settled      bitmap
-- KEYS[3] failed       bitmap
-- KEYS[4] batches      zset    batch -> when it was created (Unix seconds)
-- KEYS[5] registering  set     IDs of the batches that are being registered
-- ARGV[1] the batch's ID
-- ARGV[2] when it was created (Unix seconds)
-- ARGV[3] seconds after which a batch that nobody lists is forgotten
-- ARGV[4..] fields and values of the hash
-- returns 1 if it was stored, 0 if it was known
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('SET', KEYS[2], '')
redis.call('SET', KEYS[3], '')
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
redis.call('SADD', KEYS[5], ARGV[1])
return 1
