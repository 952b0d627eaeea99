-- Takes back every line whose message may be gone: all are published again, at once. Retries start
-- anew, because whatever made them necessary is taken for mended.
--
-- KEYS[1] batch        hash  fields `state`, `trouble`, `trial`
-- KEYS[2] issued       zset
-- KEYS[3] quarantined  zset
-- KEYS[4] claimed      zset
-- KEYS[5] deferred     zset  line -> when to publish it again (Redis's clock)
-- KEYS[6] holders      hash
-- KEYS[7] strikes      hash
-- KEYS[8] attempts     hash
-- KEYS[9] endings      list
-- ARGV[1] 1 where no worker is running: lines in hand are taken back too, without their strikes, and
--   a pause, which somebody or something meant, stays
-- returns how many lines wait to be published now
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
for zset = 2, (ARGV[1] == '1' and 4 or 3) do
  for _, line in ipairs(redis.call('ZRANGE', KEYS[zset], 0, -1)) do
    redis.call('ZADD', KEYS[5], now, line)
  end
  redis.call('DEL', KEYS[zset])
end
if ARGV[1] == '1' then redis.call('DEL', KEYS[6], KEYS[7]) end
redis.call('DEL', KEYS[8], KEYS[9])
for _, line in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
  redis.call('ZADD', KEYS[5], now, line)
end
if ARGV[1] ~= '1' and redis.call('HGET', KEYS[1], 'state') == 'paused' then
  redis.call('HSET', KEYS[1], 'state', 'open', 'trouble', '')
  redis.call('HDEL', KEYS[1], 'trial')
end
return redis.call('ZCARD', KEYS[5])
