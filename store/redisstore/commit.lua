-- Keeps the data of a session and notes whose it is, both until it expires.
--
-- KEYS: the data; the user's sessions, scored by when their data expires; the
--       mark of a session that is over
-- ARGV: the session; its data; when that expires, in milliseconds since 1970

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expiry = tonumber(ARGV[3])

-- The session ended while this request was on its way. Its data goes with the mark.
local left = redis.call('PTTL', KEYS[3])
if left >= 0 then
	expiry = math.min(expiry, now + left)
end

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if expiry > now then
	redis.call('SET', KEYS[1], ARGV[2])
	redis.call('PEXPIREAT', KEYS[1], expiry)
	redis.call('ZADD', KEYS[2], expiry, ARGV[1])
else
	redis.call('DEL', KEYS[1])
	redis.call('ZREM', KEYS[2], ARGV[1])
end

local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
if last then
	redis.call('PEXPIREAT', KEYS[2], last)
end
return redis.status_reply('OK')
