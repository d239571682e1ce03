import postgres from 'postgres'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Database, startPglite, startPostgres } from '../support/database.ts'
import { tempDir } from '../support/temp.ts'

/*
 * What the application expects of its database, the same on the embedded one and on a PostgreSQL server.
 */

type Case = [name: string, run: (sql: postgres.Sql) => Promise<void>]

const sqlState = (query: Promise<unknown>): Promise<string | undefined> =>
  query.then(
    () => undefined,
    (error) => error.code,
  )

const cases: Case[] = [
  [
    'values come back as they went in',
    async (sql) => {
      const at = new Date('2024-05-06T07:08:09.123Z')
      const id = '6f1c9c1e-6d6c-4d4e-9d5a-1f2e3d4c5b6a'
      await sql`create table kinds (id uuid primary key, x double precision, n bigint, t text, at timestamptz, j jsonb, b bytea)`
      await sql`insert into kinds values (${id}, ${-0.1}, ${'9007199254740993'}, ${'ä\n😀'}, ${at}, ${sql.json({ a: [1, null] })}, ${new Uint8Array([0, 255])})`
      const [row] = await sql`select * from kinds`
      assert.equal(
        { ...row, b: [...(row?.b ?? [])] },
        { id, x: -0.1, n: '9007199254740993', t: 'ä\n😀', at, j: { a: [1, null] }, b: [0, 255] },
      )
    },
  ],
  [
    'an error aborts its transaction and nothing else',
    async (sql) => {
      await sql`create table once (id int primary key)`
      const failed = sql.begin(async (tx) => {
        await tx`insert into once values (1)`
        await tx`insert into once values (1)`
      })
      assert.is(await sqlState(failed), '23505')
      assert.is((await sql`select * from once`).length, 0)
      assert.is(await sqlState(sql`select * from nowhere`), '42P01')
    },
  ],
  [
    'a savepoint takes back its part only',
    async (sql) => {
      await sql`create table parts (id int)`
      await sql.begin(async (tx) => {
        await tx`insert into parts values (1)`
        await tx
          .savepoint(async (part) => {
            await part`insert into parts values (2)`
            throw new Error('no')
          })
          .catch(() => undefined)
        await tx`insert into parts values (3)`
      })
      assert.equal(
        (await sql`select id from parts order by id`).map((row) => row.id),
        [1, 3],
      )
    },
  ],
  [
    'of concurrent fenced updates exactly one succeeds each time',
    async (sql) => {
      await sql`create table fence (seq int)`
      await sql`insert into fence values (0)`
      for (let seq = 0; seq < 10; seq++) {
        const tries = Array.from({ length: 5 }, () =>
          sql.begin(
            async (tx) => (await tx`update fence set seq = ${seq + 1} where seq = ${seq} returning seq`).length,
          ),
        )
        assert.is(
          (await Promise.all(tries)).reduce((sum, n) => sum + n),
          1,
        )
      }
    },
  ],
  [
    'a transaction-level advisory lock is given back at the end',
    async (sql) => {
      const locked = () => sql.begin(async (tx) => tx`select pg_advisory_xact_lock(7)`)
      await Promise.all([locked(), locked(), locked()])
    },
  ],
  [
    'many rows go in with one statement, and existing ones are updated',
    async (sql) => {
      await sql`create table many (id int primary key, n int)`
      const rows = Array.from({ length: 5_000 }, (_, id) => ({ id, n: 1 }))
      for (let i = 0; i < 2; i++)
        await sql`insert into many ${sql(rows)} on conflict (id) do update set n = many.n + excluded.n`
      assert.equal(
        [...(await sql`select count(*)::int as count, sum(n)::int as sum from many`)],
        [{ count: 5_000, sum: 10_000 }],
      )
    },
  ],
  [
    'a keyset page is found by a row comparison',
    async (sql) => {
      await sql`create table pages (a int, b text, primary key (a, b))`
      await sql`insert into pages select i / 10, 'k' || i % 10 from generate_series(0, 99) i`
      const page = await sql`select * from pages where (a, b) > (${4}, ${'k8'}) order by a, b limit 3`
      assert.equal(
        [...page],
        [
          { a: 4, b: 'k9' },
          { a: 5, b: 'k0' },
          { a: 5, b: 'k1' },
        ],
      )
    },
  ],
]

const { dir, remove } = await tempDir()
const servers: [string, Database][] = [
  ['embedded', await startPglite(dir)],
  ['PostgreSQL', await startPostgres(dir)],
]
for (const [name, { url, stop }] of servers) {
  for (const [what, run] of cases) {
    test(`${name}: ${what}`, async () => {
      const sql = postgres(url, { max: 5, onnotice: () => undefined })
      try {
        await run(sql)
      } finally {
        await sql.end({ timeout: 1 })
      }
    })
  }
  test(`${name}: the server ends`, stop)
}
test('nothing is left', remove)

test.run()
