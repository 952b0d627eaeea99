-- Says why a batch does not move on. A paused batch has its reason already, which stays; one that
-- Redis has forgotten since it was looked at stays forgotten.
--
-- KEYS[1] batch  hash  fields `state`, `trouble`
-- ARGV[1] why; empty when it moves on
-- returns 1 where it was noted
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'paused' then return 0 end
redis.call('HSET', KEYS[1], 'trouble', ARGV[1])
return 1
