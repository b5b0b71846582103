-- Gives KEYS[1] up. ARGV: owner; ms for which the attempt is remembered; channel;
-- message. Returns 1 if the key is absent or released by this owner, now or
-- before, else 0.
local header = redis.call('GETRANGE', KEYS[1], 0, 76)
if #header == 0 then return 1 end
if #header < 77 or string.sub(header, 5, 20) ~= ARGV[1] then return 0 end

local state = string.sub(header, 2, 2)
if state == 'x' then return 1 end
if state ~= 'r' then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.sub(header, 1, 1) .. 'x0' .. string.sub(header, 4), 'PX', ARGV[2])
end
if string.sub(header, 3, 3) == '1' then redis.pcall('PUBLISH', ARGV[3], ARGV[4]) end
return 1
