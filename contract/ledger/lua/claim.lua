-- Claims a line for a worker. The crash count is raised before any byte of the image is read: if the
-- process dies, it stays; every orderly end resets it (finish.lua, defer.lua).
--
-- KEYS[1]  batch         hash    fields `state`, `duplicates`
-- KEYS[2]  settled       bitmap
-- KEYS[3]  issued        zset
-- KEYS[4]  quarantined   zset
-- KEYS[5]  claimed       zset    line -> when its lease ends (Unix seconds, Redis's clock)
-- KEYS[6]  deferred      zset
-- KEYS[7]  claim_tokens  hash    line -> token of the attempt that claimed it
-- KEYS[8]  crash_count   hash    line -> attempts that began and did not end in order
-- KEYS[9]  crash_causes  hash    line -> what ended its processes, if a worker saw it
-- KEYS[10] retries       hash    line -> orderly retries so far
-- ARGV[1] line
-- ARGV[2] token of this attempt: a call repeated after a broken connection counts once
-- ARGV[3] lease in seconds
-- ARGV[4] 1 if the caller is a quarantine worker
-- returns {'claimed', crash count, retries, crash causes}, or why the line cannot be claimed:
--   {'stopped'} the batch is not open, {'settled'}, {'held'} by another attempt, {'quarantined'}
local line = ARGV[1]
local holder = redis.call('HGET', KEYS[7], line)
-- a claim that is repeated stays valid if the batch was paused or cancelled meanwhile
if holder ~= ARGV[2] and redis.call('HGET', KEYS[1], 'state') ~= 'open' then return {'stopped'} end
if redis.call('GETBIT', KEYS[2], line) == 1 then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return {'settled'}
end
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local crashes = tonumber(redis.call('HGET', KEYS[8], line) or 0)
local crash_causes, retries = '', 0
if redis.call('EXISTS', KEYS[9], KEYS[10]) > 0 then -- seldom
  crash_causes = redis.call('HGET', KEYS[9], line) or ''
  retries = tonumber(redis.call('HGET', KEYS[10], line) or 0)
end
if holder == ARGV[2] then return {'claimed', crashes - 1, retries, crash_causes} end
if holder and tonumber(redis.call('ZSCORE', KEYS[5], line) or 0) > now then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return {'held'}
end
for zset = 3, 6 do -- it is in at most one of them, most often in the first
  if redis.call('ZREM', KEYS[zset], line) == 1 then break end
end
-- A crash that a worker saw was caused by the image. One that nobody saw is more likely a machine
-- that was taken away, so only a second one sends the line to quarantine.
if (crash_causes ~= '' or crashes > 1) and ARGV[4] ~= '1' then
  redis.call('HDEL', KEYS[7], line)
  redis.call('ZADD', KEYS[6], now, line)
  return {'quarantined'}
end
redis.call('HSET', KEYS[7], line, ARGV[2])
redis.call('ZADD', KEYS[5], now + ARGV[3], line)
redis.call('HINCRBY', KEYS[8], line, 1)
return {'claimed', crashes, retries, crash_causes}
