#!lua flags=allow-oom
-- Makes KEYS[1] done, and keeps what is known about it under KEYS[2], if there is
-- one. ARGV: owner;
-- record; ms of retention; channel; message. Returns 1 if it is done by this
-- owner, now or before, else 0. What runs was let in when there was room, so that
-- a server whose memory is full must take its record.
local old = redis.call('GETRANGE', KEYS[1], 0, 8191)
if #old < 77 or string.sub(old, 5, 20) ~= ARGV[1] then return 0 end

local state = string.sub(old, 2, 2)
if state == 'd' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3]) -- so that replicas have something to acknowledge
  return 1
end
if state ~= 'r' then return 0 end
redis.call('SET', KEYS[1], string.sub(old, 1, 1) .. 'd' .. string.sub(old, 3, 77) .. ARGV[2], 'PX', ARGV[3])
if #old > 77 and KEYS[2] then redis.call('SET', KEYS[2], string.sub(old, 78), 'PX', ARGV[3]) end
if string.sub(old, 3, 3) == '1' then redis.pcall('PUBLISH', ARGV[4], ARGV[5]) end
return 1
