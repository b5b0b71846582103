-- Makes the lease on KEYS[1] begin anew. ARGV: owner; ms until the key expires.
-- Returns 1 if the key is this owner's and running, else 0.
local header = redis.call('GETRANGE', KEYS[1], 0, 76)
if #header < 77 or string.sub(header, 5, 20) ~= ARGV[1] then return 0 end
if string.sub(header, 2, 2) ~= 'r' then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
