-- Deletes everything stored for a batch that is closed, so that no retry can open it again.
--
-- KEYS[1] batch  hash  field `state`
-- KEYS[2..] every other key of the batch
-- returns 1 if nothing is stored for it now, 0 if it is not closed
local state = redis.call('HGET', KEYS[1], 'state')
if state and state ~= 'closed' then return 0 end
for _, key in ipairs(KEYS) do redis.call('DEL', key) end
return 1
