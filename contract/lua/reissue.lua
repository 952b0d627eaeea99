-- Takes lines that fell due without being settled: their message was lost, or they wait for a retry.
--
-- KEYS[1] issued  zset  line -> due time
-- ARGV[1] lines due before this time are taken (unix seconds)
-- ARGV[2] their new due time
-- ARGV[3] most lines to take
-- returns the lines to publish again
local lines = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[3])
for _, line in ipairs(lines) do
  redis.call('ZADD', KEYS[1], ARGV[2], line)
end
return lines
