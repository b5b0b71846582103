#!lua flags=no-writes
-- Shows KEYS[1], and what is kept about it under KEYS[2]. ARGV: '1' for the record,
-- too. Returns the value; what is known about it; when it expires, in ms since 1970;
-- the seconds and microseconds of the server's clock. Without a key, nothing.
local value = redis.call('GETRANGE', KEYS[1], 0, 8191)
if #value == 0 then return {} end
local about = string.sub(value, 78)
if string.sub(value, 2, 2) == 'd' then
  about = KEYS[2] and redis.call('GET', KEYS[2]) or ''
  value = ARGV[1] == '1' and redis.call('GET', KEYS[1]) or string.sub(value, 1, 77)
else
  value = string.sub(value, 1, 77)
end
local now = redis.call('TIME')
return {value, about, redis.call('PEXPIRETIME', KEYS[1]), now[1], now[2]}
