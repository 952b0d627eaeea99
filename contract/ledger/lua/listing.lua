-- Takes or renews the right to list the source of a batch, and records how far its listing is.
--
-- The fence: one process at a time lists a source. One that lost its lease, as while it was frozen, can
-- change nothing more.
--
-- KEYS[1] batch     hash    fields `state`, `spec`, `total`, `stalled_reason`, `has_callback`; the counters
-- KEYS[2] settled   bitmap
-- KEYS[3] failed    bitmap
-- KEYS[4] lister    string  token of the process that lists
-- KEYS[5] outcomes  stream
-- ARGV[1] token
-- ARGV[2] milliseconds for which the right is held
-- ARGV[3] seconds after which a batch that nobody lists is forgotten
-- ARGV[4] lines so far, or empty: unchanged
-- ARGV[5] why the listing makes no progress; empty if it does
-- ARGV[6] the whole spec, or empty: unchanged. No line of it is settled then: what a process that died
--   has settled before it opened the batch may be other lines now
-- ARGV[7] 1 if the batch has a callback; only with the spec
-- returns 1 if the caller holds the right now, 0 if another does or the batch is not being registered
if redis.call('HGET', KEYS[1], 'state') ~= 'registering' then return 0 end
local token = redis.call('GET', KEYS[4])
if token and token ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2])
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
redis.call('HSET', KEYS[1], 'stalled_reason', ARGV[5])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'total', ARGV[4]) end
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'spec', ARGV[6], 'has_callback', ARGV[7])
  redis.call('HSET', KEYS[1], 'done', 0, 'skipped', 0, 'failed', 0)
  for i = 2, 3 do redis.call('SET', KEYS[i], '', 'KEEPTTL') end
  redis.call('UNLINK', KEYS[5])
end
return 1
