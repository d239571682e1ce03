import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { costOf } from '../../events/cost.ts'
import { FaafoError } from '../../events/errors.ts'
import { DEFAULT_COMPUTE_BUDGET, hashRequest, parseFractalRequest } from '../../events/fractal.ts'
import { fractalRequest } from '../support/event-arbitraries.ts'

const request = { width: 640, height: 480, iterations: 255, xa: -2, xb: 2, ya: -1.5, yb: 1.5 }

/** The pointers of the problems that parsing `json` ends with. */
function refusedAt(json: unknown): unknown[] {
  try {
    parseFractalRequest(json)
  } catch (error) {
    if (!(error instanceof FaafoError)) throw error
    assert.is(error.code, 'invalid-request')
    assert.match(error.message, /^cannot request a fractal: ./)
    return (error.details.errors as { pointer: string }[]).map(({ pointer }) => pointer)
  }
  assert.unreachable(`accepted ${JSON.stringify(json)}`)
  return []
}

test('a request may leave the uuid and c to us', () => {
  assert.equal(parseFractalRequest(request), request)
})

test('every request within the limits is taken as it is', () => {
  fc.assert(
    fc.property(fractalRequest, (sent) => {
      assert.equal(parseFractalRequest(sent), sent)
    }),
  )
})

test('a uuid is lower-cased', () => {
  const uuid = '0F5B0D5C-8F5E-4C1E-9F0B-3F1F6F2A7C11'
  assert.is(parseFractalRequest({ ...request, uuid }).uuid, uuid.toLowerCase())
})

test('reversed and empty windows are legal', () => {
  const windows = [
    { xa: 1, xb: -1, ya: 1, yb: -1 },
    { xa: 0, xb: 0, ya: 0, yb: 0 },
  ]
  for (const window of windows) assert.equal(parseFractalRequest({ ...request, ...window }), { ...request, ...window })
})

test('the smallest and the largest sizes are taken, one step further is not', () => {
  parseFractalRequest({ ...request, width: 2, height: 2, iterations: 1 })
  parseFractalRequest({ ...request, width: 16_384, height: 16_384, iterations: 1 })
  parseFractalRequest({ ...request, width: 2, height: 2, iterations: 1_000_000 })
  assert.equal(refusedAt({ ...request, width: 1 }), ['/width'])
  assert.equal(refusedAt({ ...request, height: 16_385 }), ['/height'])
  assert.equal(refusedAt({ ...request, iterations: 0 }), ['/iterations'])
  assert.equal(refusedAt({ ...request, iterations: 1_000_001 }), ['/iterations'])
})

test('numbers are numbers: no text, no NaN, no infinity, no fractions of a pixel', () => {
  assert.equal(refusedAt({ ...request, width: '640' }), ['/width'])
  assert.equal(refusedAt({ ...request, width: 640.5 }), ['/width'])
  assert.equal(refusedAt({ ...request, xa: Number.NaN }), ['/xa'])
  assert.equal(refusedAt({ ...request, yb: Number.POSITIVE_INFINITY }), ['/yb'])
  assert.equal(refusedAt({ ...request, ya: null }), ['/ya'])
})

test('all problems are named at once', () => {
  assert.equal(refusedAt({}), ['/width', '/height', '/iterations', '/xa', '/xb', '/ya', '/yb'])
})

test('each problem says what was expected and what came', () => {
  const detailOf = (fields: object) => {
    try {
      parseFractalRequest({ ...request, ...fields })
    } catch (error) {
      if (!(error instanceof FaafoError)) throw error
      return (error.details.errors as { detail: string }[]).map(({ detail }) => detail).join('; ')
    }
    return 'nothing'
  }
  const side = 'expected a whole number from 2 to 16384'
  for (const [fields, detail] of [
    [{ width: 1.5 }, `${side}, got 1.5`],
    [{ width: 0.5 }, `${side}, got 0.5`],
    [{ width: 1e9 }, `${side}, got 1000000000`],
    [{ width: 1e300 }, `${side}, got 1e+300`],
    [{ height: '480' }, `${side}, got "480"`],
    [{ height: undefined }, `is missing: ${side}`],
    [{ iterations: null }, 'expected a whole number from 1 to 1000000, got null'],
    [{ xa: null }, 'expected a number, got null'],
    [{ xa: Number.POSITIVE_INFINITY }, 'expected a number, got Infinity'],
    [{ cx: [1], cy: {} }, 'expected a number, got a list; expected a number, got an object'],
    [{ colour: 'red' }, 'there is no "colour" here'],
  ] as const) {
    assert.is(detailOf(fields), detail)
  }
  assert.throws(() => parseFractalRequest(null), /expected an object, got null/)
})

test('sides out of range are blamed, each alone', () => {
  assert.equal(refusedAt({ ...request, width: 1e9, height: 16_384 }), ['/width'])
  assert.equal(refusedAt({ ...request, width: 16_384, height: 16_385 }), ['/height'])
})

test('cx and cy go together', () => {
  const both = { ...request, cx: -0.8, cy: 0.156 }
  assert.equal(parseFractalRequest(both), both)
  assert.equal(refusedAt({ ...request, cx: 1 }), ['/cx'])
  assert.equal(refusedAt({ ...request, cy: 1 }), ['/cx'])
})

test('an unknown field is refused', () => {
  assert.is(refusedAt({ ...request, widht: 3 }).length, 1)
})

test('a malformed uuid is refused', () => {
  for (const uuid of ['', 'x', '0f5b0d5c8f5e4c1e9f0b3f1f6f2a7c11', 7]) {
    assert.equal(refusedAt({ ...request, uuid }), ['/uuid'])
  }
})

test('what is no object is refused', () => {
  for (const json of [null, [], 'x', 1, undefined]) assert.equal(refusedAt(json), [''])
})

test('the default budget is enough for a large picture that is all inside', () => {
  assert.ok(DEFAULT_COMPUTE_BUDGET >= costOf({ width: 9999, height: 9999, iterations: 512 }))
})

test('any JSON whatever is a request or an invalid request', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (json) => {
      assert.ok(refusedAt(json).length > 0)
    }),
  )
})

test('equal requests have equal hashes, whatever the order of their fields and their uuid', () => {
  fc.assert(
    fc.property(fractalRequest, fc.uuid(), (sent, uuid) => {
      const reordered = Object.fromEntries(Object.entries(sent).reverse()) as typeof sent
      assert.is(hashRequest({ ...reordered, uuid }), hashRequest(sent))
      assert.match(hashRequest(sent), /^[0-9a-f]{64}$/)
    }),
  )
})

test('another value in any field is another hash', () => {
  const c = { ...request, cx: 0, cy: 0 }
  assert.is.not(hashRequest(c), hashRequest(request))
  for (const field of ['width', 'height', 'iterations', 'xa', 'xb', 'ya', 'yb', 'cx', 'cy'] as const) {
    assert.is.not(hashRequest({ ...c, [field]: c[field] + 1 }), hashRequest(c), field)
  }
})

test.run()
