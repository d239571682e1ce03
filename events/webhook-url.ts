export const LONGEST_URL = 2_048
export const URL_EXPECTED = `expected a URL such as https://example.org/hooks, at most ${LONGEST_URL} characters`

/** What is wrong with an address for a webhook, null: nothing. Which hosts events are sent to is decided by whoever sends them. */
export function wrongWithUrl(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (text.length > LONGEST_URL || !/^https?:$/.test(url?.protocol ?? '')) return URL_EXPECTED
  if (url?.username || url?.password) return 'expected a URL without a password: it would stand in the log for good'
  return null
}
