-- Keeps the settings that all processes must share for as long as one renews them.
--
-- KEYS[1] shared settings  hash  name -> value
-- ARGV[1] seconds to keep them
-- ARGV[2..] pairs: name, value
-- returns what is stored now, as pairs: the caller's, unless other values were stored before; then
-- those are not renewed
if redis.call('EXISTS', KEYS[1]) == 0 then
  for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
local equal = true
for i = 2, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then equal = false end
end
if equal then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return redis.call('HGETALL', KEYS[1])
