-- Makes KEYS[1] done. ARGV: owner; record; ms of retention; channel; message.
-- Returns 1 if it is done by this owner, now or before, else 0.
local header = redis.call('GETRANGE', KEYS[1], 0, 76)
if #header < 77 or string.sub(header, 5, 20) ~= ARGV[1] then return 0 end

local state = string.sub(header, 2, 2)
if state == 'd' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3]) -- so that replicas have something to acknowledge
  return 1
end
if state ~= 'r' then return 0 end
redis.call('SET', KEYS[1], string.sub(header, 1, 1) .. 'd' .. string.sub(header, 3) .. ARGV[2], 'PX', ARGV[3])
if string.sub(header, 3, 3) == '1' then redis.pcall('PUBLISH', ARGV[4], ARGV[5]) end
return 1
