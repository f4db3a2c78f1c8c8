-- One call of a counter: sluice_model::counter::step, in Lua. Numbers are whole and below 2^53, which Lua's hold exactly;
-- for such numbers floor and ceil of a quotient are exact, too. Change the two together: tests hold one against the other.
--
-- KEYS: the counter; the answer to this call, where the call may come again.
-- ARGV: algorithm (s: sliding window, t: token bucket), limit, window in ms, burst, block in ms, cost, reset (0, 1), for how
--       many ms an answer is remembered, now in ms (absent: the server's clock).
-- A counter's state is text: algorithm, window, when it was written, used, previous, blocked until, expires at.
local sliding = ARGV[1] == 's'
local limit, window, burst, block = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local cost, reset, remembered = tonumber(ARGV[6]), ARGV[7] == '1', tonumber(ARGV[8])
local clock = tonumber(ARGV[9])
-- The server forgets by its own clock: by one that was set, and may stand still, it is at least as long as an answer.
local shortest = clock and remembered or 1
if not clock then
    local time = redis.call('TIME')
    clock = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Plain tostring would write what is over 14 digits as 1e+15.
local function whole(n) return string.format('%.0f', n) end

if KEYS[2] then
    local until_ms, allowed, remaining, retry = string.match(redis.call('GET', KEYS[2]) or '', '^(%d+) (%d+) (%d+) (%d+)$')
    if until_ms and tonumber(until_ms) > clock then
        return { tonumber(allowed), tonumber(remaining), tonumber(retry) }
    end
end

local now, used, previous, blocked, before = clock, 0, 0, 0, false
local kind, w, at, u, p, b, e =
    string.match(redis.call('GET', KEYS[1]) or '', '^(%a) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
if kind and tonumber(e) > clock then
    before, at, blocked = true, tonumber(at), tonumber(b)
    now = math.max(at, clock)
    if kind == ARGV[1] and tonumber(w) == window then
        if sliding then
            local passed = math.floor(now / window) - math.floor(at / window)
            if passed == 0 then
                used, previous = tonumber(u), tonumber(p)
            elseif passed == 1 then
                previous = tonumber(u)
            end
        else
            used = math.max(0, tonumber(u) - (now - at) * limit)
        end
    end
end

local start = now - now % window
local rest = start + window - now

local allowed = blocked <= now
if allowed and sliding then
    allowed = used + cost <= limit and previous * rest <= (limit - used - cost) * window
elseif allowed then
    allowed = used + cost * window <= burst * window
end

local remaining, retry = 0, 0
if allowed and reset then
    if before then redis.call('DEL', KEYS[1]) end
    if sliding then remaining = limit else remaining = burst end
else
    local changed = false
    if cost == 1 and sliding then
        -- MAX_COUNT
        if used < 3000000 then
            used, changed = used + 1, true
        end
    elseif cost == 1 and allowed then
        used, changed = used + window, true
    end
    if not allowed and cost == 1 and block > 0 and blocked <= now then
        blocked, changed = now + block, true
    end
    if blocked <= now then
        local room
        if sliding then
            room = math.max(0, limit - used) * window - previous * rest
        else
            room = burst * window - used
        end
        remaining = math.floor(math.max(0, room) / window)
    end
    if not allowed then
        local opens
        if not sliding then
            opens = now + math.ceil(math.max(0, used + window - burst * window) / limit)
        elseif used >= limit then
            opens = start + 2 * window - math.floor((limit - 1) * window / used)
        elseif previous * rest <= (limit - used - 1) * window then
            opens = now
        else
            opens = start + window - math.floor((limit - used - 1) * window / previous)
        end
        retry = math.ceil((math.max(opens, blocked) - now) / 1000)
    end
    if changed then
        local expires
        if sliding then
            expires = start + 2 * window
        else
            expires = now + math.ceil(used / limit)
        end
        expires = math.max(expires, blocked)
        local state = { ARGV[1], whole(window), whole(now), whole(used), whole(previous), whole(blocked), whole(expires) }
        redis.call('SET', KEYS[1], table.concat(state, ' '), 'PX', whole(math.max(shortest, expires - clock)))
    end
end

local answer = { allowed and 1 or 0, remaining, retry }
if KEYS[2] then
    local text = { whole(clock + remembered), whole(answer[1]), whole(remaining), whole(retry) }
    redis.call('SET', KEYS[2], table.concat(text, ' '), 'PX', whole(remembered))
end
return answer
