/** Fields of a row in COPY's text format. Source: the PostgreSQL manual, COPY, "Text Format". */
export const copyText = (values: readonly unknown[]): string => values.map(textOf).join('\t')

function textOf(value: unknown): string {
  if (value === null || value === undefined) return '\\N'
  if (typeof value === 'string') return SPECIAL.test(value) ? value.replaceAll(SPECIALS, escaped) : value
  return value instanceof Date ? value.toISOString() : String(value)
}

const ESCAPED: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }
const SPECIAL = /[\\\n\r\t]/
const SPECIALS = new RegExp(SPECIAL, 'g')
const escaped = (char: string) => ESCAPED[char] ?? char
