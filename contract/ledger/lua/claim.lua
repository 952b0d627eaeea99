-- A worker takes a line in hand. The strike is written before a byte of the image is read: where
-- the process vanishes, it stays; every orderly end takes it back (finish.lua, defer.lua).
--
-- KEYS[1]  batch        hash    fields `state`, `duplicates`
-- KEYS[2]  settled      bitmap
-- KEYS[3]  issued       zset
-- KEYS[4]  quarantined  zset
-- KEYS[5]  claimed      zset    line -> when its lease ends (unix seconds, Redis's clock)
-- KEYS[6]  deferred     zset
-- KEYS[7]  holders      hash    line -> token of who has it in hand
-- KEYS[8]  strikes      hash    line -> runs begun and not ended in order
-- KEYS[9]  deaths       hash    line -> what ended its processes, where a worker saw it
-- KEYS[10] attempts     hash    line -> orderly retries so far
-- ARGV[1] line
-- ARGV[2] token of this run: a call repeated over a broken connection counts once
-- ARGV[3] seconds of the lease
-- ARGV[4] 1 where the caller is a quarantine worker
-- returns {'claimed', vanished, attempts, deaths}, or why there is nothing to do:
--   {'stopped'} the batch is not open, {'settled'}, {'held'} by another, {'quarantine'}
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return {'stopped'} end
local line = ARGV[1]
if redis.call('GETBIT', KEYS[2], line) == 1 then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return {'settled'}
end
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local holder = redis.call('HGET', KEYS[7], line)
local vanished = tonumber(redis.call('HGET', KEYS[8], line) or 0)
local deaths = redis.call('HGET', KEYS[9], line) or ''
local attempts = tonumber(redis.call('HGET', KEYS[10], line) or 0)
if holder == ARGV[2] then return {'claimed', vanished - 1, attempts, deaths} end
if holder and tonumber(redis.call('ZSCORE', KEYS[5], line) or 0) > now then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return {'held'}
end
for zset = 3, 6 do redis.call('ZREM', KEYS[zset], line) end
-- A death that a worker saw is the image's own doing. One that nobody saw is more likely a machine
-- that was taken away: only the second such sends the line to quarantine.
if (deaths ~= '' or vanished > 1) and ARGV[4] ~= '1' then
  redis.call('HDEL', KEYS[7], line)
  redis.call('ZADD', KEYS[6], now, line)
  return {'quarantine'}
end
redis.call('HSET', KEYS[7], line, ARGV[2])
redis.call('ZADD', KEYS[5], now + ARGV[3], line)
redis.call('HINCRBY', KEYS[8], line, 1)
return {'claimed', vanished, attempts, deaths}
