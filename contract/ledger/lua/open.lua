-- Lets the lines of a registered batch be issued.
--
-- KEYS[1] batch    hash    field `state`
-- KEYS[2] settled  bitmap
-- KEYS[3] failed   bitmap
-- KEYS[4] open     set     IDs of the batches that are not closed
-- ARGV[1] the batch's ID
-- returns 1 if it is open now, 0 if Redis does not know the batch
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 1, 3 do redis.call('PERSIST', KEYS[i]) end
redis.call('HSET', KEYS[1], 'state', 'open')
redis.call('SADD', KEYS[4], ARGV[1])
return 1
