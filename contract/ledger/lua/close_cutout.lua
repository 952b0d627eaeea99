-- Closes a cutout that has ended: its outcome moves from the stream to the hash. One that is being
-- deleted needs no outcome. A cutout that was lost and restored since the caller read it stays open.
--
-- KEYS[1] batch     hash    fields `state`, `closed`, `packed`, and `outcome`: the outcome as JSON
-- KEYS[2] open      set     IDs of the batches that are not closed
-- KEYS[3] outcomes  stream  field `row`
-- KEYS[4..] every other key of the cutout; they are deleted, as is the stream
-- ARGV[1] the cutout's ID
-- ARGV[2] now (Unix seconds)
-- ARGV[3] seconds to keep the counters and the outcome
-- returns 1 if it is closed now
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 0 end
if redis.call('HEXISTS', KEYS[1], 'packed') == 1 then return 1 end
if redis.call('HEXISTS', KEYS[1], 'outcome') == 0 then
  local entry = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
  if entry then
    redis.call('HSET', KEYS[1], 'outcome', entry[2][2])
  elseif state ~= 'cancelling' then
    return 0
  end
end
redis.call('HSET', KEYS[1], 'state', 'closed', 'closed', ARGV[2])
redis.call('HDEL', KEYS[1], 'cursor', 'duplicates', 'epoch', 'stalled_reason')
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('SREM', KEYS[2], ARGV[1])
for i = 3, #KEYS do redis.call('UNLINK', KEYS[i]) end
return 1
