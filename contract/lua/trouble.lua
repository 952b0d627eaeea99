-- Says why a batch does not move on. Redis may have forgotten the batch since it was looked at: a row
-- with nothing but its trouble would be no batch.
--
-- KEYS[1] batch  hash  fields `spec`, `trouble`
-- ARGV[1] why; empty when it moves on
-- returns 1 where the batch is known
if redis.call('HEXISTS', KEYS[1], 'spec') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'trouble', ARGV[1])
return 1
