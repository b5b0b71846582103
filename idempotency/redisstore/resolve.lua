#!lua flags=allow-oom
-- Makes KEYS[1] done or free, if it is as it was seen. ARGV: the owner, fence and
-- state that were seen; the new owner; 'd' for done, 'x' for released, '' for
-- absent; the record; ms until it expires; '1' to resolve what is running, too;
-- channel; message. Returns what became of it.
local seenOwner, seenFence, seenState, owner, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local old = redis.call('GETRANGE', KEYS[1], 0, 8191)
if #old < 77 then return 'changed' end

local is, about = string.sub(old, 2, 2), string.sub(old, 78)
if is ~= 'r' and string.sub(old, 5, 20) == owner then return 'resolved' end -- the answer was lost
if is == 'r' and redis.call('PTTL', KEYS[1]) <= struct.unpack('>I8', string.sub(old, 70, 77)) then is = 'o' end
if is ~= seenState or string.sub(old, 5, 20) ~= seenOwner or string.sub(old, 21, 28) ~= seenFence then return 'changed' end
if is == 'r' and ARGV[8] ~= '1' then return 'live' end
if is == 'd' then about = KEYS[2] and redis.call('GET', KEYS[2]) or '' end

local new = string.sub(old, 1, 1) .. state .. '0' .. string.sub(old, 4, 4) .. owner .. string.sub(old, 21, 69)
  .. struct.pack('>I8', ARGV[7])
if state == 'd' then
  redis.call('SET', KEYS[1], new .. ARGV[6], 'PX', ARGV[7])
  if about ~= '' and KEYS[2] then redis.call('SET', KEYS[2], about, 'PX', ARGV[7]) end
elseif state == 'x' then
  redis.call('SET', KEYS[1], new .. about, 'PX', ARGV[7])
  if KEYS[2] then redis.call('DEL', KEYS[2]) end
else
  redis.call('DEL', unpack(KEYS))
end
if string.sub(old, 3, 3) == '1' then redis.pcall('PUBLISH', ARGV[9], ARGV[10]) end
return 'resolved'
