-- Records that the process working on a line died, and why. The crash count stays; the lease ends,
-- so the redelivered message can be claimed at once.
--
-- KEYS[1] claimed       zset
-- KEYS[2] claim_tokens  hash    line -> token
-- KEYS[3] crash_causes  hash    line -> what ended its processes, comma-separated
-- ARGV[1] line
-- ARGV[2] the first part of the token, which identifies the process
-- ARGV[3] the cause
-- returns 1 if the line was claimed by that process
local token = redis.call('HGET', KEYS[2], ARGV[1])
if not token or string.sub(token, 1, #ARGV[2]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], 0, ARGV[1])
local before = redis.call('HGET', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], before and (before .. ', ' .. ARGV[3]) or ARGV[3])
return 1
