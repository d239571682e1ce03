import { html, raw } from 'hono/html'

/** What hono's html helper makes: text in which all that was filled in is escaped. */
export type Html = ReturnType<typeof html>

const style = `
:root { color-scheme: light dark; --ground: #f6f5f2; --paper: #fff; --ink: #1d2026; --quiet: #666c78; --line: #dcdad4; --accent: #3b5bdb }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14161b; --paper: #1d2027; --ink: #e7e6e2; --quiet: #9aa1ae; --line: #333843; --accent: #8ea7ff }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
header, main, footer { max-width: 60rem; margin: 0 auto; padding: 1rem }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline }
header nav, .pages { display: flex; flex-wrap: wrap; gap: 1rem }
h1 { font-size: 1.5rem; margin: 0 }
h1 a { color: inherit; text-decoration: none }
h2 { font: 600 1rem/1.4 ui-monospace, monospace; margin: 0 0 .5rem; overflow-wrap: anywhere }
a { color: var(--accent) }
article { background: var(--paper); border: 1px solid var(--line); border-radius: .5rem; margin: 0 0 1rem; padding: 1rem;
  display: grid; grid-template-columns: minmax(0, 18rem) minmax(0, 1fr); gap: 1.25rem }
article img { display: block; width: auto; height: auto; max-width: 100%; max-height: 26rem; border-radius: .25rem; background: var(--ground) }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th, td { text-align: left; vertical-align: top; padding: .2rem 0; border-top: 1px solid var(--line); font-weight: 400 }
th { color: var(--quiet); width: 8rem; padding-right: 1rem; white-space: nowrap }
td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums }
.quiet, footer { color: var(--quiet) }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere }
@media (max-width: 40rem) { article { grid-template-columns: minmax(0, 1fr) } th { width: 7rem } }
`

/** A whole page. `ownStyle` is CSS for this page alone. */
export const layout = (title: string, content: Html, ownStyle = '') => html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" type="image/svg+xml" href="/favicon.ico">
<style>${raw(style)}${raw(ownStyle)}</style>
</head>
<body>
<header><h1><a href="/">Fractals</a></h1><nav aria-label="Reference"><a href="/docs">REST reference</a><a href="/docs/events">Events</a><a href="/v1/status">Status</a></nav></header>
<main>${content}</main>
</body>
</html>
`
