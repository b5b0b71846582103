#!lua flags=allow-oom
-- Gives KEYS[1] up. ARGV: owner; ms for which the attempt is remembered; channel;
-- message. Returns 1 if the key is absent or released by this owner, now or
-- before, else 0. A server whose memory is full must take it.
local old = redis.call('GETRANGE', KEYS[1], 0, 8191)
if #old == 0 then return 1 end
if #old < 77 or string.sub(old, 5, 20) ~= ARGV[1] then return 0 end

local state = string.sub(old, 2, 2)
if state == 'x' then return 1 end
if state ~= 'r' then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.sub(old, 1, 1) .. 'x0' .. string.sub(old, 4, 69)
    .. struct.pack('>I8', ARGV[2]) .. string.sub(old, 78), 'PX', ARGV[2])
end
if string.sub(old, 3, 3) == '1' then redis.pcall('PUBLISH', ARGV[3], ARGV[4]) end
return 1
