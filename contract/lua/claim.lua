-- A worker takes a line in hand. The strike is written before a byte of the image is read: where
-- the process vanishes, it stays; every orderly end takes it back (finish.lua, defer.lua).
--
-- KEYS[1] batch     hash    field `state`
-- KEYS[2] settled   bitmap
-- KEYS[3] issued    zset
-- KEYS[4] strikes   hash    line -> runs begun and not ended in order
-- KEYS[5] attempts  hash    line -> orderly retries so far
-- ARGV[1] line
-- ARGV[2] when it falls due should this process vanish too
-- returns {strikes, attempts}, or {} where the line is settled or the batch is not open
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return {} end
if redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then
  redis.call('ZREM', KEYS[3], ARGV[1])
  return {}
end
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
return {
  redis.call('HINCRBY', KEYS[4], ARGV[1], 1),
  tonumber(redis.call('HGET', KEYS[5], ARGV[1]) or 0),
}
