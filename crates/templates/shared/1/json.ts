const ENCODER = new TextEncoder()
/** More than any number has as JSON, and any boolean. */
const MAX_NUMBER_BYTES = 32

/** The size of a value as compact JSON in UTF-8. */
export function jsonBytes(value: Json): number {
  return ENCODER.encode(JSON.stringify(value)).length
}

/** Whether a value has at most so many bytes of JSON. What is much larger is not written to be measured. */
export function fitsJson(value: Json, maxBytes: number): boolean {
  // What is certain without writing it: an escape of JSON has at most six bytes for a UTF-16 unit.
  if (typeof value === 'string' ? value.length * 6 + 2 <= maxBytes : typeof value !== 'object' && maxBytes >= MAX_NUMBER_BYTES) return true
  if (spend(value, maxBytes) < 0) return false
  const units = JSON.stringify(value).length
  // A UTF-16 unit is one to three bytes of UTF-8.
  return units <= maxBytes && (units * 3 <= maxBytes || jsonBytes(value) <= maxBytes)
}

/** What a value leaves of some bytes at the most; below 0 where it needs more. */
function spend(value: Json, bytes: number): number {
  if (typeof value === 'string') return bytes - value.length - 2
  if (typeof value !== 'object' || value === null) return bytes - 1
  const list = Array.isArray(value)
  let left = bytes - 1
  for (const key in value) {
    // A comma or a bracket for each, and for a member its key in quotes and a colon.
    left = spend((value as JsonObject)[key]!, list ? left - 1 : left - key.length - 4)
    if (left < 0) break
  }
  return left
}
