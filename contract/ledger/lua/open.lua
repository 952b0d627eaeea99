-- Lets the lines of a registered batch be issued. Does nothing to a batch that is open already.
--
-- KEYS[1] batch        hash    field `state`
-- KEYS[2] settled      bitmap
-- KEYS[3] failed       bitmap
-- KEYS[4] open         set     IDs of the batches that are not closed
-- KEYS[5] registering  set     IDs of the batches that are being registered
-- KEYS[6] lister       string  token of the process that lists; deleted
-- ARGV[1] the batch's ID
-- returns 1, or 0 if Redis does not know the batch
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 0 end
if state ~= 'registering' then return 1 end
for i = 1, 3 do redis.call('PERSIST', KEYS[i]) end
redis.call('HSET', KEYS[1], 'state', 'open', 'stalled_reason', '')
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('SREM', KEYS[5], ARGV[1])
redis.call('DEL', KEYS[6])
return 1
