-- Reopens failed lines, and their batch with them. The cursor is set back so they are issued again.
-- A line is reopened only while its own bit says that it failed, so two calls at once count it once.
-- The epoch is raised, so a dispatcher that is closing the batch meanwhile finds it changed.
--
-- KEYS[1] batch         hash    fields `state`, `failed`, `cursor`, `closed`, `eta`, `epoch`
-- KEYS[2] settled       bitmap
-- KEYS[3] crash_count   hash
-- KEYS[4] crash_causes  hash
-- KEYS[5] failed        bitmap  one bit per line whose status is `failed`
-- KEYS[6] open          set     IDs of the batches that are not closed
-- ARGV[1] the batch's ID
-- ARGV[2] crash causes, to send the lines to quarantine; or empty
-- ARGV[3..] the lines
-- returns how many lines had failed and are open now
if redis.call('EXISTS', KEYS[1], KEYS[2]) < 2 then return 0 end
-- what failed before would end as cancelled
if redis.call('HGET', KEYS[1], 'state') == 'cancelling' then return 0 end
local opened = 0
local cursor = tonumber(redis.call('HGET', KEYS[1], 'cursor'))
for i = 3, #ARGV do
  local line = ARGV[i]
  if redis.call('SETBIT', KEYS[5], line, 0) == 1 then
    redis.call('SETBIT', KEYS[2], line, 0)
    opened = opened + 1
    cursor = math.min(cursor, tonumber(line))
    if ARGV[2] ~= '' then
      redis.call('HSET', KEYS[3], line, 1)
      redis.call('HSET', KEYS[4], line, ARGV[2])
    end
  end
end
if opened == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'failed', -opened)
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], 'cursor', cursor)
if redis.call('HGET', KEYS[1], 'state') == 'closed' then
  redis.call('HSET', KEYS[1], 'state', 'open')
  redis.call('HDEL', KEYS[1], 'closed', 'eta') -- the estimate was of its last end
end
for _, key in ipairs({KEYS[1], KEYS[2], KEYS[5]}) do redis.call('PERSIST', key) end
redis.call('SADD', KEYS[6], ARGV[1])
return opened
