import { html } from 'hono/html'
import type { AsyncApiDocument, Channel, Message, Ref } from './asyncapi-document.ts'
import { type Field, fieldsOf, type JsonSchema } from './json-schema.ts'
import { type Html, layout } from './layout.ts'

const style = `
main h2 { font: 600 1.25rem/1.3 system-ui, sans-serif; margin: 2rem 0 .5rem }
main h2:first-child { margin-top: 0 }
main h3 { font: 600 1rem/1.4 ui-monospace, monospace; margin: 0 0 .25rem; overflow-wrap: anywhere }
main h4 { font: 600 .9rem/1.4 system-ui, sans-serif; color: var(--quiet); margin: 1rem 0 .25rem }
main p { margin: 0 0 .5rem }
main nav p { font-size: .9rem; margin: 0 }
main article { display: block }
.list { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; padding: 0; margin: 0 0 .5rem }
.list, .list code { overflow-wrap: anywhere }
.fields { table-layout: fixed }
.fields th, .fields td { padding: .3rem 1rem .3rem 0; width: auto; white-space: normal; overflow-wrap: anywhere }
.fields thead th { border: 0; font-size: .8rem }
.fields thead th:first-child { width: 12rem }
.fields thead th:nth-child(2) { width: 12rem }
.fields tbody th { color: inherit }
.fields small { display: block; color: var(--quiet) }
pre { background: var(--ground); border-radius: .25rem; padding: .75rem; margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: .8rem/1.45 ui-monospace, monospace }
@media (max-width: 40rem) {
  .fields thead { display: none }
  .fields, .fields tbody, .fields tr, .fields th, .fields td { display: block; border: 0; padding: 0 }
  .fields tr { border-top: 1px solid var(--line); padding: .4rem 0 }
  .fields td:nth-child(2) { color: var(--quiet) }
}
`

/** An AsyncAPI document for people: where events come from, what each of them says, and an example. */
export function eventsPage(document: AsyncApiDocument): Html {
  const { info, servers, components } = document
  const messages = distinct(Object.values(components.messages))
  const [events, others] = [messages.filter(isEvent), messages.filter((message) => !isEvent(message))]
  return layout(
    info.title,
    html`
<h2>Events</h2>
<p>${prose(info.description)}</p>
<p>All of this for programs: <a href="/asyncapi.json">AsyncAPI ${document.asyncapi}</a>. Everything else that the api does: <a href="/docs">REST reference</a>.</p>
<nav aria-label="Contents">
${contents(
  'Channels',
  Object.entries(document.channels).map(([name, { address }]) => ({ id: `channel-${name}`, name: whereTo(address) })),
)}
${contents('Events', events)}
${contents('Other messages', others)}
</nav>
${Object.entries(servers).map(
  ([name, { title, description }]) => html`
<h2>${title}</h2>
<p>${sentence(description)}</p>
${channelsOn(document, name).map((channel) => channelCard(document, channel))}`,
)}
<h2>What every event says</h2>
<p>Each is a <a href="https://cloudevents.io/" rel="noreferrer">CloudEvent</a>, which has its own fields in <code>data</code>.</p>
<article>
<h3>Over HTTP, as JSON</h3>
${fieldTable(fieldsOf(envelopeOf(events)))}
</article>
<article>
<h3>By webhook, as headers beside it</h3>
${fieldTable(fieldsOf(components.schemas.WebhookHeaders ?? {}))}
</article>
<article>
<h3>Over NATS, as headers</h3>
<p>The body is the <code>data</code>.</p>
${fieldTable(fieldsOf(components.schemas.BinaryHeaders ?? {}))}
</article>
<h2>Each event</h2>
<p>The fields are those of <code>data</code>.</p>
${events.map(messageCard)}
<h2>Other messages</h2>
${others.map(messageCard)}
`,
    style,
  )
}

/** Each once, over whatever transports it comes: as it is over the first, which is HTTP. */
const distinct = (messages: readonly Message[]) =>
  messages.filter(({ name }, i) => messages.findIndex((other) => other.name === name) === i)

const isEvent = (message: Message): boolean => message['x-data-schemas'] !== undefined

/** What all of them have, their own data apart. */
function envelopeOf(events: readonly Message[]): JsonSchema {
  const { properties = {}, ...schema } = events[0]?.payload ?? {}
  const { data: _, ...attributes } = properties
  const type = { ...attributes.type, const: undefined, enum: events.map(({ name }) => name) }
  return { ...schema, properties: { ...attributes, type } }
}

const nameOf = ({ $ref }: Ref): string => $ref.slice($ref.lastIndexOf('/') + 1)

const whereTo = (address: string | null): string => address ?? 'the URL of a webhook'

type NamedChannel = Channel & { name: string }

const channelsOn = ({ channels }: AsyncApiDocument, server: string): NamedChannel[] =>
  Object.entries(channels)
    .filter(([, { servers }]) => servers.some((one) => nameOf(one) === server))
    .map(([name, channel]) => ({ ...channel, name }))

function channelCard({ operations, components }: AsyncApiDocument, channel: NamedChannel): Html {
  const { name, address, summary, description, parameters = {}, messages } = channel
  const query = Object.values(operations).find((operation) => nameOf(operation.channel) === name)?.bindings?.http.query
  const inAddress = Object.entries(parameters).map(([key, schema]): Field => {
    return { name: `{${key}}`, type: 'string', schema, isAlwaysThere: true }
  })
  const asked = query ? fieldsOf(query) : []
  const coming = Object.values(messages).flatMap((message) => components.messages[nameOf(message)] ?? [])
  return html`
<article id="channel-${name}">
<h3>${whereTo(address)}</h3>
<p>${sentence(summary)}</p>
${description === undefined ? '' : html`<p>${prose(description)}</p>`}
${inAddress.length === 0 ? '' : html`<h4>In the address</h4>${fieldTable(inAddress)}`}
${asked.length === 0 ? '' : html`<h4>Query, all of it optional</h4>${fieldTable(asked, '')}`}
<h4>What comes</h4>
<ul class="list">${coming.map(linkItem)}</ul>
</article>`
}

function messageCard(message: Message): Html {
  const { name, summary, payload, examples = [], 'x-data-schemas': schemas = [] } = message
  const fields = fieldsOf(isEvent(message) ? (payload.properties?.data ?? {}) : payload)
  return html`
<article id="${name}">
<h3>${name}</h3>
<p>${sentence(summary)}</p>
${fields.length === 0 ? html`<p class="quiet">It has no fields of its own.</p>` : fieldTable(fields)}
${schemas.length === 0 ? '' : html`<h4>JSON Schema of its data</h4><ul class="list">${schemas.map((url, i) => html`<li><a href="${url}">version ${i + 1}</a></li>`)}</ul>`}
${examples.slice(0, 1).map((example) => html`<h4>Example</h4><pre><code>${JSON.stringify(example.payload, null, 2)}</code></pre>`)}
</article>`
}

type Linked = { name: string; id?: string }
const linkItem = ({ name, id = name }: Linked): Html => html`<li><a href="#${id}"><code>${name}</code></a></li>`

const contents = (what: string, all: readonly Linked[]): Html => html`
<p class="quiet">${what}</p>
<ul class="list">${all.map(linkItem)}</ul>`

/** `absent` is said of each that need not be there. */
const fieldTable = (fields: readonly Field[], absent = 'may be absent'): Html => html`
<table class="fields">
<thead><tr><th scope="col">Field</th><th scope="col">Type</th><th scope="col">Meaning</th></tr></thead>
<tbody>${fields.map((field) => fieldRow(field, field.isAlwaysThere ? '' : absent))}</tbody>
</table>`

const fieldRow = ({ name, type, schema }: Field, remark: string): Html => html`
<tr><th scope="row"><code>${name}</code>${remark && html`<small>${remark}</small>`}</th><td>${type}</td><td>${prose(schema.description ?? '')}${remarks(schema)}</td></tr>`

/** What a field is where it is left out, and what it may look like. */
function remarks(schema: JsonSchema): Html {
  const [example] = schema.examples ?? []
  return html`${schema.default === undefined ? '' : html`<small>otherwise <code>${JSON.stringify(schema.default)}</code></small>`}${example === undefined ? '' : html`<small>such as <code>${String(example)}</code></small>`}`
}

/** Text in which what stands between backticks is code. */
const prose = (text: string): Html =>
  html`${text.split('`').map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : part))}`

const sentence = (text: string): Html => prose(`${text.charAt(0).toUpperCase()}${text.slice(1)}.`)
