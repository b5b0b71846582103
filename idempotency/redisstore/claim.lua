-- Begins what SET NX could not: KEYS[1] is, or was a moment ago, not absent.
-- ARGV: the value of a first claim; ms until the key expires; '1' to take an
-- orphan over. Returns what was found or done, and the value that tells more. It
-- decides as idempotency.Holding does.
local claim, ttl, takeover = ARGV[1], ARGV[2], ARGV[3] == '1'
local old = redis.call('GET', KEYS[1])

local function watched(value) return string.sub(value, 3, 3) == '1' end

local function write(taken)
  local new = claim
  if old then
    local watch = (watched(claim) or watched(old)) and '1' or '0'
    local fence = struct.unpack('>I8', string.sub(old, 21, 28)) + 1
    new = string.sub(claim, 1, 2) .. watch .. taken .. string.sub(claim, 5, 20)
      .. struct.pack('>I8', fence) .. string.sub(claim, 29)
  end
  redis.call('SET', KEYS[1], new, 'PX', ttl)
  return {'acquired', new}
end

local function attempt(value) return (struct.unpack('>I8', string.sub(value, 62, 69))) end

-- Fingerprints of different algorithms, or none, cannot be compared.
local function matches()
  local mine, theirs = string.sub(claim, 29, 61), string.sub(old, 29, 61)
  local m, t = string.byte(mine), string.byte(theirs)
  return m == 0 or t == 0 or m ~= t or mine == theirs
end

if not old then return write() end
if #old < 77 or string.sub(old, 1, 1) ~= string.sub(claim, 1, 1) then return {'unreadable', ''} end

local state = string.sub(old, 2, 2)
if state == 'd' then return {'done', old} end
if state == 'x' then
  if attempt(claim) < attempt(old) then return {'superseded', old} end
  return write('0')
end
if string.sub(old, 5, 20) == string.sub(claim, 5, 20) then
  -- The answer to an earlier claim was lost. Its lease begins anew.
  redis.call('PEXPIRE', KEYS[1], ttl)
  return {'acquired', old}
end
local outlive = struct.unpack('>I8', string.sub(old, 70, 77))
if redis.call('PTTL', KEYS[1]) > outlive then
  -- Who asks may have watched an execution before this one.
  if watched(claim) and not watched(old) then redis.pcall('SETRANGE', KEYS[1], 2, '1') end -- not if memory is full
  return {'running', old}
end
if takeover and matches() then return write('1') end
return {'orphaned', old}
