-- Finds the first lines of a batch that are not settled.
--
-- KEYS[1] batch    hash    field `total`
-- KEYS[2] settled  bitmap  one bit per line
-- ARGV[1] maximum number of lines
-- returns the lines, in order
local total = tonumber(redis.call('HGET', KEYS[1], 'total') or 0)
local limit = tonumber(ARGV[1])
local lines = {}
local line = 0
while #lines < limit do
  -- the rest of a byte bit by bit; whole bytes of settled lines in one command
  if line % 8 == 0 then line = math.max(line, redis.call('BITPOS', KEYS[2], 0, line / 8)) end
  if line >= total then break end
  if redis.call('GETBIT', KEYS[2], line) == 0 then lines[#lines + 1] = line end
  line = line + 1
end
return lines
