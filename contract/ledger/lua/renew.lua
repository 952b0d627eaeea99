-- Extends the lease of a claimed line, unless another attempt has taken the line over.
--
-- KEYS[1] claimed       zset  line -> when its lease ends (Unix seconds, Redis's clock)
-- KEYS[2] claim_tokens  hash  line -> token of the attempt that claimed it
-- ARGV[1] line
-- ARGV[2] token of the attempt
-- ARGV[3] seconds from now
-- returns 1 if the line is still claimed by the token
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
local clock = redis.call('TIME')
redis.call('ZADD', KEYS[1], clock[1] + clock[2] / 1000000 + ARGV[3], ARGV[1])
return 1
