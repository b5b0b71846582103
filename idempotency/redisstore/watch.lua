#!lua flags=allow-oom
-- Has the end of the execution that runs under KEYS[1], if there is one,
-- published.
local header = redis.call('GETRANGE', KEYS[1], 0, 76)
if #header == 77 and string.sub(header, 2, 3) == 'r0' then redis.call('SETRANGE', KEYS[1], 2, '1') end
return 1
