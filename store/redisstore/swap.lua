-- Replaces a value, if it is still the one that the caller has seen.
--
-- KEYS: the value
-- ARGV: what it was, empty for none; what it becomes; for how many milliseconds
--
-- Returns 1, or 0 and what it is now.

local now = redis.call('GET', KEYS[1]) or ''
if now ~= ARGV[1] then
	return {0, now}
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {1, now}
