-- Ends the registration of a batch whose source cannot be listed. The reason can be read for a while.
-- The batch's callback becomes due in the same step.
--
-- KEYS[1] batch        hash    fields `state`, `stalled_reason`, `closed`, `has_callback`, `epoch`
-- KEYS[2] settled      bitmap
-- KEYS[3] failed       bitmap
-- KEYS[4] lister       string  token of the process that lists
-- KEYS[5] registering  set     IDs of the batches that are being registered
-- KEYS[6] callbacks    zset    `ID:epoch` -> when it is due (Unix seconds, Redis's clock)
-- ARGV[1] the batch's ID
-- ARGV[2] token of the caller, or empty: an operator
-- ARGV[3] the reason
-- ARGV[4] now (Unix seconds)
-- ARGV[5] seconds to keep the batch
-- returns 1 if it has failed now, 0 if another process lists it or it is not being registered
if redis.call('HGET', KEYS[1], 'state') ~= 'registering' then return 0 end
if ARGV[2] ~= '' and redis.call('GET', KEYS[4]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'failed', 'stalled_reason', ARGV[3], 'closed', ARGV[4])
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[5]) end
local row = redis.call('HMGET', KEYS[1], 'has_callback', 'epoch')
if row[1] == '1' then
  redis.call('ZADD', KEYS[6], redis.call('TIME')[1], ARGV[1] .. ':' .. row[2])
end
redis.call('DEL', KEYS[4])
redis.call('SREM', KEYS[5], ARGV[1])
return 1
