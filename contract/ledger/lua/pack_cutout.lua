-- Replaces the fields of a closed cutout by one that holds them all. It expires when it would have.
--
-- KEYS[1] batch  hash  field `state`; afterwards `state` and `packed`
-- ARGV[1] the fields as one text
-- returns 1 if it is packed now, 0 if the cutout was deleted or restored meanwhile
if redis.call('HGET', KEYS[1], 'state') ~= 'closed' then return 0 end
local kept = redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'state', 'closed', 'packed', ARGV[1])
redis.call('PEXPIRE', KEYS[1], kept)
return 1
