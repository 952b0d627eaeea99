-- Stops a batch, for now or for good: nothing more of it is published or claimed. Images in hand
-- are finished.
--
-- KEYS[1] batch  hash  fields `state`, `trouble`, `trial`
-- ARGV[1] `paused` or `cancelling`
-- ARGV[2] why
-- ARGV[3] when the dispatcher may open it again for a trial (unix seconds), or empty
-- returns 1 where the batch is stopped now, 0 where it was not open
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'open' and state ~= 'paused' then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'trouble', ARGV[2])
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], 'trial')
else
  redis.call('HSET', KEYS[1], 'trial', ARGV[3])
end
return 1
