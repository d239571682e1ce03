import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  claimed,
  nobody,
  PARTS,
  partOf,
  partsOf,
  released,
  type Shares,
  tooMany,
  withMember,
  withoutMember,
} from '../../services/subscribers/shares.ts'

/** What a member writes in its turn. */
const turn = (shares: Shares, me: string, gone: string[] = []) => {
  const next = withMember(shares, me, new Set(gone))
  return claimed(released(next, me, tooMany(next, me)), me)
}

test('one member has all', () => {
  assert.is(partsOf(turn(nobody, 'a'), 'a').length, PARTS)
})

test('the parts of one that is gone, or left, are taken by the others', () => {
  let shares = turn(turn(turn(nobody, 'a'), 'b'), 'a')
  shares = turn(shares, 'b')
  assert.is(partsOf(shares, 'b').length, PARTS / 2)
  assert.is(partsOf(turn(shares, 'a', ['b']), 'a').length, PARTS)
  assert.is(partsOf(turn(withoutMember(shares, 'b'), 'a'), 'a').length, PARTS)
})

test('whoever comes and goes, no part has two owners, and after some turns all are shared out evenly', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd', 'e')
  const act = fc.record({ who: name, leaves: fc.boolean() })
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
      let shares = nobody
      for (const { who, leaves } of acts) shares = leaves ? withoutMember(shares, who) : turn(shares, who)
      const members = ['a', ...Object.keys(shares.members)]
      for (let round = 0; round < 3; round++) for (const who of new Set(members)) shares = turn(shares, who)
      const counts = Object.keys(shares.members).map((who) => partsOf(shares, who).length)
      assert.is(
        counts.reduce((sum, n) => sum + n, 0),
        PARTS,
      )
      assert.ok(Math.max(...counts) <= Math.ceil(PARTS / counts.length), String(counts))
    }),
  )
})

test('a webhook has its part wherever it is asked', () => {
  const part = partOf('9b2f0f5e-3c1d-4d57-8a06-2f8a2f6f3a10')
  assert.is(part, partOf('9b2f0f5e-3c1d-4d57-8a06-2f8a2f6f3a10'))
  assert.ok(part >= 0 && part < PARTS)
})

test.run()
