-- Releases a claimed line for a retry. An orderly end, so the crash count is reset.
--
-- KEYS[1] batch           hash    fields `state`, `storage_errors`
-- KEYS[2] settled         bitmap
-- KEYS[3] claimed         zset
-- KEYS[4] deferred        zset    line -> when to publish it again (Unix seconds, Redis's clock)
-- KEYS[5] claim_tokens    hash
-- KEYS[6] crash_count     hash
-- KEYS[7] crash_causes    hash
-- KEYS[8] retries         hash
-- KEYS[9] recent_results  list    `code seconds worker` of the latest attempts, newest first
-- ARGV[1] line
-- ARGV[2] token of the attempt
-- ARGV[3] delay in seconds
-- ARGV[4] the error's code
-- ARGV[5] number of recent results to keep
-- ARGV[6] name of the worker
-- returns the retries so far, this one included; 0 if the line is not claimed by the token
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'closed' then return 0 end
if redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then return 0 end
if redis.call('HGET', KEYS[5], ARGV[1]) ~= ARGV[2] then return 0 end
local clock = redis.call('TIME')
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[4], clock[1] + clock[2] / 1000000 + ARGV[3], ARGV[1])
for hash = 5, 7 do redis.call('HDEL', KEYS[hash], ARGV[1]) end
if ARGV[4] == 'storage_unavailable' then redis.call('HINCRBY', KEYS[1], 'storage_errors', 1) end
redis.call('LPUSH', KEYS[9], ARGV[4] .. ' ' .. clock[1] .. ' ' .. ARGV[6])
redis.call('LTRIM', KEYS[9], 0, ARGV[5] - 1)
return redis.call('HINCRBY', KEYS[8], ARGV[1], 1)
