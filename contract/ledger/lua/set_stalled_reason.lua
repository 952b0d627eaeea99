-- Records why a batch makes no progress. A paused batch keeps the reason of its pause; a batch that
-- Redis has forgotten stays forgotten.
--
-- KEYS[1] batch  hash  fields `state`, `stalled_reason`
-- ARGV[1] the reason; empty once it makes progress
-- returns 1 if it was recorded
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'paused' then return 0 end
redis.call('HSET', KEYS[1], 'stalled_reason', ARGV[1])
return 1
