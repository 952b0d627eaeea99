-- Finds the next lines of a batch that are not settled and that no attempt holds.
--
-- KEYS[1] batch        hash    field `total`
-- KEYS[2] settled      bitmap  one bit per line
-- KEYS[3] claimed      zset    line -> when its lease ends (Unix seconds, Redis's clock)
-- KEYS[4] crash_count  hash    line -> attempts that began and did not end in order
-- KEYS[5] retries      hash    line -> orderly retries so far
-- ARGV[1] line to begin with
-- ARGV[2] maximum number of unsettled lines to look at
-- returns {line to go on with, at least `total` if there are no more; line, its attempts so far; ...}
local total = tonumber(redis.call('HGET', KEYS[1], 'total') or 0)
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local tried = redis.call('EXISTS', KEYS[4], KEYS[5]) > 0
local line, remaining = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {0}
while remaining > 0 do
  -- the rest of a byte bit by bit; whole bytes of settled lines in one command
  if line % 8 == 0 then line = math.max(line, redis.call('BITPOS', KEYS[2], 0, line / 8)) end
  if line >= total then break end
  if redis.call('GETBIT', KEYS[2], line) == 0 then
    remaining = remaining - 1
    if tonumber(redis.call('ZSCORE', KEYS[3], line) or 0) <= now then
      local attempts = 0
      if tried then
        attempts = (redis.call('HGET', KEYS[4], line) or 0) + (redis.call('HGET', KEYS[5], line) or 0)
      end
      found[#found + 1] = line
      found[#found + 1] = attempts
    end
  end
  line = line + 1
end
found[1] = line
return found
