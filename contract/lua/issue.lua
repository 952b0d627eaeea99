-- Takes the next lines of a batch for publishing. The cursor and the issued set change together,
-- before anything is published: a crash in between leaves lines that fall due and are issued again.
--
-- KEYS[1] batch    hash    fields `cursor`, `total`, `state`
-- KEYS[2] settled  bitmap  one bit a line
-- KEYS[3] issued   zset    line -> when it is due to be issued again (unix seconds)
-- ARGV[1] most lines to take
-- ARGV[2] window: most lines issued at a time
-- ARGV[3] due time of what is taken (unix seconds)
-- returns the lines to publish, in order; lines settled already are passed over
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return {} end
local cursor = tonumber(redis.call('HGET', KEYS[1], 'cursor'))
local total = tonumber(redis.call('HGET', KEYS[1], 'total'))
local room = math.min(tonumber(ARGV[1]), tonumber(ARGV[2]) - redis.call('ZCARD', KEYS[3]))
local lines = {}
local looked = 0
while #lines < room and cursor < total and looked < 10000 do
  if redis.call('GETBIT', KEYS[2], cursor) == 0 then
    redis.call('ZADD', KEYS[3], ARGV[3], cursor)
    lines[#lines + 1] = cursor
  end
  cursor = cursor + 1
  looked = looked + 1
end
redis.call('HSET', KEYS[1], 'cursor', cursor)
return lines
